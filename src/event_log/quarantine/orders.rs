//! Orders of a person on readings in quarantine.
//!
//! An order may concern very many readings. It is carried out in parts, each durable before the next one
//! begins, so that the log answers others meanwhile. If a reading changes by other means before its part
//! comes, that is not undone.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::declined::Declined;
use super::kept::Copies;
use crate::domain::model::quarantine::{Done, QuarantineCommand, QuarantineOrder};
use crate::event_log::state::log_state::LogState;

/// The most readings of one part. Each reading may cost an event and a row and shifts the rest of the sets,
/// but the sets are written once per part, so an order on a hundred thousand readings must not have too
/// many parts.
const PART_READINGS: u64 = 2048;

/// The sender for the answer to an order.
pub(crate) type Asker = oneshot::Sender<Result<Vec<Done>, Declined>>;

/// An order and its progress.
#[derive(Debug)]
pub(crate) struct Underway {
    command: QuarantineCommand,
    /// By sink: the numbers that are still to be done.
    left: VecDeque<(String, VecDeque<(u64, u64)>)>,
    done: Vec<Done>,
    asker: Option<Asker>,
}

impl Underway {
    pub(crate) fn is_finished(&self) -> bool {
        self.left.is_empty()
    }

    /// How many readings were changed so far.
    pub(crate) fn readings(&self) -> u64 {
        self.done.iter().map(|done| done.readings).sum()
    }

    /// Takes the next numbers, at most `most` of them.
    fn next(&mut self, most: u64) -> Option<(String, u64, u64)> {
        let (sink, runs) = self.left.front_mut()?;
        let sink = sink.clone();
        let (first, last) = runs.pop_front()?;
        let end = last.min(first.saturating_add(most - 1));
        if end < last {
            runs.push_front((end + 1, last));
        } else if runs.is_empty() {
            self.left.pop_front();
        }
        Some((sink, first, end))
    }

    fn count(&mut self, sink: String, readings: u64) {
        match self.done.last_mut() {
            Some(done) if done.sink == sink => done.readings += readings,
            _ => self.done.push(Done { sink, readings }),
        }
    }

    /// The readings that were changed, by sink.
    pub(crate) fn into_done(self) -> Vec<Done> {
        self.done
    }

    /// Stages the next part for a commit.
    pub(crate) fn apply_part(&mut self, state: &mut LogState, copies: &mut Copies) {
        let mut room = PART_READINGS;
        while let Some((sink, first, last)) = (room > 0).then(|| self.next(room)).flatten() {
            room -= last - first + 1;
            let readings = match self.command {
                QuarantineCommand::Replay => copies.replay(state, &sink, first, last),
                QuarantineCommand::Drop => copies.drop_kept(state, &sink, first, last),
            };
            self.count(sink, readings);
        }
    }

    fn answer(&mut self, answer: Result<Vec<Done>, Declined>) {
        // If the asker is gone, the log still shows what was done.
        if let Some(asker) = self.asker.take() {
            drop(asker.send(answer));
        }
    }
}

/// The order that is being carried out, if any.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    underway: Option<Underway>,
}

impl Orders {
    /// Takes an order. The asker is answered when all of it is durable, or when that is not possible.
    /// Returns whether there is something to carry out.
    pub(crate) fn take(&mut self, state: &LogState, order: &QuarantineOrder, asker: Asker) -> bool {
        let selected = match &self.underway {
            Some(_) => Err(Declined::Busy),
            None => select(state, order),
        };
        match selected {
            Ok(underway) => {
                self.underway = Some(Underway { asker: Some(asker), ..underway });
                true
            }
            Err(declined) => {
                drop(asker.send(Err(declined)));
                false
            }
        }
    }

    pub(crate) fn is_underway(&self) -> bool {
        self.underway.is_some()
    }

    /// Stages the next part of the order for a commit.
    pub(crate) fn apply_part(&mut self, state: &mut LogState, copies: &mut Copies) {
        if let Some(underway) = &mut self.underway {
            underway.apply_part(state, copies);
        }
    }

    /// Records that the staged part was committed, or that this failed for the reason in `trouble`.
    pub(crate) fn committed(&mut self, trouble: Option<&str>) {
        let Some(underway) = &mut self.underway else { return };
        if let Some(trouble) = trouble {
            underway.answer(Err(Declined::NotStored(trouble.to_owned())));
        }
        if underway.is_finished() {
            let done = std::mem::take(&mut underway.done);
            underway.answer(Ok(done));
            self.underway = None;
        }
    }
}

/// Selects the readings that an order concerns. A replay to a sink that is not configured is declined,
/// since the sink could not accept it.
pub(crate) fn select(state: &LogState, order: &QuarantineOrder) -> Result<Underway, Declined> {
    let (mut left, mut nobody) = (VecDeque::new(), None);
    for (sink, quarantine) in &state.aggregates().quarantines {
        let ranges = match order.command {
            QuarantineCommand::Replay => order.selects(sink, &quarantine.held),
            QuarantineCommand::Drop => order.selects(sink, &quarantine.kept()),
        };
        if ranges.is_empty() {
            continue;
        }
        if order.command == QuarantineCommand::Replay && state.config().rules(sink).is_none() {
            nobody.get_or_insert(sink);
        } else {
            left.push_back((sink.clone(), VecDeque::from(ranges)));
        }
    }
    match nobody {
        _ if !left.is_empty() => {
            Ok(Underway { command: order.command, left, done: Vec::new(), asker: None })
        }
        Some(sink) => Err(Declined::NoSuchSink(sink.clone())),
        None => Err(Declined::NothingSuch),
    }
}
