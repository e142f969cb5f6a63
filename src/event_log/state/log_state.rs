//! What the log knows besides its readings: its settings, its aggregates, and where its numbers stand.
//!
//! Every change of an aggregate goes through [`LogState::record`], which dates it by the boot clock.

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

/// The log's memory of itself, durable with each commit.
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
    /// The same when the log was opened.
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

    /// Goes on with what another file of the log knows. Returns the events that were staged and not
    /// committed, which are to be recorded again.
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

    /// What was staged is durable, events about delivery only if `with_delivery`, and so many
    /// readings with it.
    pub(crate) fn committed(&mut self, readings: usize, with_delivery: bool) {
        self.next_seq += readings as u64;
        self.aggregates.committed(with_delivery);
        self.committed_position = self.aggregates.position();
        self.stored_bytes = self.aggregates.books.bytes();
    }

    /// What the log holds to.
    pub(crate) fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Holds to other settings from now on.
    pub(crate) fn reconfigure(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// What the events recorded so far give.
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

    /// This moment, as the log dates what happens.
    pub(crate) fn now(&self) -> Moment {
        Moment { boot: self.boot, ms: self.clock.since_boot_ms() }
    }

    /// The number that the next reading will have.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The last number that was stored.
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

    /// A process that starts again in the same boot goes on under the same number.
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

    /// Records that another configuration or version is in effect. Returns whether that is so.
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

    /// Records what the wall clock shows, if that is news. Returns whether it is.
    pub(crate) fn anchor_clock(&mut self) -> bool {
        let anchor = self.clock.anchor();
        let is_news = self.aggregates.boots.is_news(self.boot, &anchor);
        if is_news {
            self.record(Stream::clock(), PublishedEvent::ClockAnchored { boot: self.boot, anchor });
        }
        is_news
    }

    /// Whether the wall clock was set in this boot.
    pub(crate) fn is_clock_set(&self) -> bool {
        let boot = self.aggregates.boots.get(self.boot);
        boot.and_then(|boot| boot.anchor).is_some_and(|anchor| anchor.set)
    }

    /// A sink configured for the first time, or again after others had their readings trimmed, gets
    /// what is still in the log, which begins at `oldest`. Returns whether there is such a sink.
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

    /// What no sink that is waited for needs any more.
    pub(crate) fn settled_by_waited_for(&self) -> IntervalSet {
        self.aggregates.settled_by_all(&self.config.waited_for())
    }

    /// The first number that is still pending for some sink which is waited for.
    pub(crate) fn first_needed(&self) -> u64 {
        self.aggregates.books.first_pending(&self.settled_by_waited_for(), 1)
    }

    /// How the sinks stand that each reading has to reach.
    pub(crate) fn counting(&self) -> Vec<SinkState<'_>> {
        self.aggregates.sink_states(&self.config.waited_for())
    }

    /// The whole account, with so many readings that are not committed yet.
    pub(crate) fn ledger(&self, uncommitted: u64) -> Ledger {
        self.aggregates.books.ledger(self.head(), uncommitted, &self.counting())
    }

    /// Whether the last reading of a segment arrived in the last so long. Another boot is longer ago than
    /// anything.
    pub(crate) fn is_within(&self, head: &Head, window: Duration) -> bool {
        let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let age = self.clock.since_boot_ms().saturating_sub(head.last_ms);
        head.boot == self.boot && age <= window
    }

    /// When the first reading of a segment arrived, in milliseconds since this boot. If it was in an
    /// earlier boot, that is before zero; how long before only two clocks that were set can tell.
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
