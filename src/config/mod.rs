//! Configuration: from the text a person wrote to values the daemon can trust.
//!
//! ```text
//! file ─text▶ TOML tables ─Section + Kind▶ Config          (error: every mistake, with line and key)
//!                                          Config ─print▶ the effective configuration, again TOML
//! ```
//!
//! What may be written is decided here and nowhere else: a `Config` in hand is complete, in range and
//! free of contradictions. Whether a port can be opened or a sink answers is not: that is left to the
//! stages. To add a key: its field and reader in the file of its section, a row in [`KEYS`], and its
//! place in `config/outstation.toml`; the tests name whichever is forgotten.

mod alarm;
mod credential;
mod daemon;
mod error;
mod framing;
mod http;
mod http_access;
mod keys;
mod kind;
mod network;
mod pace;
mod port;
mod print;
mod section;
mod sink;
mod sink_http;
#[cfg(feature = "mqtt")]
mod sink_mqtt;
#[cfg(feature = "nats")]
mod sink_nats;
#[cfg(feature = "prometheus")]
mod sink_prometheus;
mod source;
#[cfg(test)]
mod tests;
mod tls_files;
mod url;
mod warnings;
mod whole;

pub use alarm::Alarm;
pub use daemon::{Device, Log, Supervisor, Telemetry};
pub use error::{ConfigError, Problem};
pub use framing::{Format, Framing, Lines, TimeKey, TimeUnit};
pub use http::{Http, ServerTls};
pub use http_access::{Access, is_ours};
pub use keys::{KEYS, Key};
pub use network::Network;
pub use pace::Pace;
pub use port::{DataBits, FlowControl, LineSettings, Parity, Port, StopBits};
pub use sink::{Sink, SinkKind};
pub use sink_http::{Compression, Encoding, HttpSink, Integers, Precision};
#[cfg(feature = "mqtt")]
pub use sink_mqtt::{Login, MqttSink, MqttVersion, Payload};
#[cfg(feature = "nats")]
pub use sink_nats::NatsSink;
#[cfg(feature = "prometheus")]
pub use sink_prometheus::PrometheusSink;
pub use tls_files::TlsFiles;
pub use url::{Addresses, Discovered, Via};
pub use warnings::warnings;
pub use whole::Config;
