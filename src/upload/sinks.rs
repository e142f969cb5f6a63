//! Every kind of sink there is: to add one, add its folder, and its rows here and in the
//! configuration.

use tokio::sync::watch;

use super::Wire;
use super::offer::{AnySink, service};
use crate::clock::Clock;
use crate::config::{Sink, SinkKind};
use crate::credentials::SetupError;
use crate::domain::model::endpoint::Endpoint;
use crate::event_log::LogStatus;
use crate::sink_http::HttpSink;
#[cfg(feature = "mqtt")]
use crate::sink_mqtt::{self, MqttSink};
#[cfg(feature = "nats")]
use crate::sink_nats::{self, NatsSink};
#[cfg(feature = "prometheus")]
use crate::sink_prometheus::{self, PrometheusSink, SharedDoubt};

/// What the endpoints of one sink have in common.
#[derive(Clone, Debug)]
pub struct Context {
    pub clock: Clock,
    /// What may have arrived although nobody said so.
    #[cfg(feature = "prometheus")]
    pub(crate) doubt: SharedDoubt,
}

impl Context {
    #[cfg_attr(not(feature = "prometheus"), expect(unused_variables, reason = "see `doubt`"))]
    pub fn new(clock: Clock, log: watch::Receiver<LogStatus>) -> Self {
        Self {
            clock,
            #[cfg(feature = "prometheus")]
            doubt: SharedDoubt::new(log),
        }
    }
}

/// Never fails: what is wrong with a sink's settings keeps no reading from being recorded, and is
/// said when it is first called.
#[cfg_attr(
    not(feature = "prometheus"),
    expect(unused_variables, reason = "a kind left out uses it")
)]
pub fn at(endpoint: &Endpoint, sink: &Sink, wire: &Wire, context: &Context) -> AnySink {
    match &sink.kind {
        SinkKind::Http(http) => service(HttpSink::new(&sink.name, http, endpoint, wire)),
        #[cfg(feature = "mqtt")]
        SinkKind::Mqtt(mqtt) => service(MqttSink::new(&sink.name, mqtt, endpoint, wire)),
        #[cfg(feature = "prometheus")]
        SinkKind::Prometheus(prometheus) => {
            service(PrometheusSink::new(prometheus, sink, endpoint, wire, context))
        }
        #[cfg(feature = "nats")]
        SinkKind::Nats(nats) => service(NatsSink::new(nats, sink.timeout, endpoint, wire)),
    }
}

/// What would keep a sink from ever sending.
pub fn check(sink: &Sink) -> Result<(), SetupError> {
    match &sink.kind {
        SinkKind::Http(http) => HttpSink::check(http),
        #[cfg(feature = "mqtt")]
        SinkKind::Mqtt(mqtt) => MqttSink::check(mqtt),
        #[cfg(feature = "prometheus")]
        SinkKind::Prometheus(prometheus) => PrometheusSink::check(prometheus),
        #[cfg(feature = "nats")]
        SinkKind::Nats(nats) => NatsSink::check(nats),
    }
}

/// What a reading of one or two channels takes in this sink's encoding, unless it is the stored one.
pub fn bytes_per_reading(sink: &Sink) -> Option<u64> {
    match &sink.kind {
        SinkKind::Http(http) => crate::sink_http::bytes_per_reading(http),
        #[cfg(feature = "mqtt")]
        SinkKind::Mqtt(mqtt) => Some(sink_mqtt::bytes_per_reading(mqtt)),
        #[cfg(feature = "prometheus")]
        SinkKind::Prometheus(_) => Some(sink_prometheus::BYTES_PER_READING),
        #[cfg(feature = "nats")]
        SinkKind::Nats(_) => Some(sink_nats::BYTES_PER_READING),
    }
}
