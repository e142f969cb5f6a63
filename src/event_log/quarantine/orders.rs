//! What a person wants done with readings in quarantine.
//!
//! An order may be about very many readings. It is carried out in parts, each durable before the next
//! one begins, so that the log hears everybody else meanwhile; what becomes of a reading by other means
//! before its part comes is not undone.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::domain::model::event::{Event, Stream};
use crate::domain::model::quarantine::{Done, Order, Wish};
use crate::event_log::actor::{LogActor, LogConfig};
use crate::event_log::store::copies::Change;
use crate::event_log::store::error::StorageError;
use crate::event_log::{Mailbox, channel};
use crate::telemetry::events::quarantine::Why;

/// Readings of one part. Each may be an event and a row, and moves the rest of the sets; but with each
/// part the sets are written once, so of a hundred thousand readings there must not be too many parts.
const PART_READINGS: u64 = 2048;

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    #[error("nothing such is in quarantine; `outstation quarantine list` shows what is")]
    NothingSuch,
    #[error(
        "the sink `{0}` is not configured, so nobody would take them; configure it, or drop them with \
         `--sink {0}`"
    )]
    NoSuchSink(String),
    #[error("it is done as soon as the log can be written: {0}")]
    NotStored(String),
    #[error("{}: {trouble}; repeat it when that is mended", so_far(*.readings))]
    Unfinished { readings: u64, trouble: String },
    #[error("another order is being carried out; repeat this one when that is done")]
    Busy,
    #[error("the log is not open yet ({0}); try again when it is")]
    NotOpen(String),
}

fn so_far(readings: u64) -> String {
    match readings {
        0 => "nothing was changed".to_owned(),
        readings => format!("no more than {readings} readings were changed"),
    }
}

/// Whoever wants to know.
pub(crate) type Asker = oneshot::Sender<Result<Vec<Done>, Declined>>;

/// An order, and how far it was carried out.
#[derive(Debug)]
pub(crate) struct Underway {
    wish: Wish,
    /// By sink: what is still to do.
    left: VecDeque<(String, VecDeque<(u64, u64)>)>,
    done: Vec<Done>,
    asker: Option<Asker>,
}

impl Underway {
    fn is_finished(&self) -> bool {
        self.left.is_empty()
    }

    fn readings(&self) -> u64 {
        self.done.iter().map(|done| done.readings).sum()
    }

    /// The next numbers, at most so many of them.
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

    fn answer(&mut self, answer: Result<Vec<Done>, Declined>) {
        // Whoever went away finds out from the log.
        if let Some(asker) = self.asker.take() {
            drop(asker.send(answer));
        }
    }
}

/// Carries an order out where no daemon runs.
pub fn carry_out_alone(
    config: LogConfig,
    clock: Clock,
    order: &Order,
) -> Result<Result<Vec<Done>, Declined>, StorageError> {
    let mut actor = LogActor::open(config, clock)?;
    let (_handle, mailbox) = channel();
    let carried_out = match actor.selected(order) {
        Ok(underway) => actor.finish(underway, &mailbox)?,
        Err(declined) => {
            actor.commit(&mailbox, true)?;
            Err(declined)
        }
    };
    actor.tell_quarantine();
    Ok(carried_out)
}

impl LogActor {
    /// Begins with an order; its asker is answered when all of it is durable, or cannot be made so.
    pub(crate) fn begin(
        &mut self,
        order: &Order,
        asker: Asker,
        mailbox: &Mailbox,
    ) -> Result<(), StorageError> {
        let selected = match &self.underway {
            Some(_) => Err(Declined::Busy),
            None => self.selected(order),
        };
        match selected {
            Ok(underway) => {
                self.carry_out_part(Underway { asker: Some(asker), ..underway }, mailbox)
            }
            Err(declined) => {
                drop(asker.send(Err(declined)));
                Ok(())
            }
        }
    }

    /// While nothing can be written an order waits.
    pub(crate) fn is_carrying_out(&self) -> bool {
        self.underway.is_some() && self.trouble.is_none()
    }

