-- Who turned a label, what may go of a container's checkpoints, figures kept beside a value, and the
-- checkpoints that are gone but for their entries.

ALTER TABLE label_history ADD COLUMN actor TEXT;

CREATE TABLE retention (
  container TEXT PRIMARY KEY,
  rules TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE value_figures (
  value_id INTEGER PRIMARY KEY REFERENCES value ON DELETE CASCADE,
  figures TEXT NOT NULL
) STRICT;

-- The sweep takes their entries away in bounded steps, however many there are.
CREATE TABLE deleted_checkpoint (
  checkpoint_id INTEGER PRIMARY KEY
) STRICT;

CREATE INDEX checkpoint_by_step ON checkpoint (step, checkpoint_id);
