//! `[[sink]]`: one destination. How it is reached is in the settings of its kind; pace and patience are
//! common to all.

use std::time::Duration;

use super::part::pace::Pace;
use super::part::url::Addresses;
use super::reader::keys::{Key, key};
use super::reader::kind::{Kind, Refusal, boolean, bytes, duration, either, found, integer, name};
use super::reader::print::Printer;
use super::reader::section::Section;
use crate::domain::policy::lanes::Order;
use crate::sinks::kind::{AnySinkSettings, SinkKind};
use crate::sinks::{KINDS, Row};

#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    pub name: String,
    pub addresses: Addresses,
    /// The name of its kind.
    pub kind: &'static str,
    pub(crate) settings: AnySinkSettings,
    /// Whether it is told what happens to the device, besides its readings.
    pub events: bool,
    /// For one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    pub batch_readings: u64,
    /// Of one request: packed bytes, or about 128 per reading as JSON.
    pub batch_bytes: usize,
    /// Within one offer of a batch; after them the breaker and the next offer take over.
    pub retries: u32,
    /// Whether readings may leave the log before this sink has them.
    pub best_effort: bool,
    /// So many readings that it refuses are kept aside.
    pub quarantine_readings: u64,
    pub pace: Pace,
}

const TIMEOUT: Duration = Duration::from_secs(30);
const BATCH_READINGS: u64 = 65_536;
const BATCH_BYTES: usize = 256 << 10;
const RETRIES: u32 = 2;
const QUARANTINE_READINGS: u64 = 1000;

impl Sink {
    #[rustfmt::skip]
    pub(super) const KEYS: &[Key] = &[
        key("sink.name", "required", "name of the sink in metrics, logs and its delivery state"),
        key("sink.kind", "required", "protocol of the sink"),
        key("sink.events", "true", "tell this sink also what happens to the board, its ports and sinks"),
        key("sink.timeout", "\"30s\"", "longest time for one request"),
        key("sink.batch_readings", "65536", "most readings in one request"),
        key("sink.batch_bytes", "262144", "most bytes in one request, as an integer or such as \"256 KiB\""),
        key("sink.retries", "2", "repeats of a failed request before the batch is offered anew"),
        key("sink.best_effort", "false", "readings may leave the log before this sink has them"),
        key("sink.quarantine_readings", "1000", "most readings kept aside because this sink refuses them"),
    ];

    pub(super) fn read(from: &Section<'_>) -> Option<Self> {
        let timeout = duration(Duration::from_millis(100)..=Duration::from_secs(600));
        let name = from.required("name", &name(32));
        let known = from.required("kind", &kinds());
        if let Some(known) = known {
            let others = self::known().map(|other| (other.name, other.kind.keys));
            from.refuse_keys_of_others("this kind of sink", known.kind.keys, "kind", others);
        }
        let addresses = known.and_then(|known| Addresses::read(from, known.kind.scheme));
        let settings = known.map(|known| (known.kind.read)(from));
        if let (Some(addresses), Some(settings)) = (&addresses, &settings) {
            settings.check_addresses(addresses, from);
        }
        let events = events(from, settings.as_ref().is_none_or(|settings| settings.takes_events()));
        let timeout = from.or("timeout", TIMEOUT, &timeout);
        let batch_readings = from.or("batch_readings", BATCH_READINGS, &integer(1..=65_536));
        let batch_bytes = from.or("batch_bytes", BATCH_BYTES, &bytes(1024..=16 << 20));
        let retries = from.or("retries", RETRIES, &integer(0..=10));
        let best_effort = from.or("best_effort", false, &boolean());
        let quarantine_readings =
            from.or("quarantine_readings", QUARANTINE_READINGS, &integer(0..=100_000));
        let pace = Pace::read(from, known.map_or(Order::LiveFirst, |known| known.kind.order));
        Some(Self {
            name: name?,
            addresses: addresses?,
            kind: known?.name,
            settings: settings?,
            events,
            timeout,
            batch_readings,
            batch_bytes,
            retries,
            best_effort,
            quarantine_readings,
            pace: pace?,
        })
    }

    pub(super) fn print(&self, to: &mut Printer) {
        to.section("[[sink]]");
        to.text("name", &self.name);
        to.text("kind", self.kind);
        self.addresses.print(to);
        self.settings.print(to);
        to.bare("events", self.events);
        to.duration("timeout", self.timeout);
        to.bare("batch_readings", self.batch_readings);
        to.bare("batch_bytes", self.batch_bytes);
        to.bare("retries", self.retries);
        to.bare("best_effort", self.best_effort);
        to.bare("quarantine_readings", self.quarantine_readings);
        self.pace.print(to);
    }
}

/// A kind that this build has.
#[derive(Clone, Copy)]
struct Known {
    name: &'static str,
    kind: &'static SinkKind,
}

fn known() -> impl Iterator<Item = Known> {
    KINDS.iter().filter_map(|row| Some(Known { name: row.name, kind: row.kind? }))
}

fn kinds() -> Kind<Known> {
    let names: Vec<String> = known().map(|known| format!("{:?}", known.name)).collect();
    Kind {
        allowed: either(&names),
        read: Box::new(|value| match KINDS.iter().find(|row| value.as_str() == Some(row.name)) {
            Some(Row { name, kind: Some(kind) }) => Ok(Known { name, kind }),
            Some(Row { name, kind: None }) => Err(Refusal::left_out(&found(value), name)),
            None => Err(Refusal::NotAllowed),
        }),
    }
}

/// Whether this build was made without the kind of such a section, and so does not know its keys.
pub(super) fn is_left_out(from: &Section<'_>) -> bool {
    let kind = from.text("kind");
    KINDS.iter().any(|row| row.kind.is_none() && kind == Some(row.name))
}

/// The keys of the kinds that this build has.
pub(super) fn keys_of_kinds() -> impl Iterator<Item = &'static [Key]> {
    known().flat_map(|known| known.kind.keys.iter().copied())
}

fn events(from: &Section<'_>, possible: bool) -> bool {
    let events = from.or("events", possible, &boolean());
    if events && !possible {
        let message = "found true; allowed: false, because this kind of sink or encoding can only \
                       say readings";
        from.report("events", message.to_owned());
    }
    events
}
