//! What the log knows besides its readings: its settings, its aggregates, and the numbers it has reached.
//!
//! Every change of an aggregate goes through [`LogState::record`], which dates it by the time since boot.

use std::collections::BTreeMap;
use std::time::Duration;

use outstation_codec::{Moment, PublishedEvent};

use super::aggregates::Aggregates;
use crate::clock::Clock;
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::interval_set::IntervalSet;
use crate::domain::model::ledger::Ledger;
use crate::domain::model::reading_class::SinkState;
use crate::event_log::settings::LogConfig;
use crate::event_log::store::queries::Head;

/// The log's state in memory. Each commit makes its changes durable.
#[derive(Debug)]
pub(crate) struct LogState {
    config: LogConfig,
    aggregates: Aggregates,
    clock: Clock,
    boot: u32,
    next_seq: u64,
    /// The position of the last committed event.
    committed_position: u64,
    /// By port: the bytes of its intake as of the last commit.
    stored_bytes: BTreeMap<String, u64>,
    /// By port: the same when the log was opened.
    found_bytes: BTreeMap<String, u64>,
}

impl LogState {
    /// The state of a log that was just opened; `next_seq` is the number of the next reading.
    pub(crate) fn new(
        config: LogConfig,
        clock: Clock,
        aggregates: Aggregates,
        next_seq: u64,
    ) -> Self {
        let stored_bytes = aggregates.books.bytes();
        let mut state = Self {
            config,
            clock,
            boot: 0,
            next_seq,
            committed_position: aggregates.position(),
            found_bytes: stored_bytes.clone(),
            stored_bytes,
            aggregates,
        };
        state.enter_boot();
        state
    }

    /// Goes on with the state of another file of the log. Returns the events that were staged and not
    /// committed; the caller must record them again.
    pub(crate) fn replace(
        &mut self,
        aggregates: Aggregates,
        next_seq: u64,
    ) -> impl Iterator<Item = (Stream, Event)> + use<> {
        let staged = self.aggregates.staged().to_vec();
        self.stored_bytes = aggregates.books.bytes();
        self.committed_position = aggregates.position();
        (self.aggregates, self.next_seq) = (aggregates, next_seq);
        staged.into_iter().map(|staged| (staged.stream, staged.event))
    }

    /// Applies an event and stages it for the next commit.
    pub(crate) fn record(&mut self, stream: Stream, event: impl Into<Event>) {
        self.aggregates.record(stream, event, self.clock.since_boot_ms());
    }

    /// Records that the staged events and so many readings are durable; events about delivery only if
    /// `with_delivery`.
    pub(crate) fn committed(&mut self, readings: usize, with_delivery: bool) {
        self.next_seq += readings as u64;
        self.aggregates.committed(with_delivery);
        self.committed_position = self.aggregates.position();
        self.stored_bytes = self.aggregates.books.bytes();
    }

