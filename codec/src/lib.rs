//! The formats that a receiver of an outstation decodes, and that its log stores.
//!
//! ```text
//!  readings ─push▶ Segment ─encode▶ body ─sealed▶ StoredSegment ─┐
//!                     ▲                               │          ├▶ Batch ◀═▶ packed bytes
//!  Dated ◀─for_each───┴───────────────decode──────────┘  events ─┘
//! ```
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

// Observations and their times.
mod sensor;
mod time;
mod value;

mod readings;

// Many readings in few bytes.
mod body;
mod cut;
mod segment;

// Batches and their parts.
mod batch;
mod event;
mod fault;
mod lane;
mod loss;
mod stored_segment;

pub use batch::{Batch, BatchId, Dated, PackedError};
pub use body::{TEXT_MAX, VERSION};
pub use event::{EpochReason, EventRecord, PublishedEvent};
pub use fault::{Fault, FaultCounts, FaultStage};
pub use lane::Lane;
pub use loss::Loss;
pub use readings::Readings;
pub use segment::{
    CELLS_MAX, READINGS_MAX, ReadingView, Segment, SegmentError, TEXT_BYTES_PER_CELL, weight,
};
pub use sensor::{CHANNELS_MAX, Channel, NAME_MAX, SENSORS_MAX, Sensor};
pub use stored_segment::StoredSegment;
pub use time::{Anchor, CLOCK_SET_AFTER_MS, Moment, Stamp, TimeBase};
pub use value::{Value, ValueType};
