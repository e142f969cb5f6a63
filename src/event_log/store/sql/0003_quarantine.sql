-- Version 3: readings that a sink refused are kept beside the segments, which may leave before them.

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
    crc        INTEGER NOT NULL   -- CRC-32 of everything else
) STRICT;

CREATE INDEX quarantine_by_number ON quarantine (sink, first_seq);
