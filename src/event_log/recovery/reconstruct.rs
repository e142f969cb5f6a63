//! Combines the rows that were found in a damaged log: each event and each number once, and the aggregates
//! that follow from them.

use std::collections::BTreeMap;

use outstation_codec::{Channel, Sensor, StoredSegment};

use super::carve::Carving;
use super::row_decoding::FoundSegment;
use crate::domain::model::event::Stream;
use crate::event_log::state::aggregates::Aggregates;
use crate::event_log::store::rows::{EventRow, History};

/// The port of readings whose port the books have lost.
pub(crate) const UNKNOWN_PORT: &str = "salvaged";

/// The events that were found, one per version of a stream: the most credible one.
pub(crate) fn events(carving: &Carving) -> impl Iterator<Item = EventRow> + '_ {
    let mut last = None;
    let once = carving.events().filter(move |ranked| {
        let place = Some((ranked.row.stream.clone(), ranked.row.version));
        std::mem::replace(&mut last, place.clone()) != place
    });
    once.map(|ranked| ranked.row)
}

/// The history for people, and the events that may still be pending for a sink.
pub(crate) fn history(carving: &Carving) -> impl Iterator<Item = EventRow> + '_ {
    events(carving).filter(|row| row.position.is_some() || !row.stream.has_aggregate())
}

/// Rebuilds each aggregate from its best snapshot and the unbroken run of events after it. If they cannot
/// be decoded, the aggregate stays as it was without them.
pub(crate) fn replay(carving: &Carving) -> Aggregates {
    let mut aggregates = Aggregates::default();
    let mut streams = BTreeMap::<Stream, Vec<EventRow>>::new();
    for stream in carving.snapshots().keys() {
        streams.entry(stream.clone()).or_default();
    }
    for row in events(carving) {
        aggregates.skip_to_position(row.position.unwrap_or(0));
        streams.entry(row.stream.clone()).or_default().push(row);
    }
    for (stream, mut events) in streams {
        let snapshot = carving.snapshots().get(&stream).map(|ranked| ranked.row.clone());
        let last = events.last().map_or(0, |row| row.version);
        let mut version = snapshot.as_ref().map_or(0, |row| row.version);
        events.retain(|row| row.version > version);
        let unbroken = events.iter().take_while(|row| {
            version += 1;
            row.version == version
        });
        events.truncate(unbroken.count());
        let version = events
            .last()
            .map_or_else(|| snapshot.as_ref().map_or(0, |row| row.version), |row| row.version);
        if stream.has_aggregate() {
            let before = aggregates.clone();
            if aggregates.replay(&stream, History { snapshot, events }).is_err() {
                aggregates = before;
            }
        }
        aggregates.skip_to(&stream, version.max(last));
    }
    aggregates.skip_published();
    aggregates
}

/// Returns segments in which each number occurs once. Freed pages still hold segments that have left the
/// log, and merged segments overlap those they were made of, so the longest of those that begin first is
/// taken. But a segment that was certainly committed precedes one that may be part of a commit ended by a
/// power cut, whose numbers were given out again.
pub(crate) fn segments(carving: &Carving) -> impl Iterator<Item = FoundSegment> + '_ {
    let mut found = carving.segments().filter(|found| found.count > 0).peekable();
    std::iter::from_fn(move || {
        let mut best = found.next()?;
        while let Some(next) = found.next_if(|next| next.first_seq <= best.last_seq()) {
            if next.rank.source < best.rank.source {
                best = next;
            }
        }
        Some(best)
    })
}

/// Makes sure that the sensors and the boot of a segment are known, if only by number.
pub(crate) fn introduce(new: &StoredSegment, aggregates: &mut Aggregates) {
    let boot = new.boot;
    if aggregates.boots.get(boot).is_none() {
        aggregates.boots.apply_started(boot, String::new());
    }
    let unknown =
        |id: &u32| aggregates.registry.sensor(*id).is_none_or(|sensor| sensor.port.is_empty());
    if !new.sensors().iter().any(unknown) {
        return;
    }
    let Ok(segment) = new.decode() else { return };
    for (id, kinds) in segment.channel_kinds() {
        if aggregates
            .registry
            .sensor(id)
            .is_some_and(|sensor| sensor.port != UNKNOWN_PORT && !sensor.port.is_empty())
        {
            continue;
        }
        let known = aggregates.registry.sensor(id).map_or(&[][..], |sensor| &sensor.channels);
        let mut channels = known.to_vec();
        for (channel, kind) in kinds {
            let unnamed =
                |number| Channel { name: format!("channel-{number}"), unit: String::new(), kind };
            while channels.len() <= usize::from(channel) {
                channels.push(unnamed(channels.len()));
            }
            let widest = channels[usize::from(channel)].kind.max(kind);
            channels[usize::from(channel)].kind = widest;
        }
        let sensor = Sensor { port: UNKNOWN_PORT.into(), name: format!("sensor-{id}"), channels };
        aggregates.registry.apply(id, sensor);
    }
}
