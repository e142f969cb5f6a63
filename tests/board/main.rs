//! The package on a field board: Debian 12 with systemd under qemu-system, 256 MB, and a serial port
//! on USB.
//!
//! ```text
//!  Sensor ─socket▶ usb-serial ─▶ /dev/ttyUSB0 ─▶ outstation.service ─virtual LAN▶ Collector
//!  Board::run ─virtio-serial▶ a shell on the board       │
//!  Board::status ◀───────── virtual LAN ── local port ◀──┘
//! ```
//!
//! Invariants checked: what the sensor said arrives at the collector, exactly and in order, whatever
//! happens to cable, process, power, network, clock or memory meanwhile; what cannot arrive is
//! reported.
//!
//! `tests/board/run` builds boards and packages and runs this; without it these tests are ignored.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests are the world outside: they keep their own time and threads"
)]

#[path = "../kit/mod.rs"]
#[allow(dead_code, reason = "these suites use a part of it")]
mod kit;
mod machine;

// What is promised.
mod clock;
mod lan;
mod memory;
mod network;
mod package;
mod power;
mod serial;
mod service;
