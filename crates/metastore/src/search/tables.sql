-- A property path of one kind of resource in one region; `many` when some record has it in a list.
CREATE TABLE search_fields (
    id     INTEGER PRIMARY KEY,
    kind   TEXT NOT NULL,
    region TEXT NOT NULL,
    path   TEXT NOT NULL,
    many   INTEGER NOT NULL,
    UNIQUE (kind, region, path)
);
-- One row per record: its facts, and whether its terms are still to be written.
CREATE TABLE search_entries (
    id       INTEGER PRIMARY KEY,
    kind     TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    created  INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    pending  INTEGER NOT NULL,
    facts    BLOB NOT NULL,
    UNIQUE (kind, region, name)
);
CREATE INDEX search_entries_created ON search_entries (kind, region, created, id);
CREATE INDEX search_entries_modified ON search_entries (kind, region, modified, id);
CREATE INDEX search_entries_pending ON search_entries (kind, region, id) WHERE pending = 1;
-- The value has no type: numbers sort before text.
CREATE TABLE search_terms (
    field INTEGER NOT NULL,
    value NOT NULL,
    entry INTEGER NOT NULL,
    PRIMARY KEY (field, value, entry)
) WITHOUT ROWID;
CREATE TABLE search_state (rules INTEGER NOT NULL);
INSERT INTO search_state (rules) VALUES (0);
