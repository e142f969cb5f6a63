//! The upload loop of one sink: wait until something is pending, wait until the stack is ready, pull a
//! batch, deliver it.
//!
//! This file decides what is sent next and when. `delivery.rs` decides what happens to a batch afterwards.

use std::convert::Infallible;
use std::time::Duration;

use outstation_codec::Batch;
use tokio::sync::watch;
use tokio::time::sleep;
use tower::{Service, ServiceExt};

use super::meter::BudgetMeter;
use crate::clock::Clock;
use crate::config::Pace;
use crate::domain::policy::batch_size::{BatchSize, Limits};
use crate::domain::policy::budget::Spent;
use crate::domain::policy::isolation;
use crate::domain::policy::lanes::{ALARMS, Schedule};
use crate::event_log::{Appender, Ask, LogClosed, LogStatus, Progress, Reader};
use crate::supervisor::Stop;
use crate::supervisor::heartbeat::Heartbeat;
use crate::upload::leftovers::Leftovers;
use crate::upload::{Offer, Receipt, SinkRefusal, SinkStatus, Wire};

/// The arguments of one run of the upload actor.
#[derive(Debug)]
pub struct Upload<S> {
    pub sink: String,
    pub stack: S,
    pub reader: Reader,
    pub appender: Appender,
    /// The most that one batch may hold.
    pub limits: Limits,
    pub pace: Pace,
    pub wire: Wire,
    pub clock: Clock,
    pub status: watch::Sender<SinkStatus>,
    pub stop: Stop,
    pub heartbeat: Heartbeat,
}

/// Runs until a stop is requested, or until the log has closed because the process is ending.
pub async fn run<S>(mut upload: Upload<S>) -> Result<(), Infallible>
where
    S: Service<Offer, Response = Receipt, Error = SinkRefusal>,
{
    let Some(spent) = spent_before(&mut upload).await else { return Ok(()) };
    let meter = BudgetMeter::new(
        &upload.pace,
        spent,
        (&upload.sink, &upload.clock, &upload.wire),
        (&upload.appender, &upload.status),
    );
    let breaker_noted = upload.status.borrow().breaker.name();
    let actor = UploadActor {
        log: upload.reader.status(),
        breaker_noted,
        schedule: Schedule::new(upload.pace.lanes()),
        size: BatchSize::new(upload.limits),
        leftovers: Leftovers::default(),
        meter,
        held: None,
        upload,
    };
    match actor.run().await {
        Ok(()) | Err(LogClosed) => Ok(()),
    }
}

/// What the log has recorded as spent of the budget. `None` if a stop or the end of the log comes first.
async fn spent_before<S>(upload: &mut Upload<S>) -> Option<Option<Spent>> {
    if upload.pace.budget.is_none() {
        return Some(None);
    }
    let recalled = upload.reader.recall();
    tokio::pin!(recalled);
    loop {
        // All arms are cancel-safe: the question is pinned outside the loop and survives it.
        tokio::select! {
            recalled = &mut recalled => return recalled.ok().map(|recalled| recalled.budget),
            () = upload.stop.requested() => return None,
            () = upload.heartbeat.answer() => {}
        }
    }
}

pub(crate) struct UploadActor<S> {
    pub(crate) upload: Upload<S>,
    pub(crate) log: watch::Receiver<LogStatus>,
    pub(crate) breaker_noted: &'static str,
    pub(crate) schedule: Schedule,
    pub(crate) size: BatchSize,
    pub(crate) leftovers: Leftovers,
    pub(crate) meter: BudgetMeter,
    /// For how long only alarms may be sent; `None` while all lanes may.
    pub(crate) held: Option<Duration>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    Done,
    Stopped,
}

