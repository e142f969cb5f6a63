-- What happens to a device besides its readings, and epochs that go on with an earlier numbering:
--   SELECT time, stream, kind, data FROM event_history ORDER BY time DESC LIMIT 10;

ALTER TABLE devices ADD COLUMN begins INTEGER NOT NULL DEFAULT 1;  -- the epoch's first number
ALTER TABLE devices ADD COLUMN events TEXT NOT NULL DEFAULT '[]';  -- positions as [[first,last],...]
ALTER TABLE devices ADD COLUMN event_repeats INTEGER NOT NULL DEFAULT 0;

CREATE TABLE events (
    device_id INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    time_ms   INTEGER NOT NULL,          -- Unix milliseconds; if the clock was not set, since boot
    clock_set INTEGER NOT NULL,
    stream    TEXT NOT NULL,
    kind      TEXT NOT NULL,
    data      TEXT NOT NULL,             -- {"name":value,...}, by kind
    PRIMARY KEY (device_id, position)
) WITHOUT ROWID, STRICT;

CREATE VIEW event_history AS
SELECT d.device, d.epoch, e.position,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.time_ms / 1000.0, 'unixepoch') AS time,
       e.clock_set, e.stream, e.kind, e.data
FROM events e JOIN devices d ON d.id = e.device_id;

-- What is missing before the first interval is a gap as well, from where the epoch begins.
DROP VIEW gaps;
CREATE VIEW gaps AS
SELECT device, epoch, first, last FROM (
    SELECT d.device, d.epoch,
           max(d.begins, 1 + lag(i.value ->> 1, 1, 0) OVER (PARTITION BY d.id ORDER BY i.key)) AS first,
           (i.value ->> 0) - 1 AS last
    FROM devices d, json_each(d.received) AS i
) WHERE first <= last;
