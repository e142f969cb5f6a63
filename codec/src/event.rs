//! The operational events of a device, which travel with its readings.
//!
//! Their layout is postcard: the order of the variants is part of the format, so new variants are only
//! appended.

use serde::{Deserialize, Serialize};

use crate::fault::FaultCounts;
use crate::lane::Lane;
use crate::loss::Loss;
use crate::sensor::Sensor;
use crate::time::{Anchor, Moment};

/// A published event on its way upstream. (device, epoch, position) identifies it for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The number among the published events of its epoch, from 1.
    pub position: u64,
    /// The subject of the event, such as `port/mcu`.
    pub stream: String,
    /// The number of the boot in which it happened.
    pub boot: u32,
    /// The time of the event in milliseconds since that boot.
    pub at_ms: i64,
    /// The event itself.
    pub event: PublishedEvent,
}

impl EventRecord {
    /// The time of the event.
    pub fn at(&self) -> Moment {
        Moment { boot: self.boot, ms: self.at_ms }
    }

    /// The boots that are needed to date the event and the moments in it. A number may occur more than
    /// once.
    pub fn boots(&self) -> impl Iterator<Item = u32> {
        let span = match &self.event {
            PublishedEvent::Evicted { from, to, .. } => [from.boot, to.boot],
            _ => [self.boot; 2],
        };
        std::iter::once(self.boot).chain(span)
    }
}

/// An operational fact that an operator far away should know of. The description of each starts with its
/// stream.
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
    /// `ledger`: the log was full, and `count` of the readings `first` to `last`, which were pending for
    /// some sink, were removed. The first and the last of them arrived at `from` and `to`.
    Evicted { lane: Lane, first: u64, last: u64, count: u64, from: Moment, to: Moment },
    /// `port/<name>`: the port delivers bytes.
    PortOpened,
    /// `port/<name>`: the port is gone or cannot be opened, for this `reason`.
    PortLost { reason: String },
    /// `port/<name>`: bytes could not be framed or decoded since the last such event; `faults` counts them
    /// by reason.
    FramesLost { faults: FaultCounts },
    /// `sink/<name>`: the breaker changed to the state `to`, for a `cause`, which may be empty.
    BreakerMoved { to: String, cause: String },
    /// `config`: the daemon runs with another configuration or `version` than before; `digest` is the
    /// CRC-32 of the configuration, and `generation` counts the changes.
    ConfigApplied { generation: u32, digest: u32, version: String },
    /// `log`: from here on, numbers belong to this `epoch`; `from` is the first that it may offer.
    EpochBegan { epoch: u64, from: u64, reason: EpochReason },
    /// `quarantine/<sink>`: the sink refused the readings `first` to `last` for good, for the `reason` that
    /// it gave; they are kept in quarantine.
    Refused { first: u64, last: u64, reason: String },
    /// `quarantine/<sink>`: a person ordered that the readings `first` to `last` are offered once more.
    Replayed { first: u64, last: u64 },
    /// `quarantine/<sink>`: the readings `first` to `last` are no longer kept, because a person ordered so
    /// or because there was no room.
    Discarded { first: u64, last: u64 },
}

impl PublishedEvent {
    /// The kind of the event, as one word for people and queries.
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

/// The reason why a log started a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EpochReason {
    /// There was no log.
    Created,
    /// The file is a copy: the original may have given out the numbers that follow.
    Copied,
    /// The last commit before a power cut is incomplete; readings that a sink already has may be missing
    /// from the log.
    Torn,
    /// The readable part of a damaged log was moved into a new log.
    Salvaged,
}

impl EpochReason {
    /// The name of the reason in lines, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Copied => "copied",
            Self::Torn => "torn",
            Self::Salvaged => "salvaged",
        }
    }
}
