//! The aggregates of the log: what replaying its streams gives, and what appending to them does.
//!
//! Every change goes through [`Aggregates::record`]: the event is applied and staged in one step,
//! so that memory and file cannot tell different stories.

use std::collections::{BTreeMap, BTreeSet};

use outstation_codec::{Loss, PublishedEvent};

use super::staging;
use crate::domain::model::boots::Boots;
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::generation::Generation;
use crate::domain::model::interval_set::{Delivery, IntervalSet, NONE};
use crate::domain::model::ledger::Books;
use crate::domain::model::quarantine::{NOTHING, Quarantine};
use crate::domain::model::reading_class::SinkState;
use crate::domain::model::sensors::Registry;
use crate::domain::policy::breaker::SavedBreaker;
use crate::domain::policy::budget::Spent;
use crate::event_log::status::Progress;
use crate::event_log::store::commit::Versioned;
use crate::event_log::store::error::StorageError;
use crate::event_log::store::rows::{History, SnapshotRow};

/// A snapshot replaces its stream's events after this many, so that replay stays short.
const EVENTS_PER_SNAPSHOT: u64 = 16;
/// As many bytes as a few events have.
const SNAPSHOT_SMALL: usize = 256;
/// Events staged at once. Those of aggregates are merged or rare; the others are dropped above it.
const STAGED_MAX: usize = 1024;
/// So many of the published events stay in the log, for people, when every sink has them.
const PUBLISHED_EVENTS_KEPT: u64 = 256;
/// And no more than so many while they are pending for some sink.
const PENDING_EVENTS_KEPT: u64 = 4096;

#[derive(Clone, Debug, Default)]
pub(crate) struct Aggregates {
    pub(crate) registry: Registry,
    pub(crate) boots: Boots,
    pub(crate) books: Books,
    pub(crate) generation: Generation,
    /// By sink: what it has acknowledged, readings and events.
    pub(crate) deliveries: BTreeMap<String, Delivery>,
    /// By sink: what it refused.
    pub(crate) quarantines: BTreeMap<String, Quarantine>,
    /// By sink and endpoint: where its breaker stands.
    pub(crate) breakers: BTreeMap<String, BTreeMap<String, SavedBreaker>>,
    /// By sink: the period and what was spent in it.
    pub(crate) budgets: BTreeMap<String, Spent>,
    versions: BTreeMap<Stream, u64>,
    /// Of the last published event.
    position: u64,
    staged: Vec<Versioned>,
}

impl Aggregates {
    /// Replays every stream from its last snapshot, given the version that each is at and how to read
    /// its history.
    pub(crate) fn rebuilt(
        versions: BTreeMap<Stream, u64>,
        position: u64,
        history: impl Fn(&Stream) -> Result<History, StorageError>,
    ) -> Result<Self, StorageError> {
        let mut all = Self { versions, position, ..Self::default() };
        let streams: Vec<Stream> = all.versions.keys().cloned().collect();
        for stream in streams.into_iter().filter(Stream::has_aggregate) {
            all.replay(&stream, history(&stream)?)?;
        }
        // What was refused is not waited for; that the delivery state says so may come a commit later.
        for (sink, quarantine) in &all.quarantines {
            let readings = &mut all.deliveries.entry(sink.clone()).or_default().readings;
            *readings = readings.union(&quarantine.refused());
        }
        Ok(all)
    }

    /// Brings the aggregate of a stream to its last event.
    pub(crate) fn replay(&mut self, stream: &Stream, history: History) -> Result<(), StorageError> {
        let encoding = |what| move |source| StorageError::Encoding { what, source };
        if let Some(snapshot) = history.snapshot {
            self.restore(stream, &snapshot.data).map_err(encoding("snapshot"))?;
            self.versions.insert(stream.clone(), snapshot.version);
        }
        for row in history.events {
            let event = postcard::from_bytes(&row.data).map_err(encoding("event"))?;
            self.apply(stream, &event);
            self.versions.insert(stream.clone(), row.version);
        }
        Ok(())
    }

    /// Applies an event that only a snapshot will tell of.
    pub(crate) fn note(&mut self, stream: Stream, event: impl Into<Event>) {
        self.apply(&stream, &event.into());
        let version = self.version(&stream) + 1;
        self.versions.insert(stream, version);
    }

    /// Applies an event and stages it for the next commit; `at_ms` is when it happened.
    pub(crate) fn record(&mut self, stream: Stream, event: impl Into<Event>, at_ms: i64) {
        let event = event.into();
        self.apply(&stream, &event);
        if staging::merge(&mut self.staged, &stream, &event) {
            return;
        }
        // History is for people: while nothing can be committed it must not eat the memory.
        if self.staged.len() >= STAGED_MAX && !stream.has_aggregate() {
            return;
        }
        let version = self.version(&stream) + 1;
        self.versions.insert(stream.clone(), version);
        let position = event.is_published().then(|| {
            self.position += 1;
            self.position
        });
        self.staged.push(Versioned { stream, version, position, at_ms, event });
    }

