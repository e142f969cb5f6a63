//! `[[sink]]`: one destination. How it is reached is in its kind; pace and patience are common to all.

use std::time::Duration;

use hyper::Uri;

use super::kind::{Kind, Names, Refusal, boolean, bytes, choice, duration, found, integer, name};
use super::pace::Pace;
use super::print::Printer;
use super::section::Section;
use super::sink_http::{self, HttpSink};
#[cfg(feature = "mqtt")]
use super::sink_mqtt::{self, MqttSink};
#[cfg(feature = "nats")]
use super::sink_nats::{self, NatsSink};
#[cfg(feature = "prometheus")]
use super::sink_prometheus::{self, PrometheusSink};
use super::url::{Addresses, Scheme};
use crate::domain::policy::lanes::Order;

#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    pub name: String,
    pub addresses: Addresses,
    pub kind: SinkKind,
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

#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    Http(Box<HttpSink>),
    #[cfg(feature = "mqtt")]
    Mqtt(Box<MqttSink>),
    #[cfg(feature = "prometheus")]
    Prometheus(Box<PrometheusSink>),
    #[cfg(feature = "nats")]
    Nats(Box<NatsSink>),
}

/// One kind of sink, as the configuration knows it: to add one, add its file and its row in `KINDS`.
#[derive(Clone, Copy)]
struct KindOf {
    scheme: Scheme,
    order: Order,
    /// Those that mean nothing to other kinds, unless they have them too.
    keys: Keys,
    read: fn(&Section<'_>) -> Option<SinkKind>,
}

/// In groups, which several kinds may share.
pub(super) type Keys = &'static [&'static [&'static str]];

const KINDS: Names<KindOf> = &[
    (
        "http",
        KindOf {
            scheme: sink_http::SCHEME,
            order: Order::LiveFirst,
            keys: sink_http::KEYS,
            read: |from| Some(SinkKind::Http(Box::new(HttpSink::read(from)))),
        },
    ),
    #[cfg(feature = "mqtt")]
    (
        "mqtt",
        KindOf {
            scheme: sink_mqtt::SCHEME,
            order: Order::LiveFirst,
            keys: sink_mqtt::KEYS,
            read: |from| Some(SinkKind::Mqtt(Box::new(MqttSink::read(from)))),
        },
    ),
    #[cfg(feature = "prometheus")]
    (
        "prometheus",
        KindOf {
            scheme: sink_prometheus::SCHEME,
            // A series takes no time before its newest.
            order: Order::AsStored,
            keys: sink_prometheus::KEYS,
            read: |from| Some(SinkKind::Prometheus(Box::new(PrometheusSink::read(from)))),
        },
    ),
    #[cfg(feature = "nats")]
    (
        "nats",
        KindOf {
            scheme: sink_nats::SCHEME,
            order: Order::LiveFirst,
            keys: sink_nats::KEYS,
            read: |from| Some(SinkKind::Nats(Box::new(NatsSink::read(from)))),
        },
    ),
];

/// Kinds that this build was made without; each is a feature of the same name.
const LEFT_OUT: &[&str] = &[
    #[cfg(not(feature = "mqtt"))]
    "mqtt",
    #[cfg(not(feature = "prometheus"))]
    "prometheus",
    #[cfg(not(feature = "nats"))]
    "nats",
];

const TIMEOUT: Duration = Duration::from_secs(30);
const BATCH_READINGS: u64 = 65_536;
const BATCH_BYTES: usize = 256 << 10;
const RETRIES: u32 = 2;
const QUARANTINE_READINGS: u64 = 1000;

impl SinkKind {
    /// As it is written in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            #[cfg(feature = "mqtt")]
            Self::Mqtt(_) => "mqtt",
            #[cfg(feature = "prometheus")]
            Self::Prometheus(_) => "prometheus",
            #[cfg(feature = "nats")]
            Self::Nats(_) => "nats",
        }
    }

