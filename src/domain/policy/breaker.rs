//! The circuit breaker: when to leave a failing endpoint alone, and when to ask again.
//!
//! ```text
//!            failures in a row, or half of the recent requests, or one that is plain
//!   Closed ───────────────────────────▶ Open ◀───────────────┐
//!     ▲                                  │ the wait is over   │ the probe failed
//!     │ the probe succeeded              ▼                    │
//!     └────────────────────────────── HalfOpen ───────────────┘
//! ```
//!
//! Closed lets traffic flow, Open refuses it, HalfOpen lets one probe through. A probe that is
//! dropped unanswered gives its place back. Pure: time and randomness are arguments.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::outcomes::Outcomes;

/// Why a request did not succeed, as far as the breaker cares. Stored: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// No answer: resolve, connect, reset, timeout.
    LinkDown,
    /// The server answers, and asks us to slow down or is in trouble: 429, 503. Which status means what says
    /// `transport/http_answer.rs`.
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
    /// Failures in a row that open the breaker.
    pub failures_max: u32,
    /// So many outcomes within the window are enough to open it when half of them are failures.
    pub outcomes_min: u32,
    /// Between a failure and the next request while closed.
    pub rest: Backoff,
    /// Waits between probes, and how many of them there are before `long` takes over.
    pub short: Backoff,
    pub short_waits: u32,
    pub long: Backoff,
    /// On top of a minimum: a misconfiguration does not heal by itself.
    pub misconfigured: Backoff,
    pub misconfigured_wait_min: Duration,
    /// The longest a server may send us away for.
    pub retry_after_max: Duration,
    /// The longest wait of a process that cannot know how much of its predecessor's is left.
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
            // An outage of up to a minute is over within six seconds of its end: a restart of the
            // server, a modem that dials anew. These waits cost 36 probes in about 95 s.
            short: Backoff {
                first: Duration::from_secs(1),
                factor: 1.25,
                max: Duration::from_secs(6),
            },
            short_waits: 36,
            // Beyond that growing by a quarter keeps the ceiling below half of the outage so far,
            // and the mean wait for the first probe after its end near a sixth of it. At 15 minutes
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
    /// How long an endpoint is left alone for the `attempt`-th time in a row.
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
        // A server in trouble names the same time to everybody. Half as much again, drawn, keeps
        // them from coming back together; and never before it.
        let asked = asked.min(self.retry_after_max);
        asked + own.max((asked / 2).mul_f64(1.0 - rng.f64()))
    }

    fn wait_max(&self) -> Duration {
        let own = self.long.max.max(self.misconfigured.max + self.misconfigured_wait_min);
        self.retry_after_max + own.max(self.retry_after_max / 2)
    }
}

/// Moments are durations since any fixed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Traffic flows; `failures` in a row so far.
    Closed { failures: u32 },
    /// Nothing is sent before `until`; this is the `attempt`-th wait in a row.
    Open { until: Duration, attempt: u32, cause: Cause },
    /// One probe decides; `probing` while it is out.
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

    /// When an open breaker will let a probe through.
    pub fn until(&self) -> Option<Duration> {
        match self {
            Self::Open { until, .. } => Some(*until),
            _ => None,
        }
    }
}

/// What of a breaker the next process must know, so that a crash loop does not hammer the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SavedBreaker {
    Closed,
    /// Not before `until_ms`, in milliseconds since the boot with this id.
    Open {
        attempt: u32,
        cause: Cause,
        until_ms: i64,
        boot: String,
    },
}

/// One moment on the process's clock and on the device's, which outlives the process.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    pub at: Duration,
    pub since_boot_ms: i64,
    pub boot: &'a str,
}

/// The answer to "may I send?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The pass must be given back by exactly one of `succeeded`, `failed` or `cancelled`.
    Send(Pass),
    /// Ask again then.
    WaitUntil(Duration),
    /// A probe is out; ask again when it is back.
    WaitForProbe,
}

/// What a request is to the breaker that let it through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Traffic,
    Probe,
}

#[derive(Clone, Debug)]
pub struct Breaker {
    policy: Policy,
    state: BreakerState,
    /// While closed: no request before this moment, since the last one failed.
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

    /// Whether a probe may go.
    pub fn is_due(&self, now: Duration) -> bool {
        match self.state {
            BreakerState::Closed { .. } => false,
            BreakerState::Open { until, .. } => until <= now,
            BreakerState::HalfOpen { probing, .. } => !probing,
        }
    }

    /// Asks for leave to send one request.
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
            // A straggler from before the breaker opened; the probe decides.
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

    /// The request was dropped before it was answered: its outcome is unknown.
    pub fn cancelled(&mut self, pass: Pass) {
        if let (BreakerState::HalfOpen { attempt, cause, .. }, Pass::Probe) = (self.state, pass) {
            self.state = BreakerState::HalfOpen { probing: false, attempt, cause };
        }
    }

    /// For the next process.
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

    /// Goes on where an earlier process stood.
    ///
    /// In the same boot the moment holds. After a reboot, or once it has passed, a short wait stands
    /// for it: a reboot is often a person's repair, and a loop of crashes or reboots then sends at
    /// most one probe a life, and often none.
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

    /// A server that names a time, or a person's mistake, need not be tried three times over.
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
