//! The circuit breaker: it decides when to leave a failing endpoint alone, and when to probe it again.
//!
//! ```text
//!            failures in a row, or half of the recent requests, or one unambiguous failure
//!   Closed ───────────────────────────▶ Open ◀───────────────┐
//!     ▲                                  │ the wait is over   │ the probe failed
//!     │ the probe succeeded              ▼                    │
//!     └────────────────────────────── HalfOpen ───────────────┘
//! ```
//!
//! Closed lets traffic flow, Open refuses it, HalfOpen lets one probe through. A probe that is dropped
//! before its answer makes way for another one. Time and randomness are arguments.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::outcomes::Outcomes;

/// Why a request failed, as far as the breaker cares. Causes are stored, so new ones go at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// There was no answer: the name did not resolve, the connection failed or was reset, or the time was
    /// up.
    LinkDown,
    /// The server answers, and asks for a pause or is in trouble: 429, 503. `transport/http_answer.rs` maps
    /// each status to a cause.
    ServerBusy,
    /// The server answers, and will refuse until a person changes something: 401, 403, TLS.
    Misconfigured,
}

impl Cause {
    pub const ALL: [Self; 3] = [Self::LinkDown, Self::ServerBusy, Self::Misconfigured];

    pub fn name(self) -> &'static str {
        match self {
            Self::LinkDown => "link_down",
            Self::ServerBusy => "server_busy",
            Self::Misconfigured => "misconfigured",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How many failures in a row open the breaker.
    pub failures_max: u32,
    /// How many outcomes within the window are enough to open the breaker when half of them are failures.
    pub outcomes_min: u32,
    /// The wait between a failure and the next request while the breaker is closed.
    pub rest: Backoff,
    /// The waits between probes, and how many of them there are before `long` takes over.
    pub short: Backoff,
    pub short_waits: u32,
    pub long: Backoff,
    /// The waits after a misconfiguration, on top of a minimum, because it does not heal by itself.
    pub misconfigured: Backoff,
    pub misconfigured_wait_min: Duration,
    /// The longest `Retry-After` of a server that is obeyed.
    pub retry_after_max: Duration,
    /// The longest wait of a process that cannot know how much of its predecessor's wait is left.
    pub resume_max: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Three in a row: on a radio link that loses one request in ten, that is once in a
            // thousand by chance, and a dead server is noticed after two seconds.
            failures_max: 3,
            // A balancer with one dead server of two behind it seldom fails three times in a row.
            // Half of ten or more is beyond chance: with one loss in ten, once in 600 windows.
            // Ten, because a device that sends every ten seconds makes twelve in the window.
            outcomes_min: 10,
            rest: Backoff {
                first: Duration::from_millis(500),
                factor: 2.0,
                max: Duration::from_secs(2),
            },
            // After an outage of up to a minute, such as a restart of the server or a modem that dials
            // anew, the first probe comes within six seconds of its end. These waits cost 36 probes in
            // about 95 s.
            short: Backoff {
                first: Duration::from_secs(1),
                factor: 1.25,
                max: Duration::from_secs(6),
            },
            short_waits: 36,
            // Beyond that, growth by a quarter keeps the ceiling below half of the outage so far, and the
            // mean wait for the first probe after its end near a sixth of it. With a ceiling of 15 minutes
            // a day costs about 250 probes.
            long: Backoff {
                first: Duration::from_millis(7500),
                factor: 1.25,
                max: Duration::from_secs(15 * 60),
            },
            misconfigured: Backoff {
                first: Duration::from_secs(60),
                factor: 1.25,
                max: Duration::from_secs(15 * 60),
            },
            misconfigured_wait_min: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(3600),
            resume_max: Duration::from_secs(10),
        }
    }
}

