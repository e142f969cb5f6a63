//! Distinguishes readings that the server has, but did not acknowledge, from readings that it will never
//! accept. It answers "out of order" to both.
//!
//! A reading counts as delivered only if that is proven:
//!
//! - For a request of this process the proof is that its newest samples are the newest at the server: a
//!   request is stored completely or not at all.
//! - An earlier process sent a first part of the readings that this process found in the log, because it
//!   sent them in the same order. A binary search finds where that part ends, and the same proof applies to
//!   its end; after that no more questions are needed. If the whole offer is behind the server's newest
//!   samples, the end lies beyond it. Then the proof must be that these newest samples are older than this
//!   process. A clock that was set back, the usual reason for samples out of order, shows newer ones.

use super::in_doubt::{SharedInDoubt, Witness, witnesses};
use super::probe::Probe;
use super::samples::{Point, Samples, Series};
use crate::clock::Clock;
use crate::transport::http_client::HttpClient;
use crate::upload::SinkRefusal;

#[derive(Debug)]
pub(super) struct RepeatCheck {
    pub(super) in_doubt: SharedInDoubt,
    /// Whether batches come in stored order.
    pub(super) in_order: bool,
    pub(super) clock: Clock,
}

impl RepeatCheck {
    /// Whether the server has some of these readings. If so, they are noted in `in_doubt`.
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
        // The server may have refused these readings, and its newest samples are no evidence of that.
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
        // Not earlier: an attempt that is dropped during its questions has found out nothing.
        if ends_here {
            self.in_doubt.note_predecessor_known();
        }
        Ok(proven)
    }

    /// How many of these readings the earlier process has sent, if it has sent any.
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
        // The clock may have been set since the start, so the start is computed from the process's age.
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
