-- What `outstation collect` keeps, laid out for a person with the sqlite3 shell:
--   SELECT time, sensor, cells ->> 'temperature' FROM history ORDER BY time DESC LIMIT 10;
--   SELECT time, value FROM measurements WHERE sensor = 't1' AND channel = 'temperature';
--   SELECT time, stream, kind, data FROM event_history ORDER BY time DESC LIMIT 10;
--   SELECT * FROM gaps;

CREATE TABLE devices (
    id            INTEGER PRIMARY KEY,
    device        TEXT NOT NULL,
    epoch         TEXT NOT NULL,              -- decimal: an unsigned 64-bit number is no INTEGER
    received      TEXT NOT NULL DEFAULT '[]', -- sequence numbers as [[first,last],...]
    repeats       INTEGER NOT NULL DEFAULT 0,
    begins        INTEGER NOT NULL DEFAULT 1, -- the epoch's first number: it may go on with an earlier numbering
    events        TEXT NOT NULL DEFAULT '[]', -- positions as [[first,last],...]
    event_repeats INTEGER NOT NULL DEFAULT 0,
    UNIQUE (device, epoch)
) STRICT;

CREATE TABLE sensors (
    id        INTEGER PRIMARY KEY,
    device_id INTEGER NOT NULL REFERENCES devices,
    port      TEXT NOT NULL,
    name      TEXT NOT NULL,
    channels  TEXT,                      -- [{"name","unit","kind"},...]; JSON lines do not say
    UNIQUE (device_id, port, name)
) STRICT;

-- One row per reading, its values in one JSON object: a row per value would cost a station of ten
-- channels ten times the work. Ordered by arrival order of each device, so inserts append.
CREATE TABLE readings (
    device_id INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    sensor_id INTEGER NOT NULL,
    time_ms   INTEGER NOT NULL,          -- Unix milliseconds; if the clock was not set, since boot
    clock_set INTEGER NOT NULL,
    cells     TEXT NOT NULL,             -- {"channel":value,...}
    PRIMARY KEY (device_id, seq)
) WITHOUT ROWID, STRICT;

CREATE VIEW history AS
SELECT d.device, d.epoch, r.seq, s.port, s.name AS sensor,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.time_ms / 1000.0, 'unixepoch') AS time,
       r.clock_set, r.cells
FROM readings r JOIN devices d ON d.id = r.device_id JOIN sensors s ON s.id = r.sensor_id;

CREATE VIEW measurements AS
SELECT h.device, h.epoch, h.seq, h.port, h.sensor, h.time, h.clock_set,
       cell.key AS channel, cell.atom AS value
FROM history h, json_each(h.cells) AS cell;

-- What happens to a device besides its readings.
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
CREATE VIEW gaps AS
SELECT device, epoch, first, last FROM (
    SELECT d.device, d.epoch,
           max(d.begins, 1 + lag(i.value ->> 1, 1, 0) OVER (PARTITION BY d.id ORDER BY i.key)) AS first,
           (i.value ->> 0) - 1 AS last
    FROM devices d, json_each(d.received) AS i
) WHERE first <= last;
