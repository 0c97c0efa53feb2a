-- What is known to be damaged, so that it can be told without a scan, and where the scrub stands.

CREATE INDEX chunk_damaged ON chunk (chunk_id) WHERE damaged <> 0;

-- Values whose inline content is damaged; gone once that is replaced or freed.
CREATE TABLE damaged_inline (
  value_id INTEGER PRIMARY KEY REFERENCES value ON DELETE CASCADE
) STRICT;
CREATE TRIGGER inline_content_replaced AFTER UPDATE OF bytes ON inline_content BEGIN
  DELETE FROM damaged_inline WHERE value_id = NEW.value_id;
END;

-- The pass under way (started_at is null where none is) with the last chunk and the last inline value
-- that it has checked, and what the last whole pass came to. Times in milliseconds since the epoch.
CREATE TABLE scrub_state (
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  started_at INTEGER,
  chunk_id INTEGER NOT NULL,
  value_id INTEGER NOT NULL,
  chunks INTEGER NOT NULL,
  byte_length INTEGER NOT NULL,
  finished_at INTEGER,
  finished_chunks INTEGER NOT NULL,
  finished_byte_length INTEGER NOT NULL
) STRICT;
INSERT INTO scrub_state VALUES (1, NULL, 0, 0, 0, 0, NULL, 0, 0);
