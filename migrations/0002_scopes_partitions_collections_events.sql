-- Scopes, partitioned variables, collections in order of joining with any JSON as members, and the
-- log of events.

CREATE TABLE scope (
  container TEXT NOT NULL,
  path TEXT NOT NULL,
  arguments TEXT NOT NULL,
  PRIMARY KEY (container, path)
) STRICT, WITHOUT ROWID;

-- Which part of what a variable is, or a checkpoint's entry was; JSON.
ALTER TABLE variable ADD COLUMN slice TEXT;
ALTER TABLE checkpoint_entry ADD COLUMN slice TEXT;

CREATE TABLE partitioned_variable (
  container TEXT NOT NULL,
  name TEXT NOT NULL,
  dtype TEXT NOT NULL,
  shape TEXT NOT NULL,
  partitions TEXT NOT NULL,
  PRIMARY KEY (container, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE partitioned_part (
  container TEXT NOT NULL,
  name TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  part TEXT NOT NULL,
  PRIMARY KEY (container, name, ordinal)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX partitioned_part_by_variable ON partitioned_part (container, part);

-- Collections that have members; last_position is where the newest of them stands.
CREATE TABLE collection (
  container TEXT NOT NULL,
  name TEXT NOT NULL,
  member_count INTEGER NOT NULL CHECK (member_count > 0),
  last_position INTEGER NOT NULL,
  PRIMARY KEY (container, name)
) STRICT, WITHOUT ROWID;

-- A member is a variable or a JSON value. repeated: the variable stands there earlier already, so a
-- list of the collection's variables leaves this row out.
ALTER TABLE collection_member RENAME TO unordered_member;
CREATE TABLE collection_member (
  container TEXT NOT NULL,
  collection TEXT NOT NULL,
  position INTEGER NOT NULL,
  variable TEXT,
  value TEXT,
  repeated INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (container, collection, position),
  CHECK ((variable IS NULL) <> (value IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX collection_member_by_variable
  ON collection_member (container, collection, variable, repeated) WHERE variable IS NOT NULL;

-- When they joined was not kept: the variables' own order comes nearest.
INSERT INTO collection_member (container, collection, position, variable)
SELECT container, collection, row_number() OVER (
    PARTITION BY container, collection ORDER BY variable.created_at, unordered_member.name
  ), unordered_member.name
FROM unordered_member JOIN variable USING (container, name);
INSERT INTO collection (container, name, member_count, last_position)
SELECT container, collection, count(*), max(position) FROM collection_member
GROUP BY container, collection;
DROP TABLE unordered_member;

-- What commits did, as JSON, in their order: one row for each group of commits, or several where it
-- did much. A row is named by the place of its last event.
CREATE TABLE event_log (
  last_sequence INTEGER NOT NULL,
  last_ordinal INTEGER NOT NULL,
  first_sequence INTEGER NOT NULL,
  first_ordinal INTEGER NOT NULL,
  events TEXT NOT NULL,
  PRIMARY KEY (last_sequence, last_ordinal)
) STRICT, WITHOUT ROWID;