    /// Goes on with the order that is under way, if any.
    pub(crate) fn carry_on(&mut self, mailbox: &Mailbox) -> Result<(), StorageError> {
        match self.underway.take_if(|_| self.trouble.is_none()) {
            Some(underway) => self.carry_out_part(underway, mailbox),
            None => Ok(()),
        }
    }

    fn carry_out_part(
        &mut self,
        mut underway: Underway,
        mailbox: &Mailbox,
    ) -> Result<(), StorageError> {
        self.apply_part(&mut underway);
        self.commit(mailbox, false)?;
        if let Some(trouble) = &self.trouble {
            underway.answer(Err(Declined::NotStored(trouble.clone())));
        }
        if underway.is_finished() {
            let done = std::mem::take(&mut underway.done);
            underway.answer(Ok(done));
        } else {
            self.underway = Some(underway);
        }
        Ok(())
    }

    /// Carries out all of an order in a process that ends with it.
    fn finish(
        &mut self,
        mut underway: Underway,
        mailbox: &Mailbox,
    ) -> Result<Result<Vec<Done>, Declined>, StorageError> {
        loop {
            let readings = underway.readings();
            self.apply_part(&mut underway);
            self.commit(mailbox, false)?;
            if self.trouble.is_some() || underway.is_finished() {
                self.commit(mailbox, true)?;
            }
            // Copies and events are one commit. What else could not be written can wait.
            if !self.copies.is_settled() {
                let trouble = self.trouble.clone().unwrap_or_default();
                return Ok(Err(Declined::Unfinished { readings, trouble }));
            }
            if underway.is_finished() {
                return Ok(Ok(underway.done));
            }
        }
    }

    /// What an order is about. Nobody would take what is replayed to a sink that is not configured.
    fn selected(&self, order: &Order) -> Result<Underway, Declined> {
        let (mut left, mut nobody) = (VecDeque::new(), None);
        for (sink, quarantine) in &self.aggregates.quarantines {
            let ranges = match order.wish {
                Wish::Replay => order.selects(sink, &quarantine.held),
                Wish::Drop => order.selects(sink, &quarantine.kept()),
            };
            if ranges.is_empty() {
                continue;
            }
            if order.wish == Wish::Replay && self.config.rules(sink).is_none() {
                nobody.get_or_insert(sink);
            } else {
                left.push_back((sink.clone(), VecDeque::from(ranges)));
            }
        }
        match nobody {
            _ if !left.is_empty() => {
                Ok(Underway { wish: order.wish, left, done: Vec::new(), asker: None })
            }
            Some(sink) => Err(Declined::NoSuchSink(sink.clone())),
            None => Err(Declined::NothingSuch),
        }
    }

    fn apply_part(&mut self, underway: &mut Underway) {
        let mut room = PART_READINGS;
        while let Some((sink, first, last)) = (room > 0).then(|| underway.next(room)).flatten() {
            room -= last - first + 1;
            let readings = match underway.wish {
                Wish::Replay => self.replay(&sink, first, last),
                Wish::Drop => self.discard_kept(&sink, first, last),
            };
            underway.count(sink, readings);
        }
    }

    fn replay(&mut self, sink: &str, first: u64, last: u64) -> u64 {
        let held = self.aggregates.quarantine(sink).held.within(first, last);
        for (first, last) in &held {
            let (first, last) = (*first, *last);
            self.record(Stream::quarantine(sink), Event::Replayed { first, last });
            self.copies.stage(Change::Mark { sink: sink.to_owned(), first, last });
        }
        count(&held)
    }

    fn discard_kept(&mut self, sink: &str, first: u64, last: u64) -> u64 {
        let quarantine = self.aggregates.quarantine(sink);
        let kept =
            [&quarantine.held, &quarantine.replayed].map(|set| set.within(first, last)).concat();
        for (first, last) in &kept {
            self.discard(sink, *first, *last, Why::Dropped);
        }
        count(&kept)
    }
}

fn count(runs: &[(u64, u64)]) -> u64 {
    runs.iter().map(|(first, last)| last - first + 1).sum()
}
