//! Tells readings that the server has, because they were sent when nobody answered, from those that it
//! will never take. It says "out of order" of both.
//!
//! Nothing is taken for delivered that is not proven:
//!
//! - What this process sent is proven by the newest samples of that request, which are the newest
//!   that the server has: a request is stored wholly or not at all.
//! - An earlier process sent a first part of what this one found in the log, since it went by the same
//!   order; how far, a search finds out. Its end is proven in the same way, and once it is known the
//!   question is answered. While all of an offer is behind the server's newest samples, the end
//!   lies beyond, and it has to do that these are older than this process: a clock that was set
//!   back, the usual reason for times out of order, shows newer ones.

use super::in_doubt::{SharedInDoubt, Witness, witnesses};
use super::probe::Probe;
use super::samples::{Point, Samples, Series};
use crate::clock::Clock;
use crate::transport::http_client::HttpClient;
use crate::upload::SinkRefusal;

#[derive(Debug)]
pub(super) struct RepeatCheck {
    pub(super) in_doubt: SharedInDoubt,
    /// Whether batches come as they were stored.
    pub(super) in_order: bool,
    pub(super) clock: Clock,
}

impl RepeatCheck {
    /// Whether some of these are found at the server; they are noted in `in_doubt` then.
    pub(super) async fn are_among(
        &self,
        client: &HttpClient,
        samples: &Samples,
    ) -> Result<bool, SinkRefusal> {
        let probe = Probe { client };
        for request in self.in_doubt.about(&samples.readings) {
            let stored = are_newest(probe, &request.witnesses).await?;
            if stored {
                self.in_doubt.found(&request.readings);
            }
            self.in_doubt.forget(&request.readings);
            if stored {
                return Ok(true);
            }
        }
        let possible = self.in_order && !self.in_doubt.is_predecessor_known();
        Ok(possible && self.are_of_an_earlier_process(probe, samples).await?)
    }

    async fn are_of_an_earlier_process(
        &self,
        probe: Probe<'_>,
        samples: &Samples,
    ) -> Result<bool, SinkRefusal> {
        // Those it may have had refused: the server's newest samples say nothing of them.
        self.in_doubt.distrust(&samples.going_back());
        let mut trusted = self.in_doubt.trusted(&samples.readings);
        let mut readings = samples.by_reading();
        readings.retain(|(_, point)| trusted.contains(point.seq));
        let sent = self.sent_by_an_earlier_process(probe, &readings).await?;
        let ends_here = sent < readings.len();
        let Some((_, last)) = sent.checked_sub(1).map(|at| readings[at]) else {
            if ends_here {
                self.in_doubt.note_predecessor_known();
            }
            return Ok(false);
        };
        let witnesses = witnesses(samples, last.seq);
        let proven = match ends_here {
            true => are_newest(probe, &witnesses).await?,
            false => self.are_passed_before_the_start(probe, &witnesses).await?,
        };
        if proven {
            trusted.remove(last.seq + 1, u64::MAX);
            self.in_doubt.found(&trusted);
        }
        // Not sooner: an attempt that is dropped while it asks has found out nothing.
        if ends_here {
            self.in_doubt.note_predecessor_known();
        }
        Ok(proven)
    }

    /// How many of these it sent, if it sent any.
    async fn sent_by_an_earlier_process(
        &self,
        probe: Probe<'_>,
        readings: &[(&Series, &Point)],
    ) -> Result<usize, SinkRefusal> {
        let head = self.in_doubt.head_found();
        let found = readings.partition_point(|(_, point)| point.seq <= head);
        let (mut sent, mut unsent) = (0, found);
        while sent < unsent {
            let middle = (sent + unsent) / 2;
            let (series, point) = readings[middle];
            match probe.has_reached(&series.labels, point).await? {
                true => sent = middle + 1,
                false => unsent = middle,
            }
        }
        Ok(sent)
    }

    async fn are_passed_before_the_start(
        &self,
        probe: Probe<'_>,
        witnesses: &[Witness],
    ) -> Result<bool, SinkRefusal> {
        // The clock may have been set since.
        let age_ms = i64::try_from(self.clock.now().as_millis()).unwrap_or(i64::MAX);
        let started_ms = self.clock.wall_ms().saturating_sub(age_ms);
        for Witness { labels, newest } in witnesses {
            let started = Point { time_ms: started_ms, ..*newest };
            if !probe.has_reached(labels, newest).await?
                || probe.has_reached(labels, &started).await?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

async fn are_newest(probe: Probe<'_>, witnesses: &[Witness]) -> Result<bool, SinkRefusal> {
    for witness in witnesses {
        if !probe.is_newest(witness).await? {
            return Ok(false);
        }
    }
    Ok(!witnesses.is_empty())
}
