//! The aggregates of the log, which result from replaying its streams.
//!
//! Every change goes through [`Aggregates::record`], which applies the event and stages it in one step, so
//! that memory and file cannot differ.

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

/// After this many events a snapshot replaces those of its stream, so that replay stays short.
const EVENTS_PER_SNAPSHOT: u64 = 16;
/// A snapshot of at most this many bytes is small: about as large as a few events.
const SNAPSHOT_SMALL: usize = 256;
/// The most events staged at once. Events of aggregates are merged or rare; above this number, others are
/// dropped.
const STAGED_MAX: usize = 1024;
/// How many published events stay in the log for people when every sink has them.
const PUBLISHED_EVENTS_KEPT: u64 = 256;
/// The most published events that stay in the log while they are pending for some sink.
const PENDING_EVENTS_KEPT: u64 = 4096;

#[derive(Clone, Debug, Default)]
pub(crate) struct Aggregates {
    pub(crate) registry: Registry,
    pub(crate) boots: Boots,
    pub(crate) books: Books,
    pub(crate) generation: Generation,
    /// By sink: the readings and events it has acknowledged.
    pub(crate) deliveries: BTreeMap<String, Delivery>,
    /// By sink: the readings it refused.
    pub(crate) quarantines: BTreeMap<String, Quarantine>,
    /// By sink and endpoint: the state of its breaker.
    pub(crate) breakers: BTreeMap<String, BTreeMap<String, SavedBreaker>>,
    /// By sink: the period, and the bytes spent in it.
    pub(crate) budgets: BTreeMap<String, Spent>,
    versions: BTreeMap<Stream, u64>,
    /// The position of the last published event.
    position: u64,
    staged: Vec<Versioned>,
}

impl Aggregates {
    /// Replays every stream from its last snapshot. `versions` are the versions the streams are at, and
    /// `history` reads the snapshot and the events of one.
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
        // Refused readings are not waited for, but the delivery state may record that one commit later.
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

    /// Applies an event without staging it; only a snapshot will hold its effect.
    pub(crate) fn note(&mut self, stream: Stream, event: impl Into<Event>) {
        self.apply(&stream, &event.into());
        let version = self.version(&stream) + 1;
        self.versions.insert(stream, version);
    }

    /// Applies an event and stages it for the next commit. `at_ms` is when it happened, in milliseconds
    /// since boot.
    pub(crate) fn record(&mut self, stream: Stream, event: impl Into<Event>, at_ms: i64) {
        let event = event.into();
        self.apply(&stream, &event);
        if staging::merge(&mut self.staged, &stream, &event) {
            return;
        }
        // History is for people; it must not fill the memory while nothing can be committed.
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
                    // An unknown endpoint counts as closed, so endpoints that come and go need not be
                    // stored.
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

    /// What a sink refused; empty for an unknown sink.
    pub(crate) fn quarantine(&self, sink: &str) -> &Quarantine {
        self.quarantines.get(sink).unwrap_or(&NOTHING)
    }

    /// The readings that a sink has and those it refused.
    pub(crate) fn sink_state(&self, sink: &str) -> SinkState<'_> {
        let readings = self.deliveries.get(sink).map(|delivery| &delivery.readings);
        let quarantine = self.quarantine(sink);
        SinkState { readings: readings.unwrap_or(&NONE), quarantine }
    }

    /// The same for each of these sinks.
    pub(crate) fn sink_states(&self, sinks: &[String]) -> Vec<SinkState<'_>> {
        sinks.iter().map(|sink| self.sink_state(sink)).collect()
    }

    /// What a sink has; nothing for an unknown sink.
    pub(crate) fn delivery(&self, sink: &str) -> Delivery {
        self.deliveries.get(sink).cloned().unwrap_or_default()
    }

    /// The readings that each of these sinks has, or that left the log before it had them because it is
    /// best-effort. Empty if there is no sink.
    pub(crate) fn delivered_to_all(&self, sinks: &[String]) -> IntervalSet {
        let has =
            |sink: &String| self.delivery(sink).readings.union(&self.quarantine(sink).skipped);
        let mut sets = sinks.iter().map(has);
        let first = sets.next().unwrap_or_default();
        sets.fold(first, |all, set| all.intersection(&set))
    }

    /// The readings that a sink no longer needs: it has them, has refused them, or they were skipped for
    /// it.
    pub(crate) fn settled(&self, sink: &str) -> IntervalSet {
        let quarantine = self.quarantine(sink);
        let has = self.delivery(sink).readings.union(&quarantine.held);
        has.union(&quarantine.discarded).union(&quarantine.skipped)
    }

    /// The readings that none of these sinks needs any more. Empty if there is no sink.
    pub(crate) fn settled_by_all(&self, sinks: &[String]) -> IntervalSet {
        let mut sets = sinks.iter().map(|sink| self.settled(sink));
        let first = sets.next().unwrap_or_default();
        sets.fold(first, |all, set| all.intersection(&set))
    }

    /// The readings that are not pending for a sink: it no longer needs them, or they are lost.
    pub(crate) fn closed(&self, sink: &str) -> IntervalSet {
        self.settled(sink).union(&self.books.evicted).union(&self.books.damaged)
    }

    /// What a sink has and lacks of the readings up to `head`, without lanes and events.
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

    /// The highest sequence number in any aggregate.
    pub(crate) fn last_accounted(&self) -> u64 {
        let delivered = self.deliveries.values().map(|delivery| &delivery.readings);
        let quarantines = self.quarantines.values();
        let refused = quarantines.flat_map(|of| [&of.held, &of.discarded, &of.replayed]);
        let sets = delivered.chain(refused).chain([&self.books.evicted, &self.books.damaged]);
        let last = sets.filter_map(IntervalSet::last).max().unwrap_or(0);
        last.max(self.books.stored())
    }

    /// Continues a stream at a version above those that may be missing.
    pub(crate) fn skip_to(&mut self, stream: &Stream, version: u64) {
        self.versions.insert(stream.clone(), version);
    }

    /// Continues above every position that a sink acknowledged, so that it does not take a new event for
    /// one it has.
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

    /// The position up to which events may leave the log.
    pub(crate) fn events_to_forget(&self, sinks: &[String]) -> u64 {
        let acknowledged = sinks.iter().map(|sink| self.delivery(sink).events).min().unwrap_or(0);
        let kept_for_people = self.position.saturating_sub(PUBLISHED_EVENTS_KEPT);
        acknowledged.min(kept_for_people).max(self.position.saturating_sub(PENDING_EVENTS_KEPT))
    }

    pub(crate) fn staged(&self) -> &[Versioned] {
        &self.staged
    }

    /// Says whether there are events for a commit. `delivery` says whether events about delivery count,
    /// which can wait.
    pub(crate) fn has_staged(&self, delivery: bool) -> bool {
        self.staged.iter().any(|staged| delivery || !staged.is_about_delivery())
    }

    /// Returns what a commit writes: the staged events, and the snapshots that belong with them, each as of
    /// its stream's version. A small snapshot is written instead of the events it replaces: it stays in its
    /// page, while appended rows touch several pages.
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

    /// Removes the staged events, which are durable now; those about delivery only if `delivery` is set.
    pub(crate) fn committed(&mut self, delivery: bool) {
        self.staged.retain(|staged| !delivery && staged.is_about_delivery());
    }

    /// Returns all aggregates, each as of its stream's version.
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

    /// Decodes a snapshot, the inverse of `snapshot`.
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

    /// Encodes the aggregate of a stream; `None` if the stream has none.
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
