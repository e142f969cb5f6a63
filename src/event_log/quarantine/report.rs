//! Sums up reports about the quarantine: a server that refuses one reading refuses many, and each would be
//! a line in the journal.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::telemetry::events::Report;
use crate::telemetry::events::quarantine::{ReadingsDiscarded, ReadingsQuarantined, Why};

/// The least time between two reports. The first is made at once.
const PAUSE: Duration = Duration::from_secs(60);

/// What happened since the last report.
#[derive(Debug, Default)]
pub(crate) struct QuarantineReport {
    /// By sink, with the last reason.
    refused: BTreeMap<String, (Span, String)>,
    discarded: BTreeMap<(String, Why), Span>,
    /// When the next report may be made.
    again_at: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    first: u64,
    last: u64,
    count: u64,
}

impl Span {
    fn of(first: u64, last: u64) -> Self {
        Self { first, last, count: last - first + 1 }
    }

    fn add(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count += other.count;
    }
}

impl QuarantineReport {
    pub(crate) fn refused(&mut self, sink: &str, first: u64, last: u64, reason: &str) {
        let new = Span::of(first, last);
        match self.refused.get_mut(sink) {
            Some((span, known)) => {
                span.add(new);
                reason.clone_into(known);
            }
            None => drop(self.refused.insert(sink.to_owned(), (new, reason.to_owned()))),
        }
    }

    pub(crate) fn discarded(&mut self, sink: &str, first: u64, last: u64, why: Why) {
        let new = Span::of(first, last);
        let known = self.discarded.entry((sink.to_owned(), why));
        known.and_modify(|span| span.add(new)).or_insert(new);
    }

    pub(crate) fn emit_in_time(&mut self, now: Duration) {
        if now >= self.again_at && !(self.refused.is_empty() && self.discarded.is_empty()) {
            self.again_at = now + PAUSE;
            self.emit();
        }
    }

    pub(crate) fn emit(&mut self) {
        for (sink, (span, reason)) in std::mem::take(&mut self.refused) {
            let Span { first, last, count } = span;
            ReadingsQuarantined { sink: &sink, first, last, count, reason: &reason }.report();
        }
        for ((sink, why), span) in std::mem::take(&mut self.discarded) {
            let Span { first, last, count } = span;
            ReadingsDiscarded { sink: &sink, first, last, count, why }.report();
        }
    }
}
