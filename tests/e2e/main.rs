//! The real program from outside: real ptys, real HTTP, real processes, real signals.
//!
//! ```text
//!  Line ─pty▶ Daemon (`outstation run`) ─http▶ Upstream (misbehaves by script) ▶ Collector
//!                └ /status, stderr                                    (`outstation collect`)
//! ```
//!
//! Invariants checked: what a sensor said arrives upstream with its very values, once in effect and
//! without a gap; `/status` balances; whatever goes wrong is named and harms nothing beside it.
//! Nothing here sleeps for an amount of time it hopes is enough: tests wait for a state they name.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests are the world outside: they keep their own time and threads"
)]

// The rig.
mod attacks;
mod collector;
mod disk;
mod journal;
mod line;
mod mosquitto;
#[cfg(feature = "nats")]
mod nats_keys;
#[cfg(feature = "nats")]
mod nats_server;
mod proxy;
mod site;
#[cfg(feature = "prometheus")]
mod tsdb;
mod upstream;

// What is promised.
mod alarms;
mod breaker;
mod cli;
mod delivery;
mod discovery;
mod events;
#[cfg(all(feature = "mqtt", feature = "nats", feature = "prometheus"))]
mod everything;
mod hostile;
mod http_sinks;
mod idle;
mod journald;
mod kill;
mod lan;
mod log;
mod metered;
mod mqtt;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "nats")]
mod nats_refusals;
mod ports;
#[cfg(feature = "prometheus")]
mod prometheus;
mod quarantine;
mod refusals;
mod reload;
#[cfg(feature = "prometheus")]
mod remote_write;
mod restart;
#[cfg(feature = "prometheus")]
mod scrape;
mod several;
mod storage;
mod systemd;
mod tls;
