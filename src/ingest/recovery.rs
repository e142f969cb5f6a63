//! The first thing an incarnation of a port does: to take up what the one before had read and the
//! log never got.

use super::actor::{PortActor, stored};
use crate::event_log::LogClosed;
use crate::telemetry::events::{Report, TailGivenUp, TailRecovered};

/// A tail that could not be decoded to its end so often is what kills us, and is given up: a board
/// that crashes at every start is worse than a second of readings lost.
const ATTEMPTS_MAX: u32 = 3;

impl PortActor {
    /// Decodes what a predecessor read and the log does not have, as if it had just been read. Says
    /// whether it came to the end; if not, what is left stays in the tail for the next one.
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
        // Frames that wait for their description are in the log's account with their bytes alone.
        self.outbox.partial = self.decoder.partial();
        let before = self.accepted();
        for piece in replay.pieces().iter().filter(|piece| piece.pending) {
            if !self.room().await? {
                return Ok(false);
            }
            piece.feed(&mut self.decoder, &mut self.outbox);
            self.position += piece.len();
        }
        // Opening a tty throws away what waits in it, so nothing goes on where this ended.
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
        // What comes next is recorded in a file of its own: it says that this one was decoded.
        let now = ingest.clock.since_boot_ms();
        self.tail.turn(self.position, now, &self.decoder, || stored(ingest));
    }

    /// Waits until the outbox takes another read; says whether to go on.
    async fn room(&mut self) -> Result<bool, LogClosed> {
        let appender = self.ingest.appender.clone();
        while self.outbox.is_full() {
            // All arms are cancel-safe: a permit that was not used is given back.
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
