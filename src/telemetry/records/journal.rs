//! Sends records to journald through the layer of `tracing-journald`.
//!
//! The crate formats journald's native protocol and sends it. It takes an event and not a record, so
//! each record is made an event again. Two properties of the crate decide where and how it is used:
//!
//! - Its socket blocks while journald does not read. It is used on the thread of the log writer only,
//!   where nothing else waits.
//! - It discards the error of a send. Without a journald a record would be lost unnoticed, so
//!   [`connect`] asks first whether one is there. What is left is a journald that ends between this
//!   question and the send; under systemd the service manager keeps the socket open over a restart.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tracing::callsite::{DefaultCallsite, Identifier};
use tracing::field::{FieldSet, Value};
use tracing::metadata::Kind;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Layered, SubscriberExt};

use super::format::{fields, harmless, message};
use super::record::Record;

/// The crate has the same path as a private constant.
const SOCKET: &str = "/run/systemd/journal/socket";
/// A record that waited longer has the field `LATE_S`, because journald dates records by their arrival.
const LATE_AFTER: Duration = Duration::from_secs(1);

/// The events that are made of records belong to this callsite. It is never registered.
static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);
static METADATA: Metadata<'static> = metadata(Level::INFO, module_path!(), None, &[]);

#[derive(Default)]
pub(crate) struct Journal {
    /// Made with the first record: making it sends an empty datagram, which blocks as well.
    layer: Option<Layered<tracing_journald::Layer, Registry>>,
    shapes: HashMap<Shape, &'static Metadata<'static>>,
}

/// What an event has in its metadata: level, target, location in the source, names of fields. A program
/// has a few of them for each of its callsites, so their number is bounded.
type Shape = (Level, &'static str, Option<(&'static str, u32)>, Vec<&'static str>);

impl Journal {
    /// Fails if there is no journald.
    pub(crate) fn open() -> io::Result<Self> {
        connect()?;
        Ok(Self::default())
    }

    /// Sends a record that has waited for the time `late`; blocks until journald has room for it. An
    /// error means that there is no journald and the record was not sent.
    pub(crate) fn send(&mut self, record: &Record, late: Duration) -> io::Result<()> {
        connect()?;
        let layer = match &mut self.layer {
            Some(layer) => layer,
            none => none.insert(tracing_subscriber::registry().with(layer()?)),
        };
        let (names, values) = journal_fields(record, late);
        let values: Vec<_> = values.iter().map(|value| Some(value as &dyn Value)).collect();
        let shape = (record.level, record.target, record.location, names);
        let metadata = self.shapes.entry(shape).or_insert_with_key(leak);
        // Hidden in the documentation, but what the macros of every 0.1 of `tracing` expand to.
        let values = metadata.fields().value_set_all(&values);
        // Not through a `Dispatch`, which would enable every callsite of the program.
        layer.event(&Event::new(metadata, &values));
        Ok(())
    }
}

/// Fails if nothing listens on journald's socket. It never blocks and sends nothing.
fn connect() -> io::Result<()> {
    UnixDatagram::unbound()?.connect(SOCKET)
}

fn layer() -> io::Result<tracing_journald::Layer> {
    let priorities = PriorityMappings {
        info: Priority::Informational,
        debug: Priority::Debug,
        ..PriorityMappings::new()
    };
    let layer = tracing_journald::layer()?.with_field_prefix(None);
    let layer = layer.with_syslog_identifier(env!("CARGO_PKG_NAME").to_owned());
    Ok(layer.with_priority_mappings(priorities))
}

/// The fields of a record and their values as text. The crate adds priority, identifier, target and
/// location, and writes the names in capitals.
fn journal_fields(record: &Record, late: Duration) -> (Vec<&'static str>, Vec<String>) {
    let own = [("message", message(record)), ("message_id", record.message_id.clone())];
    let own = own.into_iter().filter(|(name, value)| *name == "message" || !value.is_empty());
    let fields = fields(record).map(|(name, value)| (name, value.to_string()));
    let late = (late >= LATE_AFTER).then(|| ("late_s", late.as_secs().to_string()));
    let all = own.chain(fields).chain(late);
    all.map(|(name, value)| (name, harmless(&value, "\n\t"))).unzip()
}

fn leak((level, target, location, names): &Shape) -> &'static Metadata<'static> {
    let names = Vec::leak(names.clone());
    Box::leak(Box::new(metadata(*level, target, *location, names)))
}

const fn metadata(
    level: Level,
    target: &'static str,
    location: Option<(&'static str, u32)>,
    names: &'static [&'static str],
) -> Metadata<'static> {
    let (file, line) = match location {
        Some((file, line)) => (Some(file), Some(line)),
        None => (None, None),
    };
    let fields = FieldSet::new(names, Identifier(&CALLSITE));
    Metadata::new("record", target, level, file, line, None, fields, Kind::EVENT)
}
