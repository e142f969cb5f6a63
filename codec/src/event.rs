//! What a device tells of itself: operational facts that travel with its readings.
//!
//! Its layout is postcard: the order of the variants is part of the format, so append only.

use serde::{Deserialize, Serialize};

use crate::fault::FaultCounts;
use crate::lane::Lane;
use crate::loss::Loss;
use crate::sensor::Sensor;
use crate::time::{Anchor, Moment};

/// An operational event on its way upstream. (device, epoch, position) names it for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its number among the published events of its epoch, from 1.
    pub position: u64,
    /// What it is about, such as `port/mcu`.
    pub stream: String,
    /// The boot in which it happened.
    pub boot: u32,
    /// Milliseconds since that boot.
    pub at_ms: i64,
    /// What happened.
    pub event: PublishedEvent,
}

impl EventRecord {
    /// When it happened.
    pub fn at(&self) -> Moment {
        Moment { boot: self.boot, ms: self.at_ms }
    }

    /// The boots that date it and what it says.
    pub fn boots(&self) -> impl Iterator<Item = u32> {
        let span = match &self.event {
            PublishedEvent::Evicted { from, to, .. } => [from.boot, to.boot],
            _ => [self.boot; 2],
        };
        std::iter::once(self.boot).chain(span)
    }
}

/// An operational fact that an operator far away should know of. Each is of a stream, named first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the sentence of a variant names its fields")]
pub enum PublishedEvent {
    /// `registry`: sensor number `id` is now described by `sensor`.
    SensorDescribed { id: u32, sensor: Sensor },
    /// `clock`: the device booted; `boot` counts from 0, `id` is the kernel's boot id.
    BootStarted { boot: u32, id: String },
    /// `clock`: the wall clock was read, set or stepped; from here on `anchor` dates that boot.
    ClockAnchored { boot: u32, anchor: Anchor },
    /// `ledger`: the stored readings `first` to `last` were lost.
    Lost { loss: Loss, first: u64, last: u64 },
    /// `ledger`: the log was full; `count` of the readings `first` to `last`, which some sink still
    /// lacked, are gone. The first and the last of them arrived at `from` and `to`.
    Evicted { lane: Lane, first: u64, last: u64, count: u64, from: Moment, to: Moment },
    /// `port/<name>`: the port delivers bytes.
    PortOpened,
    /// `port/<name>`: the port is gone or cannot be opened, for this `reason`.
    PortLost { reason: String },
    /// `port/<name>`: what could not be framed or decoded since the last such event, as `faults`.
    FramesLost { faults: FaultCounts },
    /// `sink/<name>`: the breaker moved `to` a state, for a `cause`; none, if that is empty.
    BreakerMoved { to: String, cause: String },
    /// `config`: the daemon goes on under another configuration or `version` than before; `digest` is
    /// the CRC-32 of the configuration, and a `generation` is counted for each change.
    ConfigApplied { generation: u32, digest: u32, version: String },
    /// `log`: from here on, numbers belong to this `epoch`; `from` is the first that it may offer.
    EpochBegan { epoch: u64, from: u64, reason: EpochReason },
    /// `quarantine/<sink>`: the sink will never take the readings `first` to `last`, for the `reason`
    /// that it gave; they are kept aside.
    Refused { first: u64, last: u64, reason: String },
    /// `quarantine/<sink>`: a person wants the readings `first` to `last` offered once more.
    Replayed { first: u64, last: u64 },
    /// `quarantine/<sink>`: the readings `first` to `last` are not kept any more, by a person's
    /// command or for want of room.
    Discarded { first: u64, last: u64 },
}

impl PublishedEvent {
    /// What kind of event it is, as one word for people and queries.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SensorDescribed { .. } => "sensor_described",
            Self::BootStarted { .. } => "boot_started",
            Self::ClockAnchored { .. } => "clock_anchored",
            Self::Lost { .. } => "lost",
            Self::Evicted { .. } => "evicted",
            Self::PortOpened => "port_opened",
            Self::PortLost { .. } => "port_lost",
            Self::FramesLost { .. } => "frames_lost",
            Self::BreakerMoved { .. } => "breaker_moved",
            Self::ConfigApplied { .. } => "config_applied",
            Self::EpochBegan { .. } => "epoch_began",
            Self::Refused { .. } => "refused",
            Self::Replayed { .. } => "replayed",
            Self::Discarded { .. } => "discarded",
        }
    }
}

/// Why a log began a new life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EpochReason {
    /// There was no log.
    Created,
    /// The file is a copy: the original may have given out the numbers that follow.
    Copied,
    /// The last commit before a power cut is incomplete; what was seen of it may be gone.
    Torn,
    /// What could be read of a damaged log was moved into a new one.
    Salvaged,
}

impl EpochReason {
    /// The word for it in lines, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Copied => "copied",
            Self::Torn => "torn",
            Self::Salvaged => "salvaged",
        }
    }
}
