-- A directed, typed connection between two ARNs, of one relation.
CREATE TABLE links (
    relation    TEXT NOT NULL,
    region      TEXT NOT NULL,
    source      TEXT NOT NULL,
    destination TEXT NOT NULL,
    label       TEXT NOT NULL,
    created     INTEGER NOT NULL,
    document    TEXT NOT NULL,
    PRIMARY KEY (source, relation, region, destination)
) WITHOUT ROWID;
CREATE INDEX links_destination ON links (destination, relation, region, source);
CREATE INDEX links_created ON links (relation, region, created, source, destination);
