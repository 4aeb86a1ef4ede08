-- Values that clients measured for one resource, apart from its record: a series never slows a search.
CREATE TABLE run_metrics (
    arn      TEXT NOT NULL,
    metric   TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    step     INTEGER,
    value    REAL NOT NULL,
    PRIMARY KEY (arn, metric, sequence)
) WITHOUT ROWID;
