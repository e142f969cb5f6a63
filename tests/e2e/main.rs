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
mod collector;
mod disk;
mod line;
mod site;
mod upstream;

// What is promised.
mod cli;
mod delivery;
mod events;
mod kill;
mod log;
mod ports;
mod refusals;
mod restart;
mod storage;
mod tls;