    /// The settings in effect.
    pub(crate) fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Replaces the settings.
    pub(crate) fn reconfigure(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// The aggregates, with all events recorded so far.
    pub(crate) fn aggregates(&self) -> &Aggregates {
        &self.aggregates
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The number of this boot of the device.
    pub(crate) fn boot(&self) -> u32 {
        self.boot
    }

    /// This moment, as the log dates events.
    pub(crate) fn now(&self) -> Moment {
        Moment { boot: self.boot, ms: self.clock.since_boot_ms() }
    }

    /// The number that the next reading will have.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The highest sequence number that is stored; 0 if there is none.
    pub(crate) fn head(&self) -> u64 {
        self.next_seq - 1
    }

    pub(crate) fn committed_position(&self) -> u64 {
        self.committed_position
    }

    pub(crate) fn stored_bytes(&self) -> &BTreeMap<String, u64> {
        &self.stored_bytes
    }

    pub(crate) fn found_bytes(&self) -> &BTreeMap<String, u64> {
        &self.found_bytes
    }

    /// Sets the number of this boot. A process that starts again in the same boot gets the same number.
    fn enter_boot(&mut self) {
        let id = self.clock.boot_id();
        self.boot = match self.aggregates.boots.number_of(id) {
            Some(known) => known,
            None => {
                let boot = self.aggregates.boots.next_number();
                let started = PublishedEvent::BootStarted { boot, id: id.to_owned() };
                self.record(Stream::clock(), started);
                boot
            }
        };
    }

    /// Records that another configuration or version is in effect, if so, and returns whether it is.
    pub(crate) fn enter_generation(&mut self) -> bool {
        let (digest, version) = self.config.generation;
        let Some(generation) = self.aggregates.generation.succeeded_by(digest, version) else {
            return false;
        };
        let version = version.to_owned();
        self.record(
            Stream::config(),
            PublishedEvent::ConfigApplied { generation, digest, version },
        );
        true
    }

    /// Records an anchor of the wall clock if it adds to what is known, and returns whether it does.
    pub(crate) fn anchor_clock(&mut self) -> bool {
        let anchor = self.clock.anchor();
        let is_news = self.aggregates.boots.is_news(self.boot, &anchor);
        if is_news {
            self.record(Stream::clock(), PublishedEvent::ClockAnchored { boot: self.boot, anchor });
        }
        is_news
    }

    /// Says whether the wall clock was set in this boot.
    pub(crate) fn is_clock_set(&self) -> bool {
        let boot = self.aggregates.boots.get(self.boot);
        boot.and_then(|boot| boot.anchor).is_some_and(|anchor| anchor.set)
    }

    /// Records which readings are pending for new sinks: a sink that is configured for the first time, or
    /// again after readings it lacks have left, gets what is still in the log, which begins at `oldest`.
    /// Returns whether there is such a sink.
    pub(crate) fn welcome_sinks(&mut self, oldest: u64) -> bool {
        let from = oldest.min(self.next_seq);
        let mut welcomed = false;
        for sink in self.config.names() {
            let has = self.aggregates.settled(&sink);
            if self.aggregates.books.first_pending(&has, 1) < from {
                self.record(Stream::delivery(&sink), Event::SinkAdded { from });
                welcomed = true;
            }
        }
        welcomed
    }

    /// The readings that no sink that is waited for needs any more.
    pub(crate) fn settled_by_waited_for(&self) -> IntervalSet {
        self.aggregates.settled_by_all(&self.config.waited_for())
    }

    /// The first number that is pending for some sink that is waited for.
    pub(crate) fn first_needed(&self) -> u64 {
        self.aggregates.books.first_pending(&self.settled_by_waited_for(), 1)
    }

    /// The states of the sinks that each reading has to reach.
    pub(crate) fn counting(&self) -> Vec<SinkState<'_>> {
        self.aggregates.sink_states(&self.config.waited_for())
    }

    /// The whole account. `uncommitted` counts the readings that are accepted and not committed yet.
    pub(crate) fn ledger(&self, uncommitted: u64) -> Ledger {
        self.aggregates.books.ledger(self.head(), uncommitted, &self.counting())
    }

    /// Says whether the last reading of a segment arrived within the last `window`. A reading of another
    /// boot never did.
    pub(crate) fn is_within(&self, head: &Head, window: Duration) -> bool {
        let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let age = self.clock.since_boot_ms().saturating_sub(head.last_ms);
        head.boot == self.boot && age <= window
    }

    /// When the first reading of a segment arrived, in milliseconds since this boot. For an earlier boot
    /// the result is negative if both clocks were set, and otherwise zero, since the distance is unknown.
    pub(crate) fn on_this_boot(&self, head: &Head) -> i64 {
        if head.boot == self.boot {
            return head.first_ms;
        }
        let boots = &self.aggregates.boots;
        let date = |ms, boot| boots.date(Moment { boot, ms });
        match (date(head.first_ms, head.boot), date(0, self.boot)) {
            ((arrived, true), (booted, true)) => (arrived - booted).min(0),
            _ => 0,
        }
    }
}
