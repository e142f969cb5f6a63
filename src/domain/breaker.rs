//! The circuit breaker: when to leave a failing sink alone, and when to ask again.
//!
//! ```text
//!            enough failures in a row
//!   Closed ───────────────────────────▶ Open ◀───────────────┐
//!     ▲                                  │ the wait is over   │ the probe failed
//!     │ the probe succeeded              ▼                    │
//!     └────────────────────────────── HalfOpen ───────────────┘
//! ```
//!
//! Closed lets traffic flow, Open refuses it, HalfOpen lets one probe through. A probe that is
//! dropped unanswered gives its place back. Pure: time and randomness are arguments.

use std::time::Duration;

use super::backoff::Backoff;

/// Why a request did not succeed, as far as the breaker cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No answer: resolve, connect, reset, timeout.
    LinkDown,
    /// The server answers, and asks us to slow down or is in trouble: 429, 5xx.
    ServerBusy,
    /// The server answers, and will refuse until a person changes something: 401, 403, TLS.
    Misconfigured,
}

impl Cause {
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
    /// Waits between probes.
    pub wait: Backoff,
    /// A misconfiguration does not heal by itself: its waits are at least this.
    pub misconfigured_wait_min: Duration,
    /// The longest a server may send us away for.
    pub retry_after_max: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            failures_max: 3,
            // Growing by a quarter keeps the wait well below the outage so far: short outages are
            // noticed soon after they end, long ones cost few probes.
            wait: Backoff {
                first: Duration::from_secs(1),
                factor: 1.25,
                max: Duration::from_secs(15 * 60),
            },
            misconfigured_wait_min: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(3600),
        }
    }
}

/// Moments are durations since any fixed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Traffic flows; `failures` in a row so far.
    Closed { failures: u32 },
    /// Nothing is sent before `until`; this is the `attempt`-th wait in a row.
    Open { until: Duration, attempt: u32, cause: Cause },
    /// One probe decides; `probing` while it is out.
    HalfOpen { probing: bool, attempt: u32, cause: Cause },
}

impl State {
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
}

/// The answer to "may I send?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    Send,
    /// Ask again then.
    WaitUntil(Duration),
    /// A probe is out; ask again when it is back.
    WaitForProbe,
}

#[derive(Clone, Debug)]
pub struct Breaker {
    policy: Policy,
    state: State,
}