    fn apply(&mut self, stream: &Stream, event: &Event) {
        match event {
            Event::Published(event) => self.apply_published(stream, event),
            Event::TookIn { port, intake } => self.books.took_in(port, intake),
            Event::SinkAdded { from } => {
                if let Some(delivery) = self.delivery_of(stream).filter(|_| *from > 1) {
                    delivery.readings.insert(1, from - 1);
                }
            }
            Event::Acknowledged { first, last } => {
                if let Some(delivery) = self.delivery_of(stream) {
                    delivery.readings.insert(*first, *last);
                } else if let Some(quarantine) = self.quarantine_of(stream) {
                    quarantine.deliver(*first, *last);
                }
            }
            Event::EventsAcknowledged { through } => {
                if let Some(delivery) = self.delivery_of(stream) {
                    delivery.events = delivery.events.max(*through);
                }
            }
            Event::Forgotten { first, last, count } => match self.quarantine_of(stream) {
                Some(quarantine) => quarantine.forget(*first, *last),
                None => self.books.forgotten += count,
            },
            Event::Skipped { first, last } => {
                if let Some(quarantine) = self.quarantine_of(stream) {
                    quarantine.skipped.insert(*first, *last);
                }
            }
            Event::BreakerSaved { endpoint, saved } => {
                if let Some(sink) = stream.sink_of("breaker") {
                    let breakers = self.breakers.entry(sink.to_owned()).or_default();
                    // Closed is what nothing is known of: endpoints that come and go leave no trace.
                    match saved {
                        SavedBreaker::Closed => drop(breakers.remove(endpoint)),
                        open => drop(breakers.insert(endpoint.clone(), open.clone())),
                    }
                }
            }
            Event::Spent(spent) => {
                if let Some(sink) = stream.sink_of("budget") {
                    self.budgets.insert(sink.to_owned(), *spent);
                }
            }
        }
    }

    fn apply_published(&mut self, stream: &Stream, event: &PublishedEvent) {
        match event {
            PublishedEvent::SensorDescribed { id, sensor } => {
                self.registry.apply(*id, sensor.clone())
            }
            PublishedEvent::BootStarted { boot, id } => self.boots.apply_started(*boot, id.clone()),
            PublishedEvent::ClockAnchored { boot, anchor } => {
                self.boots.apply_anchored(*boot, *anchor)
            }
            PublishedEvent::Lost { loss, first, last } => self.books.lost(*loss, *first, *last),
            PublishedEvent::Evicted { first, last, .. } => {
                self.books.lost(Loss::Evicted, *first, *last)
            }
            PublishedEvent::ConfigApplied { generation, digest, version } => {
                self.generation =
                    Generation { number: *generation, digest: *digest, version: version.clone() };
            }
            PublishedEvent::Refused { first, last, .. } => {
                if let Some(quarantine) = self.quarantine_of(stream) {
                    quarantine.refuse(*first, *last);
                }
            }
            PublishedEvent::Replayed { first, last } => {
                if let Some(quarantine) = self.quarantine_of(stream) {
                    quarantine.replay(*first, *last);
                }
            }
            PublishedEvent::Discarded { first, last } => {
                if let Some(quarantine) = self.quarantine_of(stream) {
                    quarantine.discard(*first, *last);
                }
            }
            PublishedEvent::PortOpened
            | PublishedEvent::PortLost { .. }
            | PublishedEvent::FramesLost { .. }
            | PublishedEvent::BreakerMoved { .. }
            | PublishedEvent::EpochBegan { .. } => {}
        }
    }

    fn delivery_of(&mut self, stream: &Stream) -> Option<&mut Delivery> {
        Some(self.deliveries.entry(stream.delivery_sink()?.to_owned()).or_default())
    }

    fn quarantine_of(&mut self, stream: &Stream) -> Option<&mut Quarantine> {
        Some(self.quarantines.entry(stream.sink_of("quarantine")?.to_owned()).or_default())
    }

    /// What a sink refused; nothing, if it was never heard of.
    pub(crate) fn quarantine(&self, sink: &str) -> &Quarantine {
        self.quarantines.get(sink).unwrap_or(&NOTHING)
    }

