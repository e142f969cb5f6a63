//! Remembers which times the server does not accept any more.
//!
//! After a long outage a server without `out_of_order_time_window` refuses a backlog of hours. It would
//! take hours more to have each reading of it refused, so the result of one refusal is remembered.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::probe::{GuardSample, Probe};
use super::samples::Samples;
use crate::upload::{Reason, SinkRefusal};

/// How long the result is believed. The server may accept older times later, for example after it was set
/// up anew.
const AGE_MAX: Duration = Duration::from_secs(60);
/// The most series to ask about. More questions would cost more than they save.
const SERIES_MAX: usize = 64;

/// The newest time that one server refuses in any series. The server derives it from its newest samples, so
/// it only moves forward.
#[derive(Debug, Default)]
pub(super) struct Horizon(Mutex<Option<Known>>);

#[derive(Clone, Debug)]
struct Known {
    until_ms: i64,
    learned: Instant,
    reason: Reason,
}

/// What is known about some samples without a question to the server.
#[derive(Debug)]
pub(super) struct Past {
    /// Whether all the samples are too old, or only some.
    pub(super) all: bool,
    pub(super) reason: Reason,
}

impl Horizon {
    /// Whether some of these samples would be refused for their time. `None` if not, or if nothing is
    /// known.
    pub(super) fn about(&self, samples: &Samples) -> Option<Past> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = known.filter(|known| known.learned.elapsed() < AGE_MAX)?;
        let is_past = |time: i64| time <= known.until_ms;
        let all = samples.times().all(is_past);
        samples.times().any(is_past).then_some(Past { all, reason: known.reason })
    }

    /// Finds out which of these times are out of bounds, by samples of our own series with `labels`.
    /// Returns true if all are. Times after `now_ms` are not asked about, because they may be out of bounds
    /// for being in the future.
    pub(super) async fn learn(
        &self,
        probe: Probe<'_>,
        labels: &[u8],
        samples: &Samples,
        now_ms: i64,
        reason: &Reason,
    ) -> Result<bool, SinkRefusal> {
        let mut times: Vec<i64> = samples.times().filter(|time| *time <= now_ms).collect();
        times.sort_unstable();
        times.dedup();
        let (mut past, mut later) = (0, times.len());
        // A backlog is usually past as a whole, so the newest time is asked first.
        let mut asked = times.len().saturating_sub(1);
        while past < later {
            match probe.is_past(labels, times[asked]).await? {
                true => past = asked + 1,
                false => later = asked,
            }
            asked = (past + later) / 2;
        }
        let Some(until_ms) = past.checked_sub(1).map(|at| times[at]) else { return Ok(false) };
        let known = Known { until_ms, learned: Instant::now(), reason: reason.clone() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(samples.times().all(|time| time <= until_ms))
    }
}

/// Whether the newest sample of each series is refused.
pub(super) async fn is_all_refused(
    probe: Probe<'_>,
    samples: &Samples,
    guard: &GuardSample,
) -> Result<bool, SinkRefusal> {
    if samples.sampled == 1 {
        // This is the only sample, and it has just been refused.
        return Ok(true);
    }
    if samples.series.len() > SERIES_MAX {
        return Ok(false);
    }
    for series in &samples.series {
        let Some(newest) = series.last() else { continue };
        if !probe.refuses(&series.labels, *newest, guard).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Does the same for a server that accepts samples out of order for some time. There a sample of 1970 is
/// reported as too old as well, so another kind of guard is needed.
pub(super) async fn is_all_too_old(
    probe: Probe<'_>,
    labels: &[u8],
    samples: &Samples,
    now_ms: i64,
) -> Result<bool, SinkRefusal> {
    match probe.mark(labels, now_ms).await? {
        Some(guard) => is_all_refused(probe, samples, &guard).await,
        None => Ok(false),
    }
}
