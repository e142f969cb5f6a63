-- Version 2: every row carries a checksum, and operational events have an order among themselves, so
-- that they can be delivered.

ALTER TABLE meta ADD COLUMN format INTEGER NOT NULL DEFAULT 2;  -- as user_version: the header can be damaged
ALTER TABLE meta ADD COLUMN file   BLOB NOT NULL DEFAULT x'';   -- which file this is, so that a copy knows it is one
ALTER TABLE meta ADD COLUMN crc    INTEGER NOT NULL DEFAULT 0;

ALTER TABLE events ADD COLUMN position INTEGER;                 -- only of events that are delivered
ALTER TABLE events ADD COLUMN crc      INTEGER NOT NULL DEFAULT 0;

ALTER TABLE snapshots ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;

CREATE INDEX events_by_position ON events (position) WHERE position IS NOT NULL;

-- Eviction starts with the lowest lane. Nearly everything is live, so that lane needs no index.
CREATE INDEX segments_by_lane ON segments (lane, first_seq) WHERE lane <> 1;