    /// How a sink stands with the readings.
    pub(crate) fn sink_state(&self, sink: &str) -> SinkState<'_> {
        let readings = self.deliveries.get(sink).map(|delivery| &delivery.readings);
        let quarantine = self.quarantine(sink);
        SinkState { readings: readings.unwrap_or(&NONE), quarantine }
    }

    /// How each of these sinks does.
    pub(crate) fn sink_states(&self, sinks: &[String]) -> Vec<SinkState<'_>> {
        sinks.iter().map(|sink| self.sink_state(sink)).collect()
    }

    /// What a sink has; nothing, if it was never heard of.
    pub(crate) fn delivery(&self, sink: &str) -> Delivery {
        self.deliveries.get(sink).cloned().unwrap_or_default()
    }

    /// What every one of these sinks has, or had to do without when it was best-effort; nothing while
    /// there is no sink.
    pub(crate) fn delivered_to_all(&self, sinks: &[String]) -> IntervalSet {
        let has =
            |sink: &String| self.delivery(sink).readings.union(&self.quarantine(sink).skipped);
        let mut sets = sinks.iter().map(has);
        let first = sets.next().unwrap_or_default();
        sets.fold(first, |all, set| all.intersection(&set))
    }

    /// What a sink needs no more: it has it, it refused it, or it has to do without.
    pub(crate) fn settled(&self, sink: &str) -> IntervalSet {
        let quarantine = self.quarantine(sink);
        let has = self.delivery(sink).readings.union(&quarantine.held);
        has.union(&quarantine.discarded).union(&quarantine.skipped)
    }

    /// What none of these sinks needs any more; nothing while there is no sink.
    pub(crate) fn settled_by_all(&self, sinks: &[String]) -> IntervalSet {
        let mut sets = sinks.iter().map(|sink| self.settled(sink));
        let first = sets.next().unwrap_or_default();
        sets.fold(first, |all, set| all.intersection(&set))
    }

    /// What is not pending for a sink: it needs it no more, or it is lost.
    pub(crate) fn closed(&self, sink: &str) -> IntervalSet {
        self.settled(sink).union(&self.books.evicted).union(&self.books.damaged)
    }

    /// What a sink has and lacks of the readings up to this one; no word of lanes and events.
    pub(crate) fn progress(&self, sink: &str, head: u64) -> Progress {
        let state = self.sink_state(sink);
        let classes = self.books.classes(&[state]);
        let Quarantine { skipped, forgotten, .. } = state.quarantine;
        let (delivered, refused) = (classes.delivered.count(), classes.refused.count());
        let (evicted, damaged) = (classes.evicted.count(), classes.damaged.count());
        let quarantined = classes.quarantined.count();
        let gone = delivered + quarantined + refused + evicted + damaged;
        Progress {
            delivered: delivered.saturating_sub(skipped.count() + forgotten),
            pending: head.saturating_sub(gone),
            quarantined,
            refused: refused + forgotten,
            skipped: skipped.count(),
            ..Progress::default()
        }
    }

    /// The last number that any aggregate knows of.
    pub(crate) fn last_accounted(&self) -> u64 {
        let delivered = self.deliveries.values().map(|delivery| &delivery.readings);
        let quarantines = self.quarantines.values();
        let refused = quarantines.flat_map(|of| [&of.held, &of.discarded, &of.replayed]);
        let sets = delivered.chain(refused).chain([&self.books.evicted, &self.books.damaged]);
        let last = sets.filter_map(IntervalSet::last).max().unwrap_or(0);
        last.max(self.books.stored())
    }

    /// Takes up a stream, or the order of the published events, behind what may be missing.
    pub(crate) fn skip_to(&mut self, stream: &Stream, version: u64) {
        self.versions.insert(stream.clone(), version);
    }

    /// Skips every position that a sink acknowledged, so that no new event is taken for one it has.
    pub(crate) fn skip_published(&mut self) {
        let acknowledged = self.deliveries.values().map(|delivery| delivery.events).max();
        self.skip_to_position(acknowledged.unwrap_or(0));
    }

    pub(crate) fn skip_to_position(&mut self, position: u64) {
        self.position = self.position.max(position);
    }

    /// The position of the last published event.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Events up to this position may leave the log.
    pub(crate) fn events_to_forget(&self, sinks: &[String]) -> u64 {
        let acknowledged = sinks.iter().map(|sink| self.delivery(sink).events).min().unwrap_or(0);
        let kept_for_people = self.position.saturating_sub(PUBLISHED_EVENTS_KEPT);
        acknowledged.min(kept_for_people).max(self.position.saturating_sub(PENDING_EVENTS_KEPT))
    }

    pub(crate) fn staged(&self) -> &[Versioned] {
        &self.staged
    }

    /// Whether there is something for a commit, which takes all staged events, or all but those about
    /// delivery, because those can wait.
    pub(crate) fn has_staged(&self, delivery: bool) -> bool {
        self.staged.iter().any(|staged| delivery || !staged.is_about_delivery())
    }

    /// What a commit writes of them: the events, and the snapshots that belong with them, each as
    /// of its stream's version. A snapshot smaller than the events it stands for is written instead
    /// of them: it stays in its page, while appended rows touch several.
    pub(crate) fn to_commit(
        &self,
        delivery: bool,
    ) -> Result<(Vec<Versioned>, Vec<SnapshotRow>), StorageError> {
        let mut events: Vec<Versioned> = self.staged.clone();
        events.retain(|staged| delivery || !staged.is_about_delivery());
        let mut streams: Vec<Stream> = events.iter().map(|staged| staged.stream.clone()).collect();
        streams.sort_unstable();
        streams.dedup();
        let mut snapshots = Vec::new();
        for stream in streams {
            let Some(snapshot) = self.snapshot(&stream)? else { continue };
            let of_stream = || events.iter().filter(|staged| staged.stream == stream);
            let small = snapshot.data.len() <= SNAPSHOT_SMALL;
            if small && of_stream().all(|staged| staged.position.is_none()) {
                events.retain(|staged| staged.stream != stream);
            } else if !of_stream().any(|staged| staged.version % EVENTS_PER_SNAPSHOT == 0) {
                continue;
            }
            snapshots.push(snapshot);
        }
        Ok((events, snapshots))
    }

    /// The staged events, or all but those about delivery, are durable.
    pub(crate) fn committed(&mut self, delivery: bool) {
        self.staged.retain(|staged| !delivery && staged.is_about_delivery());
    }

    /// All aggregates, each as of its stream's version.
    pub(crate) fn snapshots(&self) -> Result<Vec<SnapshotRow>, StorageError> {
        let known = [Stream::registry(), Stream::clock(), Stream::ledger(), Stream::config()];
        let streams: BTreeSet<Stream> = known
            .into_iter()
            .chain(self.deliveries.keys().map(|sink| Stream::delivery(sink)))
            .chain(self.quarantines.keys().map(|sink| Stream::quarantine(sink)))
            .chain(self.breakers.keys().map(|sink| Stream::breaker(sink)))
            .chain(self.budgets.keys().map(|sink| Stream::budget(sink)))
            .chain(self.versions.keys().cloned())
            .collect();
        streams.iter().filter_map(|stream| self.snapshot(stream).transpose()).collect()
    }

    /// The inverse of `snapshot`.
    fn restore(&mut self, stream: &Stream, data: &[u8]) -> Result<(), postcard::Error> {
        match stream.as_str() {
            "registry" => {
                self.registry = postcard::from_bytes(data)?;
                self.registry.reindex();
            }
            "clock" => self.boots = postcard::from_bytes(data)?,
            "ledger" => self.books = postcard::from_bytes(data)?,
            "config" => self.generation = postcard::from_bytes(data)?,
            _ => self.restore_of_sink(stream, data)?,
        }
        Ok(())
    }

    fn restore_of_sink(&mut self, stream: &Stream, data: &[u8]) -> Result<(), postcard::Error> {
        let Some((kind, sink)) = stream.of_sink() else { return Ok(()) };
        let sink = sink.to_owned();
        match kind {
            "delivery" => drop(self.deliveries.insert(sink, postcard::from_bytes(data)?)),
            "quarantine" => drop(self.quarantines.insert(sink, postcard::from_bytes(data)?)),
            "breaker" => drop(self.breakers.insert(sink, postcard::from_bytes(data)?)),
            _ => drop(self.budgets.insert(sink, postcard::from_bytes(data)?)),
        }
        Ok(())
    }

    /// The aggregate of a stream, for those that have one.
    fn snapshot(&self, stream: &Stream) -> Result<Option<SnapshotRow>, StorageError> {
        let encoded = match stream.as_str() {
            "registry" => postcard::to_stdvec(&self.registry),
            "clock" => postcard::to_stdvec(&self.boots),
            "ledger" => postcard::to_stdvec(&self.books),
            "config" => postcard::to_stdvec(&self.generation),
            _ => match stream.of_sink() {
                Some(("delivery", sink)) => postcard::to_stdvec(&self.delivery(sink)),
                Some(("quarantine", sink)) => postcard::to_stdvec(&self.quarantine(sink)),
                Some(("breaker", sink)) => {
                    postcard::to_stdvec(&self.breakers.get(sink).cloned().unwrap_or_default())
                }
                Some((_, sink)) => {
                    postcard::to_stdvec(&self.budgets.get(sink).copied().unwrap_or_default())
                }
                None => return Ok(None),
            },
        };
        let encoding = |source| StorageError::Encoding { what: "snapshot", source };
        let (data, version) = (encoded.map_err(encoding)?, self.version(stream));
        Ok(Some(SnapshotRow { stream: stream.clone(), version, data }))
    }

    fn version(&self, stream: &Stream) -> u64 {
        self.versions.get(stream).copied().unwrap_or(0)
    }
}
