//! Stores operational events in either encoding.
//!
//! Events in lines are stored as they come, so a newer device may send kinds that this program does not
//! know; a packed batch with an unknown kind does not decode.

use std::borrow::Cow;

use outstation_codec::{Batch, Moment, PublishedEvent};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::intake::{Happened, IntakeTransaction};
use super::limits::{
    EVENT_BYTES_MAX, Malformed, check_device, check_event_name, check_position, check_seq,
};
use super::line_time::{ClockState, parse_time};
use super::refusal::UploadRefusal;
use crate::domain::model::event_line::EventLine;

/// The kind of the event that gives the first number of an epoch.
const EPOCH_BEGAN: &str = "epoch_began";

/// Stores the events of a batch.
pub(super) fn of_batch(
    batch: &Batch,
    intake: &mut IntakeTransaction<'_>,
) -> Result<(), UploadRefusal> {
    if batch.events.is_empty() {
        return Ok(());
    }
    let mut memory = vec![0; EVENT_BYTES_MAX];
    for record in &batch.events {
        let line = EventLine::of(batch, record);
        let mut left = memory.as_mut_slice();
        // Writing into memory fails only if there is no room left.
        serde_json::to_writer(&mut left, &line.facts)
            .map_err(|_| Malformed::LongEvent { position: record.position })?;
        let length = EVENT_BYTES_MAX - left.len();
        let data = std::str::from_utf8(&memory[..length]).expect("JSON is UTF-8");
        let (time_ms, clock_set) = batch.date(Moment { boot: record.boot, ms: record.at_ms });
        let begins = match &record.event {
            PublishedEvent::EpochBegan { epoch, from, .. } if *epoch == batch.epoch => Some(*from),
            _ => None,
        };
        let (position, stream, kind) = (record.position, record.stream.as_str(), line.kind);
        put(Happened { position, time_ms, clock_set, stream, kind, data, begins }, intake)?;
    }
    Ok(())
}

/// Whether a line that is no reading is meant to be an event.
pub(super) fn is_event(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Sign {
        event: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Sign>(text).is_ok_and(|sign| sign.event.is_some())
}

/// The fields that every event has; `data` takes all others.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    device: Cow<'a, str>,
    epoch: u64,
    event: u64,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(default)]
    clock: ClockState,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(flatten)]
    data: Map<String, Value>,
}

/// Stores the event of a line.
pub(super) fn of_line(
    line: u64,
    text: &[u8],
    intake: &mut IntakeTransaction<'_>,
) -> Result<(), UploadRefusal> {
    // The length is checked before any value of the event is held in memory.
    if text.len() > EVENT_BYTES_MAX {
        return Err(Malformed::LongEventLine { line }.into());
    }
    let said: Line<'_> =
        serde_json::from_slice(text).map_err(|source| Malformed::Line { line, source })?;
    check_device(&said.device)?;
    let time_ms = parse_time(&said.time).ok_or(Malformed::Time { line })?;
    let number = |name: &str| said.data.get(name).and_then(Value::as_u64);
    let of_this_epoch = said.kind == EPOCH_BEGAN && number("began") == Some(said.epoch);
    let begins = if of_this_epoch { number("from") } else { None };
    let data = Value::Object(said.data).to_string();
    intake.device(&said.device, said.epoch)?;
    let happened = Happened {
        position: said.event,
        time_ms,
        clock_set: said.clock == ClockState::Set,
        stream: &said.stream,
        kind: &said.kind,
        data: &data,
        begins,
    };
    put(happened, intake)
}

fn put(event: Happened<'_>, intake: &mut IntakeTransaction<'_>) -> Result<(), UploadRefusal> {
    check_position(event.position)?;
    [event.stream, event.kind].into_iter().try_for_each(check_event_name)?;
    event.begins.map_or(Ok(()), check_seq)?;
    intake.event(&event)
}
