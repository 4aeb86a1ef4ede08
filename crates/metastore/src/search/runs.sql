-- Terms lie in sorted runs from here on, and what is pending in a table of its own: the index is made anew.
DROP TABLE search_terms;
DROP TABLE search_entries;
-- One row per record: its facts.
CREATE TABLE search_entries (
    id       INTEGER PRIMARY KEY,
    kind     TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    created  INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    facts    BLOB NOT NULL,
    UNIQUE (kind, region, name)
);
CREATE INDEX search_entries_created ON search_entries (kind, region, created, id);
CREATE INDEX search_entries_modified ON search_entries (kind, region, modified, id);
-- Entries whose facts are newer than their terms. `change` is another number with every change.
CREATE TABLE search_pending (
    kind   TEXT NOT NULL,
    region TEXT NOT NULL,
    entry  INTEGER NOT NULL,
    change INTEGER NOT NULL,
    PRIMARY KEY (kind, region, entry)
) WITHOUT ROWID;
-- A run: the terms of many entries, written at once. `entries` are those entries; `target` is the run
-- that it is being merged into.
CREATE TABLE search_runs (
    id      INTEGER PRIMARY KEY,
    level   INTEGER NOT NULL,
    target  INTEGER,
    entries BLOB NOT NULL
);
-- A piece of a run's terms of one field, from the first value to the last. Values have no type: numbers
-- sort before text.
CREATE TABLE search_blocks (
    id    INTEGER PRIMARY KEY,
    run   INTEGER NOT NULL,
    field INTEGER NOT NULL,
    first NOT NULL,
    last  NOT NULL,
    terms INTEGER NOT NULL,
    data  BLOB NOT NULL
);
CREATE INDEX search_blocks_last ON search_blocks (field, run, last, id, first, terms);
DELETE FROM search_fields;
UPDATE search_state SET rules = 0;