impl<S> UploadActor<S>
where
    S: Service<Offer, Response = Receipt, Error = SinkRefusal>,
{
    async fn run(mut self) -> Result<(), LogClosed> {
        while let Woken::Done = self.wait_for_pending().await? {
            // The stack comes first and the batch second: while the breaker is open nothing is read or
            // encoded.
            if let Woken::Stopped = self.leave().await {
                break;
            }
            let woken = match self.next().await? {
                Some(batch) => self.deliver(batch).await?,
                // What is pending may not be sent now, or it cannot be read.
                None => self.wait_for_change().await?,
            };
            if let Woken::Stopped = woken {
                break;
            }
        }
        self.meter.save();
        Ok(())
    }

    /// Waits until the log holds something for this sink that may be sent.
    async fn wait_for_pending(&mut self) -> Result<Woken, LogClosed> {
        loop {
            let progress = self.log.borrow_and_update().sinks.get(&self.upload.sink).copied();
            let may_leave = |progress: Progress| match self.held {
                Some(_) => progress.pending_lanes.alarm,
                None => progress.has_pending(),
            };
            if progress.is_some_and(may_leave) {
                return Ok(Woken::Done);
            }
            self.leftovers.clear();
            if let Woken::Stopped = self.wait_for_change().await? {
                return Ok(Woken::Stopped);
            }
        }
    }

    /// Waits until there may be something to do: the log has changed, the restriction to alarms has ended,
    /// or a heartbeat is answered, after which it does no harm to look again.
    async fn wait_for_change(&mut self) -> Result<Woken, LogClosed> {
        let released = async {
            match self.held {
                Some(left) => sleep(left).await,
                None => std::future::pending().await,
            }
        };
        // All arms are cancel-safe.
        let woken = tokio::select! {
            changed = self.log.changed() => changed.map(|()| Woken::Done).map_err(|_| LogClosed)?,
            () = self.upload.stop.requested() => Woken::Stopped,
            () = self.upload.heartbeat.answer() => Woken::Done,
            () = released => Woken::Done,
        };
        self.held = self.meter.held();
        Ok(woken)
    }

    /// Waits until the stack is ready. Readiness that is not used stays with the stack.
    async fn leave(&mut self) -> Woken {
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                ready = self.upload.stack.ready() => {
                    // A stack that fails to become ready gives its reason when it is called.
                    drop(ready);
                    return Woken::Done;
                }
                () = self.upload.stop.requested() => return Woken::Stopped,
                // An open breaker may keep the loop here for long; the budget goes on meanwhile.
                () = self.upload.heartbeat.answer() => self.held = self.meter.held(),
            }
        }
    }

    /// Chooses the next batch, no larger than one request should be. `None` if nothing can be sent now.
    async fn next(&mut self) -> Result<Option<Batch>, LogClosed> {
        self.held = self.meter.held();
        let lanes = if self.held.is_some() { ALARMS } else { self.schedule.lanes() };
        self.leftovers.retain(lanes);
        let (may_overtake, own) = self.leftovers.next(lanes);
        let asked = match own {
            Some(_) if !self.schedule.overtakes() => &[],
            _ => &lanes[..may_overtake],
        };
        let limits = self.size.limits();
        let mut found = None;
        if !asked.is_empty() {
            found = self.upload.reader.next(Ask { lanes: asked, limits }).await?;
            self.schedule.found(asked, found.as_ref().map(|batch| batch.lane));
        }
        let found = found.and_then(|batch| self.without_leftover_events(batch));
        let batch = found.or_else(|| self.leftovers.pop(own?));
        Ok(batch.map(|batch| self.fitting(batch, limits)))
    }

    /// Removes events that the leftovers hold already. `None` if nothing remains.
    fn without_leftover_events(&self, mut batch: Batch) -> Option<Batch> {
        if self.leftovers.has_events() {
            batch.events.clear();
        }
        (!batch.segments.is_empty() || !batch.events.is_empty()).then_some(batch)
    }

    /// Cuts a batch to `limits` and keeps the rest as leftovers. The log does not divide readings that were
    /// committed together, but a slow link or a small server may require it.
    fn fitting(&mut self, batch: Batch, limits: Limits) -> Batch {
        let (readings, bytes) = (batch.readings(), body_bytes(&batch));
        let of_bytes = |readings: u64| {
            let share = u128::from(readings) * limits.bytes_max as u128 / bytes.max(1) as u128;
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        let fit = if bytes > limits.bytes_max { of_bytes(readings) } else { readings };
        let (first, rest) = isolation::take(batch, fit.min(limits.readings_max));
        if let Some(rest) = rest {
            self.leftovers.push(rest);
        }
        first
    }
}

pub(crate) fn body_bytes(batch: &Batch) -> usize {
    batch.segments.iter().map(|segment| segment.body.len()).sum()
}

#[cfg(test)]
mod tests;
