//! What happens to a batch: it is acknowledged, divided until the refused reading stands alone, or left
//! pending in the log. `actor.rs` decides which batch is next.

use std::sync::Arc;
use std::time::Duration;

use outstation_codec::{Batch, EventRecord, Lane, PublishedEvent, StoredSegment};
use tokio::time::{Instant, timeout};
use tower::Service;

use super::actor::{UploadActor, Woken, body_bytes};
use crate::domain::model::event::Stream;
use crate::domain::model::refusal_reason::RefusalReason;
use crate::domain::policy::batch_size::Limits;
use crate::domain::policy::breaker::Cause;
use crate::domain::policy::isolation::{self, Divided};
use crate::event_log::{Acknowledgement, LogClosed, Refused};
use crate::telemetry::events::{EventRefused, Report};
use crate::upload::{Offer, Reason, Receipt, Rejection, SinkRefusal};

/// How long a stop waits for the request under way.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// The result of an offer.
struct Answer {
    result: Result<Receipt, SinkRefusal>,
    /// How long the offer took; `None` if it took more than one request.
    took: Option<Duration>,
}

impl<S> UploadActor<S>
where
    S: Service<Offer, Response = Receipt, Error = SinkRefusal>,
{
    pub(crate) async fn deliver(&mut self, batch: Batch) -> Result<Woken, LogClosed> {
        let sent = Limits { readings_max: batch.readings(), bytes_max: body_bytes(&batch) };
        let batch = Arc::new(batch);
        let Some(answer) = self.offer(Offer(Arc::clone(&batch))).await else {
            return Ok(Woken::Stopped);
        };
        self.note_breaker();
        match answer.result {
            Ok(receipt) => {
                // A batch of events alone gives no measure for batches of readings.
                if sent.readings_max > 0 {
                    self.size.accepted(sent, answer.took);
                }
                self.accepted(&batch, receipt).await?;
            }
            Err(SinkRefusal::Rejected { what, reason }) => {
                // If the batch has events, they may be the reason; dividing it shows that.
                if what == Rejection::TooLarge && batch.events.is_empty() {
                    self.size.too_large(sent);
                }
                let batch = Arc::unwrap_or_clone(batch);
                if what == Rejection::Time {
                    self.outdated(batch, &reason).await?;
                } else {
                    self.rejected(batch, &reason).await?;
                }
            }
            // The breaker has counted the failure. By the next attempt the log knows better than the
            // leftovers what is pending.
            Err(SinkRefusal::Retry { cause, .. }) => {
                if sent.readings_max > 0 {
                    self.size.failed(sent, cause == Cause::LinkDown);
                }
                self.leftovers.clear();
            }
        }
        Ok(Woken::Done)
    }

    /// Sends one offer through the stack. `None` if a stop came first.
    async fn offer(&mut self, offer: Offer) -> Option<Answer> {
        let requests = self.upload.status.borrow().requests;
        let (began, counted) = (Instant::now(), self.upload.wire.total());
        let call = self.upload.stack.call(offer);
        tokio::pin!(call);
        let result = loop {
            // All arms are cancel-safe: the call is pinned outside the loop and survives it.
            tokio::select! {
                result = &mut call => break result,
                () = self.upload.stop.requested() => {
                    // A request under way may still succeed. Dropping it is safe: nothing has been
                    // acknowledged, and the breaker gets its permission back.
                    break timeout(STOP_GRACE, &mut call).await.ok()?;
                }
                () = self.upload.heartbeat.answer() => {}
            }
        };
        // Waits between attempts are no measure of the link.
        let once = self.upload.status.borrow().requests <= requests + 1;
        // The time in which these bytes are paid back delays the next request too, so it counts: otherwise
        // an alarm would wait behind a batch that is too large.
        let bytes = self.upload.wire.total().saturating_sub(counted);
        let paid = self.upload.pace.max_rate.map_or(0.0, |rate| bytes as f64 / rate as f64);
        let took = began.elapsed().max(Duration::from_secs_f64(paid));
        Some(Answer { result, took: once.then_some(took) })
    }

    async fn accepted(&mut self, batch: &Batch, receipt: Receipt) -> Result<(), LogClosed> {
        self.upload.reader.acknowledge(Acknowledgement::of(batch)).await?;
        let readings = batch.readings();
        self.schedule.sent(batch.lane, readings);
        let now = self.upload.clock.since_boot_ms();
        self.upload.status.send_modify(|status| {
            status.batches += 1;
            status.readings += readings;
            status.bytes += receipt.bytes;
            status.last_delivery_ms = Some(now);
        });
        Ok(())
    }

    async fn rejected(&mut self, batch: Batch, reason: &Reason) -> Result<(), LogClosed> {
        let lane = batch.lane;
        match isolation::divide(batch) {
            Divided::Halves(left, right) => {
                self.leftovers.push(right);
                self.leftovers.push(left);
                Ok(())
            }
            Divided::Readings(segment) => self.quarantine(lane, segment, reason).await,
            Divided::Event(event) => self.give_up(&event, reason).await,
            Divided::Nothing => Ok(()),
        }
    }

    /// Quarantines a batch whose readings are all refused for their time. Dividing it would only repeat the
    /// question.
    async fn outdated(&mut self, batch: Batch, reason: &Reason) -> Result<(), LogClosed> {
        for segment in batch.segments {
            self.quarantine(batch.lane, segment, reason).await?;
        }
        for event in &batch.events {
            self.give_up(event, reason).await?;
        }
        Ok(())
    }

    async fn quarantine(
        &mut self,
        lane: Lane,
        segment: StoredSegment,
        reason: &Reason,
    ) -> Result<(), LogClosed> {
        self.schedule.sent(lane, u64::from(segment.count));
        let reason = RefusalReason::from(reason.to_string());
        self.upload.reader.quarantine(Refused { segment, reason }).await
    }

    /// Gives up an event that the server refuses: the history must not hold up the readings.
    async fn give_up(&mut self, event: &EventRecord, reason: &Reason) -> Result<(), LogClosed> {
        let (sink, kind) = (self.upload.sink.as_str(), event.event.kind());
        let detail = reason.to_string();
        EventRefused { sink, event: kind, position: event.position, detail: &detail }.report();
        self.upload.status.send_modify(|status| status.events_refused += 1);
        let received = Acknowledgement { readings: Vec::new(), events: Some(event.position) };
        self.upload.reader.acknowledge(received).await
    }

    /// Notes in the log that the breaker has changed its state.
    fn note_breaker(&mut self) {
        let state = self.upload.status.borrow().breaker;
        if state.name() == self.breaker_noted {
            return;
        }
        self.breaker_noted = state.name();
        let cause = state.cause().map_or("", Cause::name).to_owned();
        let event = PublishedEvent::BreakerMoved { to: state.name().to_owned(), cause };
        self.upload.appender.note(Stream::sink(&self.upload.sink), event);
    }
}
