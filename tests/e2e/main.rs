//! The real program from outside: real ptys, real HTTP, real processes, real signals.
//!
//! Each file is a suite: what the program promises about one matter. What they test with is in
//! `tests/kit`.
//!
//! Invariants checked: what a sensor said arrives upstream with its very values, once in effect and
//! without a gap; `/status` balances; whatever goes wrong is named and harms nothing beside it.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests are the world outside: they keep their own time and threads"
)]

#[path = "../kit/mod.rs"]
#[cfg_attr(
    not(all(feature = "mqtt", feature = "nats", feature = "prometheus")),
    allow(dead_code, reason = "the suites of sinks that are left out use it")
)]
mod kit;

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
#[cfg(feature = "mqtt")]
mod mqtt;
#[cfg(feature = "nats")]
mod nats;
mod ports;
#[cfg(feature = "prometheus")]
mod prometheus;
mod quarantine;
mod refusals;
mod reload;
#[cfg(feature = "prometheus")]
mod remote_write;
mod restart;
mod schema;
#[cfg(all(feature = "mdns", feature = "prometheus"))]
mod scrape;
mod several;
mod storage;
mod systemd;
mod tls;