impl Policy {
    /// Draws the wait before a probe; `attempt` counts the waits in a row from 0.
    fn wait(
        &self,
        attempt: u32,
        cause: Cause,
        retry_after: Option<Duration>,
        rng: &mut fastrand::Rng,
    ) -> Duration {
        let own = match cause {
            Cause::Misconfigured => {
                self.misconfigured_wait_min + self.misconfigured.wait(attempt, rng)
            }
            _ if attempt < self.short_waits => self.short.wait(attempt, rng),
            _ => self.long.wait(attempt - self.short_waits, rng),
        };
        let Some(asked) = retry_after else { return own };
        // A server in trouble tells all its clients the same time. A random share of half of it is added,
        // so that they do not come back together, and none comes before that time.
        let asked = asked.min(self.retry_after_max);
        asked + own.max((asked / 2).mul_f64(1.0 - rng.f64()))
    }

    fn wait_max(&self) -> Duration {
        let own = self.long.max.max(self.misconfigured.max + self.misconfigured_wait_min);
        self.retry_after_max + own.max(self.retry_after_max / 2)
    }
}

/// The state of the breaker. Moments are durations since any fixed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Traffic flows; there were `failures` in a row so far.
    Closed { failures: u32 },
    /// Nothing is sent before `until`; `attempt` counts the waits in a row, from 0.
    Open { until: Duration, attempt: u32, cause: Cause },
    /// One probe decides; `probing` is true while it is on its way.
    HalfOpen { probing: bool, attempt: u32, cause: Cause },
}

impl BreakerState {
    pub const NAMES: [&'static str; 3] = ["closed", "open", "half_open"];

    pub fn name(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }

    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Closed { .. } => None,
            Self::Open { cause, .. } | Self::HalfOpen { cause, .. } => Some(*cause),
        }
    }

    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// When an open breaker will let a probe through; `None` in the other states.
    pub fn until(&self) -> Option<Duration> {
        match self {
            Self::Open { until, .. } => Some(*until),
            _ => None,
        }
    }
}

/// The state of a breaker that the next process goes on from, so that a crash loop does not flood the
/// server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SavedBreaker {
    Closed,
    /// Nothing is sent before `until_ms`, in milliseconds since the boot with the id `boot`.
    Open {
        attempt: u32,
        cause: Cause,
        until_ms: i64,
        boot: String,
    },
}

/// One moment on the clock of the process and on that of the device, which outlives the process.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    pub at: Duration,
    pub since_boot_ms: i64,
    pub boot: &'a str,
}

/// The breaker's answer to a request that asks to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Send it. The caller must give the pass back by exactly one of `succeeded`, `failed` or `cancelled`.
    Send(Pass),
    /// Ask again at this moment.
    WaitUntil(Duration),
    /// A probe is on its way; ask again when it has an answer.
    WaitForProbe,
}

/// The part that a request plays for the breaker that let it through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Traffic,
    Probe,
}

#[derive(Clone, Debug)]
pub struct Breaker {
    policy: Policy,
    state: BreakerState,
    /// While the breaker is closed, no request is sent before this moment: the rest after a failure.
    rest_until: Duration,
    outcomes: Outcomes,
}

