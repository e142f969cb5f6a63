//! Every key there is: where it stands, its default, and what it means in one line.
//!
//! Whatever is not here is refused, with the nearest of these as advice.

/// `default` is as written in TOML, `required`, or in words what holds without the key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `log.path`; for the keys of a list such as `[[port]]`, `port.baud`.
    pub path: &'static str,
    pub default: &'static str,
    pub meaning: &'static str,
}

#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("device.id", "derived from the machine id", "name of this board in every reading"),
    key("log.path", "\"/var/lib/outstation/log.db\"", "file of the event log"),
    key("log.commit_interval", "\"1s\"", "longest time before readings are committed; what a power cut may cost"),
    key("log.alarm_commit_interval", "\"0s\"", "the same for alarms; \"0s\" commits each at once"),
    key("log.backfill_commit_interval", "commit_interval holds", "the same for what may wait"),
    key("log.commit_readings", "16384", "commit earlier once this many readings wait"),
    key("log.max_bytes", "268435456", "most bytes the log takes on disk; when full, the oldest readings go"),
    key("log.retain_delivered", "false", "keep delivered readings for inspection while there is room"),
    key("http.listen", "\"127.0.0.1:9437\"", "address of health, metrics and status, or \"off\""),
    key("http.connections_max", "16", "connections served at once; with more, one of whoever has most is closed"),
    key("http.allowed_networks", "every address is let in", "networks that are let in, besides the board itself"),
    key("http.cert_file", "it speaks plain HTTP", "file of its certificate in PEM; with it, it speaks HTTPS alone"),
    key("http.key_file", "it speaks plain HTTP", "file of the certificate's private key, in PEM"),
    key("http.client_ca_file", "clients show no certificate", "file of the authorities whose clients are let in, in PEM"),
    key("http.users_file", "nobody is asked for a password", "file of lines `name:hash`, as `htpasswd -nBC 10 NAME` prints them"),
    key("http.announce", "false", "tell the local network of it by multicast DNS, for `outstation discover`"),
    key("telemetry.level", "\"info\"", "least severe level logged, with exceptions by target"),
    key("telemetry.log_format", "\"auto\"", "where and how logs are written"),
    key("supervisor.shutdown_deadline", "\"5s\"", "time to drain after SIGTERM"),
    key("port.name", "required", "name of the port in readings, metrics and logs"),
    key("port.path", "required", "serial device; one under /dev/serial/by-id survives replugging"),
    key("port.baud", "115200", "bits per second"),
    key("port.data_bits", "8", "bits per character"),
    key("port.parity", "\"none\"", "parity bit"),
    key("port.stop_bits", "1", "stop bits per character"),
    key("port.flow_control", "\"none\"", "hardware is RTS and CTS, software XON and XOFF"),
    key("port.framing", "required", "frames of outstation-wire, or lines of text"),
    key("port.format", "required with framing = \"lines\"", "what a line is"),
    key("port.sensor_key", "the port's name names the sensor", "field that names the sensor"),
    key("port.time_key", "dated when the line arrives", "field with the time, as a number since 1970"),
    key("port.time_unit", "\"s\"", "unit of the field time_key names"),
    key("port.sequence_key", "gaps are not detected", "field that counts lines, so that gaps show"),
    key("port.columns", "required with format = \"csv\"", "names of the columns, from the left"),
    key("port.delimiter", "\",\"", "character between columns"),
    key("port.line_max", "4096", "longest line in bytes; a longer one is counted and skipped"),
    key("port.lane", "\"live\"", "backfill for a port whose readings may all wait"),
    key("alarm.port", "required", "the port whose readings are watched"),
    key("alarm.sensor", "every sensor of the port", "the sensor whose readings are watched"),
    key("alarm.channel", "required", "the channel that makes a reading an alarm"),
    key("alarm.above", "no upper threshold", "alarm when it rises above this, and when it is back"),
    key("alarm.below", "no lower threshold", "alarm when it falls below this, and when it is back"),
    key("alarm.change", "changes are no alarm", "alarm when it is so far from what was told last"),
    key("alarm.hysteresis", "it is back at the threshold itself", "how far inside a threshold it is back"),
    key("alarm.is", "the channel is a number", "alarm when a boolean becomes this, and when it is back"),
    key("sink.name", "required", "name of the sink in metrics, logs and its delivery state"),
    key("sink.kind", "required", "protocol of the sink"),
    key("sink.url", "required", "where it is reached; several in a list, the preferred first"),
    key("sink.scheme", "the first that the kind of sink knows", "scheme of endpoints that are looked up"),
    key("sink.path", "the usual one of the kind of sink", "path of endpoints that are looked up"),
    key("sink.encoding", "\"packed\"", "stored segments as they are, one JSON object per reading, or line protocol"),
    key("sink.compression", "what the encoding's servers take", "compression of request bodies"),
    key("sink.measurement", "\"{sensor}\"", "measurement of the readings, with encoding = \"influx\""),
    key("sink.integers", "\"integer\"", "type of whole numbers, with encoding = \"influx\""),
    key("sink.token_file", "no token is sent", "file with a bearer token"),
    key("sink.username", "no password is sent", "name for basic authentication"),
    key("sink.password_file", "no password is sent", "file with the password that belongs to username"),
    key("sink.headers", "none are added", "headers of every request, without secrets"),
    key("sink.headers_file", "none are added", "file of headers that hold secrets, a line `Name: value` each"),
    key("sink.ca_file", "the built-in Mozilla roots", "file of certificates in PEM to trust instead"),
    key("sink.cert_file", "it shows no certificate of its own", "file of the certificate to show, in PEM"),
    key("sink.key_file", "it shows no certificate of its own", "file of the certificate's private key, in PEM"),
    key("sink.metric_prefix", "\"\"", "in front of every metric name of a prometheus sink"),
    key("sink.labels", "no further labels", "labels on every series of a prometheus sink"),
    key("sink.version", "\"5\"", "version of MQTT"),
    key("sink.client_id", "made of the names of the device and the sink", "what the broker knows the session by"),
    key("sink.payload", "\"json\"", "one JSON object per reading, or one bare value per channel"),
    key("sink.topic", "\"outstation/{device}/{port}/{sensor}\"", "topic of readings; of bare values with a level for the channel"),
    key("sink.events_topic", "\"outstation/{device}/events\"", "topic of what happens to the board, as JSON"),
    key("sink.status_topic", "\"outstation/{device}/status\"", "topic of online and offline, retained; or \"off\""),
    key("sink.subject", "\"telemetry.{device}\"", "subject that readings and events are published on"),
    key("sink.stream", "whichever stream has the subject", "stream that must take what is published"),
    key("sink.creds_file", "it connects without a key", "file with a user's JWT and the seed of its key"),
    key("sink.events", "true", "tell this sink also what happens to the board, its ports and sinks"),
    key("sink.timeout", "\"30s\"", "longest time for one request"),
    key("sink.batch_readings", "65536", "most readings in one request"),
    key("sink.batch_bytes", "262144", "most bytes in one request, as an integer or such as \"256 KiB\""),
    key("sink.retries", "2", "repeats of a failed request before the batch is offered anew"),
    key("sink.best_effort", "false", "readings may leave the log before this sink has them"),
    key("sink.quarantine_readings", "1000", "most readings kept aside because this sink refuses them"),
    key("sink.order", "\"live_first\"", "fresh readings before the backlog, or all as they were stored, which is what prometheus needs"),
    key("sink.live_share", "4", "readings of live for one of the backlog while there are both"),
    key("sink.live_window", "\"10s\"", "readings that waited longer are backlog"),
    key("sink.budget", "as many as there are to send", "most bytes on the wire in a period; alarms leave even so"),
    key("sink.budget_period", "\"month\"", "day or month, in UTC"),
    key("sink.quiet_hours", "it sends at any hour", "times of the day, in UTC, at which only alarms leave"),
    key("sink.max_rate", "as fast as the link allows", "most bytes per second on the wire"),
];

