//! Recovers from the tail what a killed or crashed predecessor had read and the log has not stored. It is
//! the first step of every run of a port. `tail/replay.rs` finds out which bytes these are.

use super::actor::{PortActor, stored};
use crate::event_log::LogClosed;
use crate::telemetry::events::{Report, TailGivenUp, TailRecovered};

/// How often the decoding of a tail may fail to end before the tail is given up. Such a tail is probably
/// the cause of the crashes, and a board that crashes at every start is worse than a second of lost
/// readings.
const ATTEMPTS_MAX: u32 = 3;

impl PortActor {
    /// Decodes the bytes that the log has not stored, as if they had just been read. Returns false if a
    /// stop came before the end; then the rest stays in the tail for the next run.
    pub(crate) async fn take_up_tail(&mut self) -> Result<bool, LogClosed> {
        let Some(replay) = self.tail.leftover(self.position) else {
            self.tail.clear();
            return Ok(true);
        };
        if replay.attempts() >= ATTEMPTS_MAX {
            let (port, bytes) = (&self.ingest.config.name, replay.pending_bytes());
            TailGivenUp { port, bytes, attempts: replay.attempts() }.report();
            self.tail.clear();
            return Ok(true);
        }
        self.tail.adopt(&replay, self.ingest.clock.since_boot_ms());
        replay.teach(&mut self.decoder);
        // The log's account includes the bytes of frames that wait for their description, but not yet the
        // frames.
        self.outbox.partial = self.decoder.partial();
        let before = self.accepted();
        for piece in replay.pieces().iter().filter(|piece| piece.pending) {
            if !self.room().await? {
                return Ok(false);
            }
            piece.feed(&mut self.decoder, &mut self.outbox);
            self.position += piece.len();
        }
        // Opening a tty discards what is waiting in it, so the next read does not continue this one.
        self.interrupted();
        self.taken_up(replay.pending_bytes(), self.accepted() - before);
        Ok(true)
    }

    fn taken_up(&mut self, bytes: u64, readings: u64) {
        let ingest = &self.ingest;
        if bytes > 0 {
            TailRecovered { port: &ingest.config.name, readings, bytes }.report();
        }
        ingest.status.send_modify(|status| status.recovered += readings);
        // Start a new file for the next reads. It shows that this tail has been decoded.
        let now = ingest.clock.since_boot_ms();
        self.tail.turn(self.position, now, &self.decoder, || stored(ingest));
    }

    /// Waits until the outbox has room for another read. Returns false if a stop was requested.
    async fn room(&mut self) -> Result<bool, LogClosed> {
        let appender = self.ingest.appender.clone();
        while self.outbox.is_full() {
            // All arms are cancel-safe: an unused permit is given back.
            tokio::select! {
                () = self.ingest.stop.requested() => return Ok(false),
                () = self.ingest.heartbeat.answer() => self.publish_unless_recent(),
                permit = appender.permit() => self.send(permit?),
            }
        }
        Ok(!self.ingest.stop.is_requested())
    }

    fn accepted(&self) -> u64 {
        self.ingest.status.borrow().intake.accepted + self.outbox.intake.accepted
    }
}
