//! An event as JSON, for sinks, for the reference receiver and for people.
//!
//! The names of the fields are stable, because receivers rely on them: add names, never rename one. They
//! equal the names of readings, metrics and `/status` where the meaning is the same.

use std::collections::BTreeMap;

use outstation_codec::{Batch, Channel, EventRecord, FaultCounts, Moment, PublishedEvent};
use serde::Serialize;

use super::boots::rfc3339;

/// One event as a JSON object, complete in itself.
#[derive(Debug, Serialize)]
pub struct EventLine<'a> {
    pub device: &'a str,
    pub epoch: u64,
    /// The position of the event.
    pub event: u64,
    pub stream: &'a str,
    pub time: String,
    /// `unset` if the device did not know the date when the event happened; otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<&'static str>,
    pub kind: &'static str,
    #[serde(flatten)]
    pub facts: Facts<'a>,
}

/// The fields that depend on the kind of the event.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Facts<'a> {
    SensorDescribed { number: u32, port: &'a str, sensor: &'a str, channels: &'a [Channel] },
    BootStarted { boot: u32, boot_id: &'a str },
    ClockAnchored { boot: u32, boot_time: String, set: bool },
    Lost { reason: &'static str, first_seq: u64, last_seq: u64, count: u64 },
    Evicted(Evicted),
    PortOpened {},
    PortLost { reason: &'a str },
    BreakerMoved { breaker: &'a str, cause: Option<&'a str> },
    FramesLost { faults: Faults },
    ConfigApplied { generation: u32, digest: String, version: &'a str },
    EpochBegan { began: u64, from: u64, reason: &'static str },
    Refused { first_seq: u64, last_seq: u64, reason: &'a str },
    Numbers { first_seq: u64, last_seq: u64 },
}

#[derive(Debug, Serialize)]
pub struct Evicted {
    lane: &'static str,
    first_seq: u64,
    last_seq: u64,
    /// How many of these readings some sink did not have.
    count: u64,
    /// When the first and the last of them arrived; `None` if the device never knew the date.
    first_time: Option<String>,
    last_time: Option<String>,
}

/// The counts of the faults that occurred, by reason.
type Faults = BTreeMap<&'static str, u64>;

impl<'a> EventLine<'a> {
    /// `date` gives the Unix milliseconds of a moment, and whether the device knew the date.
    pub fn new(
        device: &'a str,
        epoch: u64,
        record: &'a EventRecord,
        date: impl Fn(Moment) -> (i64, bool),
    ) -> Self {
        let (time_ms, clock_set) = date(Moment { boot: record.boot, ms: record.at_ms });
        Self {
            device,
            epoch,
            event: record.position,
            stream: &record.stream,
            time: rfc3339(time_ms).to_string(),
            clock: (!clock_set).then_some("unset"),
            kind: record.event.kind(),
            facts: Facts::of(&record.event, date),
        }
    }

    /// Makes the line of an event that is part of a batch.
    pub fn of(batch: &'a Batch, record: &'a EventRecord) -> Self {
        Self::new(&batch.device, batch.epoch, record, |moment| batch.date(moment))
    }
}

impl<'a> Facts<'a> {
    pub fn of(event: &'a PublishedEvent, date: impl Fn(Moment) -> (i64, bool)) -> Self {
        match event {
            PublishedEvent::SensorDescribed { id, sensor } => Self::SensorDescribed {
                number: *id,
                port: &sensor.port,
                sensor: &sensor.name,
                channels: &sensor.channels,
            },
            PublishedEvent::BootStarted { boot, id } => {
                Self::BootStarted { boot: *boot, boot_id: id }
            }
            PublishedEvent::ClockAnchored { boot, anchor } => Self::ClockAnchored {
                boot: *boot,
                boot_time: rfc3339(anchor.boot_at_ms).to_string(),
                set: anchor.set,
            },
            PublishedEvent::Lost { loss, first, last } => Self::Lost {
                reason: loss.reason(),
                first_seq: *first,
                last_seq: *last,
                // A receiver may be sent any numbers, so the sum must not overflow.
                count: last.saturating_sub(*first).saturating_add(1),
            },
            PublishedEvent::Evicted { lane, first, last, count, from, to } => {
                Self::Evicted(Evicted {
                    lane: lane.name(),
                    first_seq: *first,
                    last_seq: *last,
                    count: *count,
                    first_time: known(date(*from)),
                    last_time: known(date(*to)),
                })
            }
            PublishedEvent::PortOpened => Self::PortOpened {},
            PublishedEvent::PortLost { reason } => Self::PortLost { reason },
            PublishedEvent::BreakerMoved { to, cause } => Self::BreakerMoved {
                breaker: to,
                cause: Some(cause.as_str()).filter(|cause| !cause.is_empty()),
            },
            PublishedEvent::FramesLost { faults: counts } => {
                Self::FramesLost { faults: faults(counts) }
            }
            PublishedEvent::ConfigApplied { generation, digest, version } => Self::ConfigApplied {
                generation: *generation,
                digest: format!("{digest:08x}"),
                version,
            },
            PublishedEvent::EpochBegan { epoch, from, reason } => {
                Self::EpochBegan { began: *epoch, from: *from, reason: reason.name() }
            }
            PublishedEvent::Refused { first, last, reason } => {
                Self::Refused { first_seq: *first, last_seq: *last, reason }
            }
            PublishedEvent::Replayed { first, last }
            | PublishedEvent::Discarded { first, last } => {
                Self::Numbers { first_seq: *first, last_seq: *last }
            }
        }
    }
}

fn faults(counts: &FaultCounts) -> Faults {
    counts.seen().map(|(fault, count)| (fault.reason(), count)).collect()
}

fn known((time_ms, clock_set): (i64, bool)) -> Option<String> {
    clock_set.then(|| rfc3339(time_ms).to_string())
}

#[cfg(test)]
mod tests {
    use outstation_codec::{Anchor, EpochReason, Fault, Lane, Loss, Sensor, ValueType};

    use super::*;

    const BOOT_AT_MS: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z

    /// One event of each kind, in the order of the format, with the JSON that its line has. The match names
    /// every variant, so that a new one cannot be left out.
    fn next(event: Option<&PublishedEvent>) -> Option<(PublishedEvent, &'static str)> {
        let Some(event) = event else {
            let channel = Channel { name: "t".into(), unit: "Cel".into(), kind: ValueType::F32 };
            let sensor = Sensor { port: "mcu".into(), name: "t1".into(), channels: vec![channel] };
            let says = r#""sensor_described","number":3,"port":"mcu","sensor":"t1","channels":[{"name":"t","unit":"Cel","kind":"f32"}]"#;
            return Some((PublishedEvent::SensorDescribed { id: 3, sensor }, says));
        };
        let mut faults = FaultCounts::default();
        faults.add(Fault::SequenceGap, 7);
        faults.add(Fault::Crc, 2);
        let anchor = Anchor { boot_at_ms: BOOT_AT_MS, set: true };
        let span = |boot| (Moment { boot, ms: 0 }, Moment { boot: 0, ms: 1500 });
        let next = match event {
            PublishedEvent::SensorDescribed { .. } => (
                PublishedEvent::BootStarted { boot: 2, id: "b-2".into() },
                r#""boot_started","boot":2,"boot_id":"b-2""#,
            ),
            PublishedEvent::BootStarted { .. } => (
                PublishedEvent::ClockAnchored { boot: 2, anchor },
                r#""clock_anchored","boot":2,"boot_time":"2026-01-01T00:00:00.000Z","set":true"#,
            ),
            PublishedEvent::ClockAnchored { .. } => (
                PublishedEvent::Lost { loss: Loss::Damaged, first: 4, last: 6 },
                r#""lost","reason":"damaged","first_seq":4,"last_seq":6,"count":3"#,
            ),
            PublishedEvent::Lost { .. } => {
                let (from, to) = span(1);
                let lane = Lane::Live;
                (
                    PublishedEvent::Evicted { lane, first: 1, last: 9, count: 5, from, to },
                    r#""evicted","lane":"live","first_seq":1,"last_seq":9,"count":5,"first_time":null,"last_time":"2026-01-01T00:00:01.500Z""#,
                )
            }
            PublishedEvent::Evicted { .. } => (PublishedEvent::PortOpened, r#""port_opened""#),
            PublishedEvent::PortOpened => (
                PublishedEvent::PortLost { reason: "lost".into() },
                r#""port_lost","reason":"lost""#,
            ),
            PublishedEvent::PortLost { .. } => (
                PublishedEvent::FramesLost { faults },
                r#""frames_lost","faults":{"crc":2,"sequence_gap":7}"#,
            ),
            PublishedEvent::FramesLost { .. } => (
                PublishedEvent::BreakerMoved { to: "open".into(), cause: "link_down".into() },
                r#""breaker_moved","breaker":"open","cause":"link_down""#,
            ),
            PublishedEvent::BreakerMoved { cause, .. } if !cause.is_empty() => (
                PublishedEvent::BreakerMoved { to: "closed".into(), cause: String::new() },
                r#""breaker_moved","breaker":"closed","cause":null"#,
            ),
            PublishedEvent::BreakerMoved { .. } => (
                PublishedEvent::ConfigApplied {
                    generation: 2,
                    digest: 0xABC,
                    version: "0.1.0".into(),
                },
                r#""config_applied","generation":2,"digest":"00000abc","version":"0.1.0""#,
            ),
            PublishedEvent::ConfigApplied { .. } => (
                PublishedEvent::EpochBegan { epoch: 9, from: 501, reason: EpochReason::Salvaged },
                r#""epoch_began","began":9,"from":501,"reason":"salvaged""#,
            ),
            PublishedEvent::EpochBegan { .. } => (
                PublishedEvent::Refused { first: 4, last: 5, reason: "no".into() },
                r#""refused","first_seq":4,"last_seq":5,"reason":"no""#,
            ),
            PublishedEvent::Refused { .. } => (
                PublishedEvent::Replayed { first: 4, last: 5 },
                r#""replayed","first_seq":4,"last_seq":5"#,
            ),
            PublishedEvent::Replayed { .. } => (
                PublishedEvent::Discarded { first: 4, last: 5 },
                r#""discarded","first_seq":4,"last_seq":5"#,
            ),
            PublishedEvent::Discarded { .. } => return None,
        };
        Some(next)
    }

    fn line(record: &EventRecord) -> String {
        let date = |moment: Moment| match moment.boot {
            0 => (BOOT_AT_MS + moment.ms, true),
            _ => (moment.ms, false),
        };
        serde_json::to_string(&EventLine::new("pump-7", 9, record, date)).expect("it is JSON")
    }

    #[test]
    fn every_kind_of_event_reads_like_this() {
        let mut last = None;
        while let Some((event, says)) = next(last.as_ref()) {
            let record =
                EventRecord { position: 17, stream: "s".into(), boot: 0, at_ms: 250, event };
            let head = r#"{"device":"pump-7","epoch":9,"event":17,"stream":"s","time":"2026-01-01T00:00:00.250Z","kind":"#;
            assert_eq!(line(&record), format!("{head}{says}}}"));
            last = Some(record.event);
        }
        assert_eq!(last, Some(PublishedEvent::Discarded { first: 4, last: 5 }));
    }

    #[test]
    fn what_nobody_could_date_is_marked() {
        let stream = "port/mcu".to_owned();
        let record = EventRecord {
            position: 3,
            stream,
            boot: 1,
            at_ms: 5,
            event: PublishedEvent::PortOpened,
        };
        let expected = r#"{"device":"pump-7","epoch":9,"event":3,"stream":"port/mcu","time":"1970-01-01T00:00:00.005Z","clock":"unset","kind":"port_opened"}"#;
        assert_eq!(line(&record), expected);
    }
}
