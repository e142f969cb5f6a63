//! What a sink is still owed, in sets of numbers.

use crate::domain::model::event::{Event, Stream};
use crate::domain::model::interval_set::IntervalSet;
use crate::event_log::actor::LogActor;
use crate::event_log::state::aggregates::Aggregates;
use crate::event_log::store::error::StorageError;

impl Aggregates {
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

    /// What a sink is not owed: it needs it no more, or it is lost.
    pub(crate) fn closed(&self, sink: &str) -> IntervalSet {
        self.settled(sink).union(&self.books.evicted).union(&self.books.damaged)
    }
}

impl LogActor {
    /// A sink configured for the first time, or again after others had their readings trimmed, is
    /// owed what is still in the log.
    pub(crate) fn welcome_sinks(&mut self) -> Result<(), StorageError> {
        let from = self.database.oldest_seq()?.min(self.next_seq);
        for sink in self.config.names() {
            let has = self.aggregates.settled(&sink);
            if self.aggregates.books.first_owed(&has, 1) < from {
                self.record(Stream::delivery(&sink), Event::SinkAdded { from });
                self.settle();
            }
        }
        Ok(())
    }
}
