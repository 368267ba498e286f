-- Changes and their tasks: on record before they act.
CREATE TABLE operations (
    id       TEXT PRIMARY KEY,
    kind     TEXT NOT NULL,
    state    TEXT NOT NULL,
    started  REAL NOT NULL,
    finished REAL,
    spec     TEXT NOT NULL,      -- all that is needed to build the tasks again
    document TEXT NOT NULL       -- api.operation.Operation
) STRICT, WITHOUT ROWID;

CREATE INDEX operations_by_end ON operations (finished);

CREATE TABLE tasks (
    operation TEXT NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    name      TEXT NOT NULL,
    state     TEXT NOT NULL,
    resource  TEXT,              -- what it makes, kind and identity, for a reader of the record
    identity  TEXT,
    facts     TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (operation, position)
) STRICT, WITHOUT ROWID;

-- Named documents; their structures live with the services that own them.
CREATE TABLE vms (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE images (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
