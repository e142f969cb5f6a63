//! What the suites test with: the program as a process, what stands around it on a real site, and the
//! failures of both. The suites of several test binaries share it.
//!
//! ```text
//!  Line ─pty▶ Daemon (`outstation run`) ─http▶ Proxy ▶ Upstream (misbehaves by script) ▶ Collector
//!             on a Site: a folder with               └▶ mosquitto, InfluxDB, Prometheus …
//!             configuration, log and tails
//! ```
//!
//! Nothing here sleeps for an amount of time that it hopes is enough: [`wait`] looks until a state that
//! it names is there. Servers listen at an [`address`] that nobody else is given while the test runs.

// The program, and where it runs.
pub(crate) mod daemon;
pub(crate) mod program;
pub(crate) mod site;

// What is before it and behind it.
pub(crate) mod collector;
pub(crate) mod line;
pub(crate) mod readings;
pub(crate) mod upstream;

// Servers of others.
pub(crate) mod influxdb;
pub(crate) mod mosquitto;
pub(crate) mod tsdb;

// What goes wrong, and what is only there on a real machine.
pub(crate) mod attacks;
pub(crate) mod disk;
pub(crate) mod journal;
pub(crate) mod network;
pub(crate) mod proxy;

// What all of these stand on.
pub(crate) mod address;
pub(crate) mod certificates;
pub(crate) mod chance;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod need;
pub(crate) mod process;
pub(crate) mod wait;
