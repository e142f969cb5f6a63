//! The loop of one sink: wait for readings or events, wait for leave, pull, send, acknowledge.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceExt};

use super::{Offer, Receipt, Refusal, SinkStatus};
use crate::clock::Clock;
use crate::domain::batch::Batch;
use crate::domain::breaker::Cause;
use crate::domain::event::{Event, Stream};
use crate::event_log::{Appender, Limits, LogClosed, LogStatus, Reader, Received};
use crate::supervisor::Stop;
use crate::supervisor::pulse::Pulse;
use crate::telemetry::events::{BatchRejected, Report};

/// A batch that the server will never take is offered again this seldom; a person may have
/// mended the server meanwhile.
const REJECTED_RETRY: Duration = Duration::from_secs(60);

/// How long a stop waits for the request under way.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Everything one incarnation needs.
#[derive(Debug)]
pub struct Upload<S> {
    pub sink: String,
    pub stack: S,
    pub reader: Reader,
    pub appender: Appender,
    pub limits: Limits,
    pub clock: Clock,
    pub status: watch::Sender<SinkStatus>,
    pub stop: Stop,
    pub pulse: Pulse,
}

/// Runs until stopped, or until the log is gone and the process is ending.
pub async fn run<S>(upload: Upload<S>) -> Result<(), Infallible>
where
    S: Service<Offer, Response = Receipt, Error = Refusal>,
{
    let log = upload.reader.status();
    let breaker_noted = upload.status.borrow().breaker.name();
    match (Actor { upload, log, breaker_noted }).run().await {
        Ok(()) | Err(LogClosed) => Ok(()),
    }
}

struct Actor<S> {
    upload: Upload<S>,
    log: watch::Receiver<LogStatus>,
    breaker_noted: &'static str,
}

/// What a sink that accepts the batch has received.
fn batch_received(batch: &Batch) -> Received {
    let readings = (!batch.segments.is_empty()).then(|| (batch.first_seq(), batch.last_seq()));
    Received { readings, events: batch.events.last().map(|event| event.position) }
}

/// What ended a wait.
enum Woken {
    Done,
    Stopped,
}

impl<S> Actor<S>
where
    S: Service<Offer, Response = Receipt, Error = Refusal>,
{
    async fn run(mut self) -> Result<(), LogClosed> {
        while let Woken::Done = self.pending().await? {
            // Leave first, batch second: while the breaker is open nothing is read or encoded.
            let Some(offer) = self.next_offer().await? else { return Ok(()) };
            let Some(batch) = offer else {
                // What is pending cannot be read now; the log says when that may have changed.
                if let Woken::Stopped = self.changed().await? {
                    return Ok(());
                }
                continue;
            };
            if let Woken::Stopped = self.deliver(batch).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits until the log holds something for this sink.
    async fn pending(&mut self) -> Result<Woken, LogClosed> {
        loop {
            let progress = self.log.borrow_and_update().sinks.get(&self.upload.sink).copied();
            if progress.is_some_and(|progress| progress.is_owed()) {
                return Ok(Woken::Done);
            }
            // All arms are cancel-safe.
            tokio::select! {
                changed = self.log.changed() => changed.map_err(|_| LogClosed)?,
                () = self.upload.stop.requested() => return Ok(Woken::Stopped),
                () = self.upload.pulse.called() => {}
            }
        }
    }

    /// Waits until the log has something new to say.
    async fn changed(&mut self) -> Result<Woken, LogClosed> {
        // All arms are cancel-safe; a round is a reason to look again, too.
        tokio::select! {
            changed = self.log.changed() => changed.map(|()| Woken::Done).map_err(|_| LogClosed),
            () = self.upload.stop.requested() => Ok(Woken::Stopped),
            () = self.upload.pulse.called() => Ok(Woken::Done),
        }
    }

    /// Waits for leave to send, then pulls; the outer none means stopped, the inner nothing there.
    async fn next_offer(&mut self) -> Result<Option<Option<Batch>>, LogClosed> {
        loop {
            // All arms are cancel-safe: leave that is not used stays with the stack.
            tokio::select! {
                ready = self.upload.stack.ready() => {
                    // A stack that fails to become ready says why when it is called.
                    drop(ready);
                    break;
                }
                () = self.upload.stop.requested() => return Ok(None),
                () = self.upload.pulse.called() => {}
            }
        }
        self.upload.reader.next(self.upload.limits).await.map(Some)
    }

    async fn deliver(&mut self, batch: Batch) -> Result<Woken, LogClosed> {
        let (received, readings) = (batch_received(&batch), batch.readings());
        let call = self.upload.stack.call(Offer(Arc::new(batch)));
        tokio::pin!(call);
        let result = loop {
            // All arms are cancel-safe: the call lives on outside the loop.
            tokio::select! {
                result = &mut call => break result,
                () = self.upload.stop.requested() => {
                    // A request under way may still end well. Dropping it is safe: nothing was
                    // acknowledged, and its breaker gives the probe's place back.
                    match timeout(STOP_GRACE, &mut call).await {
                        Ok(result) => break result,
                        Err(_) => return Ok(Woken::Stopped),
                    }
                }
                () = self.upload.pulse.called() => {}
            }
        };
        self.note_breaker();
        match result {
            Ok(receipt) => self.accepted(received, readings, receipt).await,
            Err(Refusal::Rejected { detail }) => self.rejected(received, detail).await,
            // The breaker has heard of it; the readings are still pending.
            Err(Refusal::Retry { .. }) => Ok(Woken::Done),
        }
    }

    async fn accepted(
        &mut self,
        received: Received,
        readings: u64,
        receipt: Receipt,
    ) -> Result<Woken, LogClosed> {
        self.upload.reader.acknowledge(received).await?;
        let now = self.upload.clock.since_boot_ms();
        self.upload.status.send_modify(|status| {
            status.batches += 1;
            status.readings += readings;
            status.bytes += receipt.bytes;
            status.last_delivery_ms = Some(now);
        });
        Ok(Woken::Done)
    }

    async fn rejected(&mut self, offered: Received, detail: String) -> Result<Woken, LogClosed> {
        let Received { readings, events } = offered;
        let (sink, detail) = (self.upload.sink.as_str(), detail.as_str());
        BatchRejected { sink, readings, last_event: events, detail }.report();
        let wait = sleep(REJECTED_RETRY);
        tokio::pin!(wait);
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                () = &mut wait => return Ok(Woken::Done),
                () = self.upload.stop.requested() => return Ok(Woken::Stopped),
                () = self.upload.pulse.called() => {}
            }
        }
    }

    /// Where the breaker stands is a fact for the log when it changed.
    fn note_breaker(&mut self) {
        let state = self.upload.status.borrow().breaker;
        if state.name() == self.breaker_noted {
            return;
        }
        self.breaker_noted = state.name();
        let cause = state.cause().map_or("", Cause::name).to_owned();
        let event = Event::BreakerMoved { to: state.name().to_owned(), cause };
        self.upload.appender.note(Stream::sink(&self.upload.sink), event);
    }
}