impl Breaker {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: BreakerState::Closed { failures: 0 },
            rest_until: Duration::ZERO,
            outcomes: Outcomes::default(),
        }
    }

    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Says whether a probe may be sent now.
    pub fn is_due(&self, now: Duration) -> bool {
        match self.state {
            BreakerState::Closed { .. } => false,
            BreakerState::Open { until, .. } => until <= now,
            BreakerState::HalfOpen { probing, .. } => !probing,
        }
    }

    /// Asks for permission to send one request.
    pub fn ask(&mut self, now: Duration) -> Leave {
        match self.state {
            BreakerState::Closed { .. } if now < self.rest_until => {
                Leave::WaitUntil(self.rest_until)
            }
            BreakerState::Closed { .. } => Leave::Send(Pass::Traffic),
            BreakerState::Open { until, .. } if now < until => Leave::WaitUntil(until),
            BreakerState::Open { attempt, cause, .. }
            | BreakerState::HalfOpen { probing: false, attempt, cause } => {
                self.state = BreakerState::HalfOpen { probing: true, attempt, cause };
                Leave::Send(Pass::Probe)
            }
            BreakerState::HalfOpen { probing: true, .. } => Leave::WaitForProbe,
        }
    }

    pub fn succeeded(&mut self, now: Duration, pass: Pass) {
        match (self.state, pass) {
            (BreakerState::Closed { .. }, _) => {
                self.outcomes.note(now, false);
                self.state = BreakerState::Closed { failures: 0 };
            }
            (_, Pass::Probe) => *self = Self::new(self.policy),
            // The request is from before the breaker opened; only the probe decides.
            (_, Pass::Traffic) => {}
        }
    }

    pub fn failed(
        &mut self,
        now: Duration,
        pass: Pass,
        cause: Cause,
        retry_after: Option<Duration>,
        rng: &mut fastrand::Rng,
    ) {
        let attempt = match (self.state, pass) {
            (BreakerState::Closed { failures }, _) => {
                self.outcomes.note(now, true);
                if self.tolerates(now, failures + 1, cause, retry_after) {
                    self.rest_until = now + self.policy.rest.wait(failures, rng);
                    self.state = BreakerState::Closed { failures: failures + 1 };
                    return;
                }
                0
            }
            (
                BreakerState::Open { attempt, .. } | BreakerState::HalfOpen { attempt, .. },
                Pass::Probe,
            ) => attempt.saturating_add(1),
            (_, Pass::Traffic) => return,
        };
        let until = now + self.policy.wait(attempt, cause, retry_after, rng);
        self.state = BreakerState::Open { until, attempt, cause };
    }

    /// Records that a request was dropped before its answer; its outcome is unknown.
    pub fn cancelled(&mut self, pass: Pass) {
        if let (BreakerState::HalfOpen { attempt, cause, .. }, Pass::Probe) = (self.state, pass) {
            self.state = BreakerState::HalfOpen { probing: false, attempt, cause };
        }
    }

    /// Returns the state that the next process goes on from.
    pub fn saved(&self, now: Now<'_>) -> SavedBreaker {
        let (until, attempt, cause) = match self.state {
            BreakerState::Closed { .. } => return SavedBreaker::Closed,
            BreakerState::Open { until, attempt, cause } => (until, attempt, cause),
            BreakerState::HalfOpen { attempt, cause, .. } => (now.at, attempt, cause),
        };
        let left = i64::try_from(until.saturating_sub(now.at).as_millis()).unwrap_or(i64::MAX);
        let until_ms = now.since_boot_ms.saturating_add(left);
        SavedBreaker::Open { attempt, cause, until_ms, boot: now.boot.to_owned() }
    }

    /// Makes a breaker that goes on where an earlier process stopped.
    ///
    /// Within one boot the saved moment holds. After a reboot, or once the moment has passed, a short wait
    /// replaces it: a reboot is often a person's repair, and a loop of crashes or reboots then sends at
    /// most one probe per process, and often none.
    pub fn restored(
        policy: Policy,
        saved: &SavedBreaker,
        now: Now<'_>,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let breaker = Self::new(policy);
        let SavedBreaker::Open { attempt, cause, until_ms, boot } = saved else { return breaker };
        let left_ms = until_ms.saturating_sub(now.since_boot_ms);
        let left = match u64::try_from(left_ms) {
            Ok(left @ 1..) if boot == now.boot => Duration::from_millis(left),
            _ => policy.resume_max.mul_f64(1.0 - rng.f64()),
        };
        let until = now.at + left.min(policy.wait_max());
        Self { state: BreakerState::Open { until, attempt: *attempt, cause: *cause }, ..breaker }
    }

    /// Says whether the breaker stays closed after a failure. It opens at once if the server names a time
    /// or if a person has to act, since further attempts would be useless.
    fn tolerates(
        &self,
        now: Duration,
        failures: u32,
        cause: Cause,
        retry_after: Option<Duration>,
    ) -> bool {
        failures < self.policy.failures_max
            && cause != Cause::Misconfigured
            && retry_after.is_none()
            && !self.outcomes.mostly_failed(now, self.policy.outcomes_min)
    }
}

#[cfg(test)]
mod tests;
