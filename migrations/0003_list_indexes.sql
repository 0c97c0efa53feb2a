-- One index for each filter of a list of variables, in the order of the list, so that a page visits
-- the rows that it shows and no others.

-- Whether there is a value: a column of its own, which most writes leave alone, so that they leave the
-- index alone too.
ALTER TABLE variable ADD COLUMN initialized INTEGER NOT NULL DEFAULT 0;
UPDATE variable SET initialized = 1 WHERE value_id IS NOT NULL;

CREATE INDEX variable_by_initialized ON variable (container, initialized, name);
CREATE INDEX variable_by_trainable ON variable (container, trainable, name);
CREATE INDEX variable_by_dtype ON variable (container, dtype, name);
