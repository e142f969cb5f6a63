//! Times that the server has moved past.
//!
//! After a long outage a server without `out_of_order_time_window` refuses a backlog of hours. To have
//! each reading of it refused would take hours more, so what one refusal teaches is remembered.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::probe::{GuardSample, Probe};
use super::samples::Samples;
use crate::upload::{Reason, SinkRefusal};

/// What a server found to be past may be welcome later: it may have been set up anew.
const AGE_MAX: Duration = Duration::from_secs(60);
/// To ask about more series costs more than it saves.
const SERIES_MAX: usize = 64;

/// The newest time that one server was found to refuse, whatever the series. Its newest samples
/// define it, so it only moves forward.
#[derive(Debug, Default)]
pub(super) struct Horizon(Mutex<Option<Known>>);

#[derive(Clone, Debug)]
struct Known {
    until_ms: i64,
    learned: Instant,
    reason: Reason,
}

/// What is known about some samples without asking.
#[derive(Debug)]
pub(super) struct Past {
    /// Or only some.
    pub(super) all: bool,
    pub(super) reason: Reason,
}

impl Horizon {
    /// Whether some of these would be refused.
    pub(super) fn about(&self, samples: &Samples) -> Option<Past> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = known.filter(|known| known.learned.elapsed() < AGE_MAX)?;
        let is_past = |time: i64| time <= known.until_ms;
        let all = samples.times().all(is_past);
        samples.times().any(is_past).then_some(Past { all, reason: known.reason })
    }

    /// Finds out which of these times are out of bounds, with the series of our own that `labels`
    /// name; says whether all are. What is later than `now_ms` may be out of bounds for being that.
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
        // A backlog is past as a whole, so the newest first.
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

/// Whether each of these samples is refused, as the newest of its series.
pub(super) async fn is_all_refused(
    probe: Probe<'_>,
    samples: &Samples,
    guard: &GuardSample,
) -> Result<bool, SinkRefusal> {
    if samples.sampled == 1 {
        // What was refused is this one.
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

/// The same where samples out of order are welcome for a while: there, those of 1970 are too old, too,
/// and a guard of another kind tells them apart.
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