    fn print(&self, to: &mut Printer) {
        match self {
            Self::Http(http) => http.print(to),
            #[cfg(feature = "mqtt")]
            Self::Mqtt(mqtt) => mqtt.print(to),
            #[cfg(feature = "prometheus")]
            Self::Prometheus(prometheus) => prometheus.print(to),
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.print(to),
        }
    }

    /// Whether it can be told what happens to the device.
    fn takes_events(&self) -> bool {
        match self {
            Self::Http(http) => http.takes_events(),
            #[cfg(feature = "mqtt")]
            Self::Mqtt(_) => true,
            #[cfg(feature = "prometheus")]
            Self::Prometheus(_) => false,
            #[cfg(feature = "nats")]
            Self::Nats(_) => true,
        }
    }

    /// What of a URL only the kind can judge.
    fn check_urls(&self, addresses: &Addresses, from: &Section<'_>) {
        match self {
            Self::Http(http) => http.check_urls(addresses, from),
            #[cfg(any(feature = "mqtt", feature = "prometheus", feature = "nats"))]
            _ => {}
        }
    }
}

impl Sink {
    /// A packed sink with every other setting at its default.
    pub fn http(name: &str, url: Uri) -> Self {
        Self {
            name: name.to_owned(),
            addresses: Addresses::Fixed(vec![url]),
            kind: SinkKind::Http(Box::default()),
            events: true,
            timeout: TIMEOUT,
            batch_readings: BATCH_READINGS,
            batch_bytes: BATCH_BYTES,
            retries: RETRIES,
            best_effort: false,
            quarantine_readings: QUARANTINE_READINGS,
            pace: Pace::of(Order::LiveFirst),
        }
    }

    pub(super) fn read(from: &Section<'_>) -> Option<Self> {
        let timeout = duration(Duration::from_millis(100)..=Duration::from_secs(600));
        let name = from.required("name", &name(32));
        let known = from.required("kind", &kinds());
        if let Some(known) = known {
            refuse_others_keys(from, known);
        }
        let addresses = known.and_then(|known| Addresses::read(from, known.scheme));
        let kind = known.and_then(|known| (known.read)(from));
        if let (Some(addresses), Some(kind)) = (&addresses, &kind) {
            kind.check_urls(addresses, from);
        }
        let events = events(from, kind.as_ref().is_none_or(SinkKind::takes_events));
        let timeout = from.or("timeout", TIMEOUT, &timeout);
        let batch_readings = from.or("batch_readings", BATCH_READINGS, &integer(1..=65_536));
        let batch_bytes = from.or("batch_bytes", BATCH_BYTES, &bytes(1024..=16 << 20));
        let retries = from.or("retries", RETRIES, &integer(0..=10));
        let best_effort = from.or("best_effort", false, &boolean());
        let quarantine_readings =
            from.or("quarantine_readings", QUARANTINE_READINGS, &integer(0..=100_000));
        let pace = Pace::read(from, known.map_or(Order::LiveFirst, |known| known.order));
        Some(Self {
            name: name?,
            addresses: addresses?,
            kind: kind?,
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
        to.text("kind", self.kind.name());
        self.addresses.print(to);
        self.kind.print(to);
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

fn kinds() -> Kind<KindOf> {
    let known = choice(KINDS);
    let read = known.read;
    Kind {
        allowed: known.allowed,
        read: Box::new(move |value| match value.as_str() {
            Some(kind) if LEFT_OUT.contains(&kind) => Err(Refusal::left_out(&found(value), kind)),
            _ => read(value),
        }),
    }
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

/// What only other kinds of sink know.
fn refuse_others_keys(from: &Section<'_>, known: KindOf) {
    let own = |key: &&str| known.keys.iter().any(|group| group.contains(key));
    for (name, other) in KINDS {
        let others: Vec<&'static str> =
            other.keys.iter().copied().flatten().copied().filter(|key| !own(key)).collect();
        from.refuse(&others, "this kind of sink", &format!("kind = {name:?}"));
    }
}
