-- Version 1 of the log. The format is described in ARCHITECTURE.md, "The log file".

-- One row: the identity of this life of the file.
CREATE TABLE meta (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    epoch  INTEGER NOT NULL
) STRICT;

-- Readings, packed: consecutive sequence numbers of one lane, committed together.
CREATE TABLE segments (
    first_seq  INTEGER PRIMARY KEY,
    count      INTEGER NOT NULL,
    lane       INTEGER NOT NULL,
    boot       INTEGER NOT NULL,
    first_ms   INTEGER NOT NULL,  -- arrival of the first reading, milliseconds since boot
    last_ms    INTEGER NOT NULL,
    crc        INTEGER NOT NULL,  -- CRC-32 of body
    body       BLOB NOT NULL
) STRICT;

-- Operational facts, append-only; (stream, version) is the optimistic lock.
CREATE TABLE events (
    stream   TEXT NOT NULL,
    version  INTEGER NOT NULL,
    boot     INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,  -- milliseconds since boot
    kind     TEXT NOT NULL,
    data     BLOB NOT NULL,
    PRIMARY KEY (stream, version)
) STRICT, WITHOUT ROWID;

-- An aggregate as of a version; earlier events of its stream are not needed any more.
CREATE TABLE snapshots (
    stream   TEXT PRIMARY KEY,
    version  INTEGER NOT NULL,
    data     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
