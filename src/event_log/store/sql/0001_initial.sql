-- Version 1 of the log. The format is described in docs/develop/formats/log-file.md.
-- Every row carries a checksum, CRC-32 over everything else in it.

-- One row: the identity of this life of the file.
CREATE TABLE meta (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    epoch   INTEGER NOT NULL,
    format  INTEGER NOT NULL,  -- as user_version: the header can be damaged
    file    BLOB NOT NULL,     -- which file this is, so that a copy knows it is one
    crc     INTEGER NOT NULL
) STRICT;

-- Readings, packed: consecutive sequence numbers of one lane, committed together.
CREATE TABLE segments (
    first_seq  INTEGER PRIMARY KEY,
    count      INTEGER NOT NULL,
    lane       INTEGER NOT NULL,
    boot       INTEGER NOT NULL,
    first_ms   INTEGER NOT NULL,  -- arrival of the first reading, milliseconds since boot
    last_ms    INTEGER NOT NULL,
    crc        INTEGER NOT NULL,  -- of what travels with it: not of first_ms and last_ms
    body       BLOB NOT NULL
) STRICT;

-- Eviction starts with the lowest lane. Nearly everything is live, so that lane needs no index.
CREATE INDEX segments_by_lane ON segments (lane, first_seq) WHERE lane <> 1;

-- Operational facts, append-only; (stream, version) is the optimistic lock.
CREATE TABLE events (
    stream    TEXT NOT NULL,
    version   INTEGER NOT NULL,
    boot      INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,  -- milliseconds since boot
    kind      TEXT NOT NULL,     -- for people and queries: data says it too
    data      BLOB NOT NULL,
    position  INTEGER,           -- only of events that are delivered: their order among themselves
    crc       INTEGER NOT NULL,
    PRIMARY KEY (stream, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX events_by_position ON events (position) WHERE position IS NOT NULL;

-- An aggregate as of a version; earlier events of its stream are not needed any more.
CREATE TABLE snapshots (
    stream   TEXT PRIMARY KEY,
    version  INTEGER NOT NULL,
    data     BLOB NOT NULL,
    crc      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Readings that a sink refused are kept beside the segments, which may leave before them.
CREATE TABLE quarantine (
    sink       TEXT NOT NULL,
    first_seq  INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    lane       INTEGER NOT NULL,
    boot       INTEGER NOT NULL,  -- that the times of the readings count from
    at_boot    INTEGER NOT NULL,  -- when they were refused: the boot
    at_ms      INTEGER NOT NULL,  -- and milliseconds since
    replayed   INTEGER NOT NULL,  -- 1 if they are offered again
    reason     TEXT NOT NULL,     -- as the server said it
    body       BLOB NOT NULL,
    crc        INTEGER NOT NULL
) STRICT;

CREATE INDEX quarantine_by_number ON quarantine (sink, first_seq);
