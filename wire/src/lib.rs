//! The frames that a microcontroller sends to an outstation over a serial line.
//!
//! ```text
//!  firmware                                              outstation
//!  Frame ─encode▶ version │ body │ CRC-32 ─COBS▶ … 00 ═══▶ Deframer ─▶ Received
//! ```
//!
//! A sender needs one buffer of its own and nothing else:
//!
//! ```
//! use outstation_wire::{Sample, Value};
//!
//! let mut buf = [0; 64];
//! let values = [(1, Value::F32(21.5)), (3, Value::Bool(false))];
//! let sample = Sample { seq: 7, uptime_ms: 61_000, values: (&values).into() };
//! let line = sample.encode(&mut buf)?;
//! // uart.write_all(line)
//! # let mut input = line;
//! # let mut deframer = outstation_wire::Deframer::new();
//! # assert_eq!(deframer.next(&mut input).unwrap().frame, Ok(sample.into()));
//! # Ok::<(), outstation_wire::EncodeError>(())
//! ```
//!
//! A [`Deframer`] at the other end returns the same [`Frame`]. This crate's
//! `README.md` specifies the format byte by byte, next to an encoder in C. The
//! meaning of frames (channels known, readings lost, time) and the handling of
//! ports are left to the receiver.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod deframe;
mod encode;
mod fault;
mod format;
mod frame;
mod list;
mod seal;

pub use deframe::{Deframer, Received};
pub use encode::EncodeError;
pub use fault::Fault;
pub use format::{DELIMITER, MAX_FRAME, VERSION};
pub use frame::{Channel, Frame, Hello, Level, Log, Sample, Value, ValueType};
pub use list::{Iter, List};