const fn key(path: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key { path, default, meaning }
}

/// The keys of a section such as `log` or `port[1]`; those of the root are the sections.
pub(super) fn of(section: &str) -> impl Iterator<Item = &'static str> + '_ {
    let list = section.split('[').next().unwrap_or(section);
    let mut previous = "";
    KEYS.iter().filter_map(move |key| {
        let (parent, leaf) = key.path.split_once('.')?;
        let repeats = std::mem::replace(&mut previous, parent) == parent;
        match list {
            "" => (!repeats).then_some(parent),
            list => (parent == list).then_some(leaf),
        }
    })
}

/// What was probably meant: a similar key here, else the same key elsewhere, else what there is.
pub(super) fn advice(section: &str, unknown: &str) -> String {
    let leaf = |key: &Key| key.path.split_once('.').map(|(_, leaf)| leaf);
    let mut same = KEYS.iter().filter(|key| leaf(key) == Some(unknown)).map(|key| key.path);
    // A `name` is in several sections, so it tells nothing about which was meant.
    let elsewhere = same.next().filter(|_| same.next().is_none());
    match nearest(of(section), unknown).or(elsewhere) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("allowed: {}", of(section).collect::<Vec<_>>().join(", ")),
    }
}

fn nearest(known: impl Iterator<Item = &'static str>, unknown: &str) -> Option<&'static str> {
    // One slip in three letters is a slip; more is another word. `baudrate` means `baud`.
    let similar = |key: &&str| {
        let (key, near) = (*key, key.len().max(unknown.len()) / 3);
        let begins = unknown.len() > 2 && (key.starts_with(unknown) || unknown.starts_with(key));
        begins || distance(key, unknown) <= near.max(1)
    };
    known.filter(similar).min_by_key(|key| distance(key, unknown))
}

/// Levenshtein: how many letters to insert, drop or change.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (above, l) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (at, r) in right.chars().enumerate() {
            let change = diagonal + usize::from(l != r);
            diagonal = row[at + 1];
            row[at + 1] = change.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
