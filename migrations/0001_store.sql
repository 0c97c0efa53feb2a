-- The first catalogue: variables, values by content, chunks and the packs they lie in, checkpoints,
-- labels, graphs, models, and the outcomes of commits that carried an idempotency key.
--
-- reference_count of a value or chunk counts the rows that name it and is kept by the triggers at
-- the end, so that the sweep finds what nobody names by a partial index instead of by a scan. The
-- naming columns therefore carry no foreign key: it would need an index on every checkpoint entry.

CREATE TABLE store_state (
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  sequence INTEGER NOT NULL,
  generation INTEGER NOT NULL
) STRICT;
INSERT INTO store_state VALUES (1, 0, 0);

CREATE TABLE pack (
  pack_id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  total_bytes INTEGER NOT NULL,
  live_bytes INTEGER NOT NULL DEFAULT 0 CHECK (live_bytes >= 0)
) STRICT;

-- A chunk without a pack lies in loose_chunk.
CREATE TABLE chunk (
  chunk_id INTEGER PRIMARY KEY AUTOINCREMENT,
  digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
  byte_length INTEGER NOT NULL,
  crc32c INTEGER NOT NULL,
  reference_count INTEGER NOT NULL DEFAULT 0 CHECK (reference_count >= 0),
  damaged INTEGER NOT NULL DEFAULT 0,
  pack_id INTEGER REFERENCES pack,
  pack_ordinal INTEGER,
  CHECK ((pack_id IS NULL) = (pack_ordinal IS NULL))
) STRICT;
CREATE INDEX chunk_by_pack ON chunk (pack_id, pack_ordinal, byte_length);
CREATE INDEX chunk_unreferenced ON chunk (chunk_id) WHERE reference_count = 0;

CREATE TABLE loose_chunk (
  chunk_id INTEGER PRIMARY KEY REFERENCES chunk ON DELETE CASCADE,
  bytes BLOB NOT NULL
) STRICT;

-- AUTOINCREMENT: a value_id keys copies on devices, so it must never come back as other content.
CREATE TABLE value (
  value_id INTEGER PRIMARY KEY AUTOINCREMENT,
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  dtype TEXT NOT NULL,
  shape TEXT NOT NULL,
  byte_length INTEGER NOT NULL,
  reference_count INTEGER NOT NULL DEFAULT 0 CHECK (reference_count >= 0),
  UNIQUE (digest, dtype, shape, byte_length)
) STRICT;
CREATE INDEX value_unreferenced ON value (value_id) WHERE reference_count = 0;

CREATE TABLE inline_content (
  value_id INTEGER PRIMARY KEY REFERENCES value ON DELETE CASCADE,
  crc32c INTEGER NOT NULL,
  bytes BLOB NOT NULL
) STRICT;

CREATE TABLE value_chunk (
  value_id INTEGER NOT NULL REFERENCES value,
  ordinal INTEGER NOT NULL,
  chunk_id INTEGER NOT NULL,
  PRIMARY KEY (value_id, ordinal)
) STRICT, WITHOUT ROWID;

