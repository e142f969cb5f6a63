//! The aggregates of the log: what replaying its streams gives, and what appending to them does.
//!
//! Every change goes through [`Aggregates::record`]: the event is applied and staged in one step,
//! so that memory and file cannot tell different stories.

use std::collections::BTreeMap;

use super::error::StorageError;
use super::sqlite::{Database, EVENTS_PER_SNAPSHOT, History, Versioned};
use crate::domain::boots::Boots;
use crate::domain::delivery::IntervalSet;
use crate::domain::event::{Event, Stream};
use crate::domain::ledger::Books;
use crate::domain::registry::Registry;

/// Events staged at once. Those of aggregates are merged or rare; the others are dropped above it.
const STAGED_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Aggregates {
    pub(super) registry: Registry,
    pub(super) boots: Boots,
    pub(super) books: Books,
    /// By sink: what it has acknowledged.
    pub(super) acknowledged: BTreeMap<String, IntervalSet>,
    versions: BTreeMap<Stream, u64>,
    staged: Vec<Versioned>,
}

impl Aggregates {
    /// Replays every stream from its last snapshot.
    pub(super) fn load(database: &Database, sinks: &[String]) -> Result<Self, StorageError> {
        let mut all = Self::default();
        let deliveries = sinks.iter().map(|sink| Stream::delivery(sink));
        all.versions = database.versions()?;
        for stream in
            [Stream::registry(), Stream::clock(), Stream::ledger()].into_iter().chain(deliveries)
        {
            all.replay(database, stream)?;
        }
        Ok(all)
    }

    fn replay(&mut self, database: &Database, stream: Stream) -> Result<(), StorageError> {
        let History { snapshot, events } = database.stream(&stream)?;
        let mut version = 0;
        if let Some((at, data)) = snapshot {
            self.restore(&stream, &data)
                .map_err(|source| StorageError::Encoding { what: "snapshot", source })?;
            version = at;
        }
        for (at, event) in events {
            self.apply(&stream, &event);
            version = at;
        }
        self.versions.insert(stream, version);
        Ok(())
    }

    /// Applies an event and stages it for the next commit.
    pub(super) fn record(&mut self, stream: Stream, event: Event) {
        self.apply(&stream, &event);
        if self.merge_with_staged(&stream, &event) {
            return;
        }
        // History is for people: while nothing can be committed it must not eat the memory.
        if self.staged.len() >= STAGED_MAX && !event.is_aggregated() {
            return;
        }
        let version = self.versions.get(&stream).copied().unwrap_or(0) + 1;
        self.versions.insert(stream.clone(), version);
        self.staged.push(Versioned { stream, version, event });
    }

    /// Several acknowledgements, intakes of one port or descriptions of one sensor before one commit
    /// are one fact.
    fn merge_with_staged(&mut self, stream: &Stream, event: &Event) -> bool {
        let candidates = self.staged.iter_mut().rev().filter(|staged| staged.stream == *stream);
        for staged in candidates {
            match (&mut staged.event, event) {
                (Event::Acknowledged { last, .. }, Event::Acknowledged { first, last: to })
                    if *last + 1 == *first =>
                {
                    *last = *to;
                    return true;
                }
                (
                    Event::SensorDescribed { id: known, sensor },
                    Event::SensorDescribed { id, sensor: now },
                ) if known == id => {
                    *sensor = now.clone();
                    return true;
                }
                (Event::ClockAnchored { anchor, .. }, Event::ClockAnchored { anchor: now, .. }) => {
                    *anchor = *now;
                    return true;
                }
                (Event::TookIn { port: known, intake }, Event::TookIn { port, intake: more })
                    if known == port =>
                {
                    intake.merge(more);
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn apply(&mut self, stream: &Stream, event: &Event) {
        match event {
            Event::SensorDescribed { id, sensor } => self.registry.apply(*id, sensor.clone()),
            Event::BootStarted { boot, id } => self.boots.apply_started(*boot, id.clone()),
            Event::ClockAnchored { boot, anchor } => self.boots.apply_anchored(*boot, *anchor),
            Event::TookIn { port, intake } => self.books.took_in(port, intake),
            Event::Lost { loss, first, last } => self.books.lost(*loss, *first, *last),
            Event::SinkAdded { from } => {
                let set = self.delivery_of(stream);
                if *from > 1 {
                    set.insert(1, from - 1);
                }
            }
            Event::Acknowledged { first, last } => {
                self.delivery_of(stream).insert(*first, *last);
            }
            Event::PortOpened | Event::PortLost { .. } | Event::BreakerMoved { .. } => {}
        }
    }

    fn delivery_of(&mut self, stream: &Stream) -> &mut IntervalSet {
        let sink = stream.as_str().strip_prefix("delivery/").unwrap_or_default();
        self.acknowledged.entry(sink.to_owned()).or_default()
    }

    /// What every one of these sinks has; nothing while there is no sink.
    pub(super) fn delivered_to_all(&self, sinks: &[String]) -> IntervalSet {
        let mut sets =
            sinks.iter().map(|sink| self.acknowledged.get(sink).cloned().unwrap_or_default());
        let first = sets.next().unwrap_or_default();
        sets.fold(first, |all, set| all.intersection(&set))
    }

    pub(super) fn staged(&self) -> &[Versioned] {
        &self.staged
    }

    /// The staged events are durable.
    pub(super) fn committed(&mut self) {
        self.staged.clear();
    }

    /// The snapshots that are due with the staged events, each as of its stream's version.
    pub(super) fn due_snapshots(&self) -> Result<Vec<(Stream, u64, Vec<u8>)>, StorageError> {
        let due = self.staged.iter().filter(|staged| staged.version % EVENTS_PER_SNAPSHOT == 0);
        let snapshot = |staged: &Versioned| {
            let version = self.versions[&staged.stream];
            let data = self.encode(&staged.stream)?;
            Some(data.map(|data| (staged.stream.clone(), version, data)))
        };
        let encoded: Result<Vec<_>, _> = due.filter_map(snapshot).collect();
        encoded.map_err(|source| StorageError::Encoding { what: "snapshot", source })
    }

    /// The inverse of `encode`.
    fn restore(&mut self, stream: &Stream, data: &[u8]) -> Result<(), postcard::Error> {
        match stream.as_str() {
            "registry" => {
                self.registry = postcard::from_bytes(data)?;
                self.registry.reindex();
            }
            "clock" => self.boots = postcard::from_bytes(data)?,
            "ledger" => self.books = postcard::from_bytes(data)?,
            other => {
                let sink = other.strip_prefix("delivery/").unwrap_or_default();
                self.acknowledged.insert(sink.to_owned(), postcard::from_bytes(data)?);
            }
        }
        Ok(())
    }

    /// The aggregate of a stream, for those that have one.
    fn encode(&self, stream: &Stream) -> Option<Result<Vec<u8>, postcard::Error>> {
        match stream.as_str() {
            "registry" => Some(postcard::to_stdvec(&self.registry)),
            "clock" => Some(postcard::to_stdvec(&self.boots)),
            "ledger" => Some(postcard::to_stdvec(&self.books)),
            other => {
                let set = self.acknowledged.get(other.strip_prefix("delivery/")?)?;
                Some(postcard::to_stdvec(set))
            }
        }
    }
}