impl Breaker {
    pub fn new(policy: Policy) -> Self {
        Self { policy, state: State::Closed { failures: 0 } }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Asks for leave to send one request. In HalfOpen the leave is the probe, and must be
    /// answered by exactly one of `succeeded`, `failed` or `cancelled`.
    pub fn ask(&mut self, now: Duration) -> Leave {
        match self.state {
            State::Closed { .. } => Leave::Send,
            State::Open { until, .. } if now < until => Leave::WaitUntil(until),
            State::Open { attempt, cause, .. }
            | State::HalfOpen { probing: false, attempt, cause } => {
                self.state = State::HalfOpen { probing: true, attempt, cause };
                Leave::Send
            }
            State::HalfOpen { probing: true, .. } => Leave::WaitForProbe,
        }
    }

    pub fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    pub fn failed(
        &mut self,
        now: Duration,
        cause: Cause,
        retry_after: Option<Duration>,
        rng: &mut fastrand::Rng,
    ) {
        match self.state {
            State::Closed { failures } if self.tolerates(failures + 1, cause, retry_after) => {
                self.state = State::Closed { failures: failures + 1 };
            }
            State::Closed { .. } => self.open(now, 0, cause, retry_after, rng),
            // A straggler from before the breaker opened changes nothing.
            State::Open { .. } => {}
            State::HalfOpen { attempt, .. } => self.open(now, attempt + 1, cause, retry_after, rng),
        }
    }

    /// The request was dropped before it was answered: its outcome is unknown.
    pub fn cancelled(&mut self) {
        if let State::HalfOpen { probing: true, attempt, cause } = self.state {
            self.state = State::HalfOpen { probing: false, attempt, cause };
        }
    }

    /// A server that names a time, or a person's mistake, need not be tried three times over.
    fn tolerates(&self, failures: u32, cause: Cause, retry_after: Option<Duration>) -> bool {
        failures < self.policy.failures_max
            && cause != Cause::Misconfigured
            && retry_after.is_none()
    }

    fn open(
        &mut self,
        now: Duration,
        attempt: u32,
        cause: Cause,
        retry_after: Option<Duration>,
        rng: &mut fastrand::Rng,
    ) {
        let mut wait = self.policy.wait.wait(attempt, rng);
        if cause == Cause::Misconfigured {
            // Jitter on top of the minimum, or every device would keep the same beat.
            wait += self.policy.misconfigured_wait_min;
        }
        if let Some(asked) = retry_after {
            wait += asked.min(self.policy.retry_after_max);
        }
        self.state = State::Open { until: now + wait, attempt, cause };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Rig {
        breaker: Breaker,
        now: Duration,
        rng: fastrand::Rng,
    }

    impl Rig {
        fn new() -> Self {
            let breaker = Breaker::new(Policy::default());
            Self { breaker, now: Duration::ZERO, rng: fastrand::Rng::with_seed(3) }
        }

        fn fail(&mut self, cause: Cause) {
            self.breaker.failed(self.now, cause, None, &mut self.rng);
        }

        fn opened() -> Self {
            let mut rig = Self::new();
            (0..3).for_each(|_| rig.fail(Cause::LinkDown));
            rig
        }

        fn half_open() -> Self {
            let mut rig = Self::opened();
            rig.now += rig.wait();
            assert_eq!(rig.breaker.ask(rig.now), Leave::Send);
            rig
        }

        fn wait(&self) -> Duration {
            match self.breaker.state() {
                State::Open { until, .. } => until - self.now,
                other => panic!("not open: {other:?}"),
            }
        }
    }

    #[test]
    fn closed_tolerates_failures_that_a_success_forgives() {
        let mut rig = Rig::new();
        rig.fail(Cause::LinkDown);
        rig.fail(Cause::ServerBusy);
        assert_eq!(rig.breaker.state(), State::Closed { failures: 2 });
        rig.breaker.succeeded();
        assert_eq!(rig.breaker.state(), State::Closed { failures: 0 });
        assert_eq!(rig.breaker.ask(rig.now), Leave::Send);
    }

    #[test]
    fn closed_opens_after_failures_in_a_row() {
        let mut rig = Rig::opened();
        assert_eq!(rig.breaker.state().name(), "open");
        assert_eq!(rig.breaker.state().cause(), Some(Cause::LinkDown));
        assert!(rig.wait() <= SECOND, "the first wait is short");
        assert!(matches!(rig.breaker.ask(rig.now), Leave::WaitUntil(_)));
    }

    #[test]
    fn closed_opens_at_once_on_a_misconfiguration_and_waits_longer() {
        let mut rig = Rig::new();
        rig.fail(Cause::Misconfigured);
        assert!(rig.wait() > 30 * SECOND);
    }

    #[test]
    fn closed_opens_at_once_when_the_server_names_a_time_and_bounds_it() {
        let mut rig = Rig::new();
        rig.breaker.failed(rig.now, Cause::ServerBusy, Some(7 * SECOND), &mut rig.rng);
        assert!(rig.wait() > 7 * SECOND && rig.wait() <= 8 * SECOND);
        let mut rig = Rig::new();
        rig.breaker.failed(rig.now, Cause::ServerBusy, Some(Duration::MAX), &mut rig.rng);
        assert!(rig.wait() <= 3601 * SECOND);
    }

    #[test]
    fn open_ignores_stragglers() {
        let mut rig = Rig::opened();
        let before = rig.breaker.state();
        rig.fail(Cause::Misconfigured);
        rig.breaker.cancelled();
        assert_eq!(rig.breaker.state(), before);
    }

    #[test]
    fn open_becomes_half_open_when_the_wait_is_over_and_lets_one_probe_through() {
        let mut rig = Rig::half_open();
        assert_eq!(rig.breaker.state().name(), "half_open");
        assert_eq!(rig.breaker.ask(rig.now), Leave::WaitForProbe);
    }

    #[test]
    fn half_open_closes_when_the_probe_succeeds() {
        let mut rig = Rig::half_open();
        rig.breaker.succeeded();
        assert_eq!(rig.breaker.state(), State::Closed { failures: 0 });
    }

    #[test]
    fn half_open_opens_again_for_longer_when_the_probe_fails() {
        let mut rig = Rig::half_open();
        rig.fail(Cause::ServerBusy);
        let State::Open { attempt, cause, .. } = rig.breaker.state() else {
            panic!("not open: {:?}", rig.breaker.state());
        };
        assert_eq!((attempt, cause), (1, Cause::ServerBusy));
    }

    #[test]
    fn half_open_gives_a_cancelled_probe_s_place_to_the_next() {
        let mut rig = Rig::half_open();
        rig.breaker.cancelled();
        assert_eq!(rig.breaker.ask(rig.now), Leave::Send);
        assert_eq!(rig.breaker.ask(rig.now), Leave::WaitForProbe);
    }

    #[test]
    fn a_day_of_silence_costs_few_probes() {
        for seed in 0..20 {
            let mut rig = Rig::opened();
            rig.rng = fastrand::Rng::with_seed(seed);
            let mut probes = 0;
            while rig.now < 86_400 * SECOND {
                rig.now += rig.wait();
                assert_eq!(rig.breaker.ask(rig.now), Leave::Send);
                rig.fail(Cause::LinkDown);
                probes += 1;
            }
            assert!(probes < 300, "{probes} probes with seed {seed}");
        }
    }
}