-- version is what readers see (0 before the first value); last_version is what the next write
-- grows from, and outlives the variable in dropped_variable.
CREATE TABLE variable (
  container TEXT NOT NULL,
  name TEXT NOT NULL,
  dtype TEXT NOT NULL,
  trainable INTEGER NOT NULL,
  version INTEGER NOT NULL,
  last_version INTEGER NOT NULL,
  value_id INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  device TEXT NOT NULL,
  shape TEXT,
  collections TEXT NOT NULL,
  initializer TEXT NOT NULL,
  PRIMARY KEY (container, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE dropped_variable (
  container TEXT NOT NULL,
  name TEXT NOT NULL,
  last_version INTEGER NOT NULL,
  PRIMARY KEY (container, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE collection_member (
  container TEXT NOT NULL,
  collection TEXT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (container, collection, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
  checkpoint_id INTEGER PRIMARY KEY AUTOINCREMENT,
  container TEXT NOT NULL,
  step INTEGER,
  pinned INTEGER NOT NULL DEFAULT 0,
  tensor_count INTEGER NOT NULL,
  byte_length INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  metadata TEXT NOT NULL
) STRICT;
CREATE INDEX checkpoint_by_container ON checkpoint (container, checkpoint_id);

CREATE TABLE checkpoint_entry (
  checkpoint_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  value_id INTEGER NOT NULL,
  PRIMARY KEY (checkpoint_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE label (
  label TEXT PRIMARY KEY,
  checkpoint_id INTEGER NOT NULL REFERENCES checkpoint
) STRICT, WITHOUT ROWID;
CREATE INDEX label_by_checkpoint ON label (checkpoint_id, label);

-- Where a label pointed (null: nowhere) and since which commit; outlives the checkpoints.
CREATE TABLE label_history (
  label TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  checkpoint_id INTEGER,
  changed_at INTEGER NOT NULL,
  PRIMARY KEY (label, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE graph (
  graph_id TEXT PRIMARY KEY,
  value_id INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  summary TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE model_version (
  model TEXT NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  description TEXT NOT NULL,
  PRIMARY KEY (model, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE model_file (
  model TEXT NOT NULL,
  version INTEGER NOT NULL,
  path TEXT NOT NULL,
  value_id INTEGER NOT NULL,
  PRIMARY KEY (model, version, path),
  FOREIGN KEY (model, version) REFERENCES model_version
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
  key TEXT PRIMARY KEY,
  digest TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  outcome TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

-- Counts of chunks.

CREATE TRIGGER value_chunk_inserted AFTER INSERT ON value_chunk BEGIN
  UPDATE chunk SET reference_count = reference_count + 1 WHERE chunk_id = NEW.chunk_id;
  SELECT RAISE(ABORT, 'value_chunk names a missing chunk') WHERE changes() = 0;
END;
CREATE TRIGGER value_chunk_deleted AFTER DELETE ON value_chunk BEGIN
  UPDATE chunk SET reference_count = reference_count - 1 WHERE chunk_id = OLD.chunk_id;
END;

-- Live bytes of packs.

CREATE TRIGGER chunk_inserted AFTER INSERT ON chunk WHEN NEW.pack_id IS NOT NULL BEGIN
  UPDATE pack SET live_bytes = live_bytes + NEW.byte_length WHERE pack_id = NEW.pack_id;
END;
CREATE TRIGGER chunk_moved AFTER UPDATE OF pack_id ON chunk WHEN OLD.pack_id IS NOT NEW.pack_id BEGIN
  UPDATE pack SET live_bytes = live_bytes - OLD.byte_length WHERE pack_id = OLD.pack_id;
  UPDATE pack SET live_bytes = live_bytes + NEW.byte_length WHERE pack_id = NEW.pack_id;
END;
CREATE TRIGGER chunk_deleted AFTER DELETE ON chunk WHEN OLD.pack_id IS NOT NULL BEGIN
  UPDATE pack SET live_bytes = live_bytes - OLD.byte_length WHERE pack_id = OLD.pack_id;
END;

-- Counts of values: one group for each table that names them.

CREATE TRIGGER variable_inserted AFTER INSERT ON variable WHEN NEW.value_id IS NOT NULL BEGIN
  UPDATE value SET reference_count = reference_count + 1 WHERE value_id = NEW.value_id;
  SELECT RAISE(ABORT, 'variable names a missing value') WHERE changes() = 0;
END;
CREATE TRIGGER variable_rebound AFTER UPDATE OF value_id ON variable WHEN OLD.value_id IS NOT NEW.value_id BEGIN
  UPDATE value SET reference_count = reference_count - 1 WHERE value_id = OLD.value_id;
  UPDATE value SET reference_count = reference_count + 1 WHERE value_id = NEW.value_id;
  SELECT RAISE(ABORT, 'variable names a missing value') WHERE changes() = 0 AND NEW.value_id IS NOT NULL;
END;
CREATE TRIGGER variable_deleted AFTER DELETE ON variable WHEN OLD.value_id IS NOT NULL BEGIN
  UPDATE value SET reference_count = reference_count - 1 WHERE value_id = OLD.value_id;
END;

CREATE TRIGGER checkpoint_entry_inserted AFTER INSERT ON checkpoint_entry BEGIN
  UPDATE value SET reference_count = reference_count + 1 WHERE value_id = NEW.value_id;
  SELECT RAISE(ABORT, 'checkpoint_entry names a missing value') WHERE changes() = 0;
END;
CREATE TRIGGER checkpoint_entry_deleted AFTER DELETE ON checkpoint_entry BEGIN
  UPDATE value SET reference_count = reference_count - 1 WHERE value_id = OLD.value_id;
END;

CREATE TRIGGER graph_inserted AFTER INSERT ON graph BEGIN
  UPDATE value SET reference_count = reference_count + 1 WHERE value_id = NEW.value_id;
  SELECT RAISE(ABORT, 'graph names a missing value') WHERE changes() = 0;
END;
CREATE TRIGGER graph_rebound AFTER UPDATE OF value_id ON graph WHEN OLD.value_id IS NOT NEW.value_id BEGIN
  UPDATE value SET reference_count = reference_count - 1 WHERE value_id = OLD.value_id;
  UPDATE value SET reference_count = reference_count + 1 WHERE value_id = NEW.value_id;
  SELECT RAISE(ABORT, 'graph names a missing value') WHERE changes() = 0;
END;
CREATE TRIGGER graph_deleted AFTER DELETE ON graph BEGIN
  UPDATE value SET reference_count = reference_count - 1 WHERE value_id = OLD.value_id;
END;

CREATE TRIGGER model_file_inserted AFTER INSERT ON model_file BEGIN
  UPDATE value SET reference_count = reference_count + 1 WHERE value_id = NEW.value_id;
  SELECT RAISE(ABORT, 'model_file names a missing value') WHERE changes() = 0;
END;
CREATE TRIGGER model_file_deleted AFTER DELETE ON model_file BEGIN
  UPDATE value SET reference_count = reference_count - 1 WHERE value_id = OLD.value_id;
END;
