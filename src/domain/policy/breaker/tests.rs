//! Every transition of the breaker, its waits over a day, and how the next process goes on.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

struct Rig {
    breaker: Breaker,
    now: Duration,
    rng: fastrand::Rng,
}

impl Rig {
    fn new() -> Self {
        Self::seeded(3)
    }

    fn seeded(seed: u64) -> Self {
        let breaker = Breaker::new(Policy::default());
        Self { breaker, now: Duration::ZERO, rng: fastrand::Rng::with_seed(seed) }
    }

    /// Waits until the breaker lets a request through, and returns its pass.
    fn pass(&mut self) -> Pass {
        loop {
            match self.breaker.ask(self.now) {
                Leave::Send(pass) => return pass,
                Leave::WaitUntil(until) => self.now = until,
                Leave::WaitForProbe => panic!("a probe is out"),
            }
        }
    }

    fn fail(&mut self, cause: Cause) {
        self.fail_until(cause, None);
    }

    fn fail_until(&mut self, cause: Cause, retry_after: Option<Duration>) {
        let pass = self.pass();
        self.breaker.failed(self.now, pass, cause, retry_after, &mut self.rng);
    }

    fn succeed(&mut self) {
        let pass = self.pass();
        self.breaker.succeeded(self.now, pass);
    }

    fn opened() -> Self {
        let mut rig = Self::new();
        (0..3).for_each(|_| rig.fail(Cause::LinkDown));
        rig
    }

    fn half_open() -> Self {
        let mut rig = Self::opened();
        assert_eq!(rig.pass(), Pass::Probe);
        rig
    }

    fn wait(&self) -> Duration {
        self.breaker.state().until().expect("it is open") - self.now
    }

    /// Fails every request until the day is over, and returns how many there were.
    fn fail_all_day(&mut self, cause: Cause, mut restart: impl FnMut(&mut Self)) -> u32 {
        let mut requests = 0;
        loop {
            let pass = self.pass();
            if self.now >= DAY {
                return requests;
            }
            requests += 1;
            self.breaker.failed(self.now, pass, cause, None, &mut self.rng);
            restart(self);
        }
    }
}

#[test]
fn closed_tolerates_failures_that_a_success_forgives() {
    let mut rig = Rig::new();
    rig.fail(Cause::LinkDown);
    rig.fail(Cause::ServerBusy);
    assert_eq!(rig.breaker.state(), BreakerState::Closed { failures: 2 });
    rig.succeed();
    assert_eq!(rig.breaker.state(), BreakerState::Closed { failures: 0 });
    assert_eq!(rig.breaker.ask(rig.now), Leave::Send(Pass::Traffic));
}

#[test]
fn closed_rests_after_a_failure() {
    let mut rig = Rig::new();
    rig.fail(Cause::LinkDown);
    let Leave::WaitUntil(until) = rig.breaker.ask(rig.now) else { panic!("it does not rest") };
    assert!(until > rig.now && until <= rig.now + SECOND / 2);
    assert!(!rig.breaker.is_due(until), "a rest is over without a probe");
    assert_eq!(rig.breaker.ask(until), Leave::Send(Pass::Traffic));
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
fn closed_opens_when_half_of_the_recent_requests_failed() {
    let mut rig = Rig::new();
    for request in 1..=10 {
        assert!(rig.breaker.state().is_closed(), "opened by {request}");
        if request % 2 == 0 { rig.fail(Cause::LinkDown) } else { rig.succeed() }
    }
    assert_eq!(rig.breaker.state().name(), "open");
}

#[test]
fn closed_stays_closed_on_a_link_that_loses_one_in_five() {
    let mut rig = Rig::new();
    for request in 1..=1000 {
        rig.now += SECOND;
        if request % 5 == 0 { rig.fail(Cause::LinkDown) } else { rig.succeed() }
    }
    assert!(rig.breaker.state().is_closed());
}

#[test]
fn failures_from_before_an_outage_do_not_count_after_it() {
    let mut rig = Rig::new();
    for request in 1..=10 {
        if request % 2 == 0 { rig.fail(Cause::LinkDown) } else { rig.succeed() }
    }
    rig.succeed();
    rig.fail(Cause::LinkDown);
    assert_eq!(rig.breaker.state(), BreakerState::Closed { failures: 1 });
}

#[test]
fn closed_opens_at_once_on_a_misconfiguration_and_waits_longer() {
    let mut rig = Rig::new();
    rig.fail(Cause::Misconfigured);
    assert!(rig.wait() > 30 * SECOND && rig.wait() <= 90 * SECOND);
}

#[test]
fn closed_opens_at_once_when_the_server_names_a_time_and_bounds_it() {
    for seed in 0..100 {
        let mut rig = Rig::seeded(seed);
        rig.fail_until(Cause::ServerBusy, Some(8 * SECOND));
        assert!(rig.wait() > 8 * SECOND && rig.wait() <= 12 * SECOND, "{:?}", rig.wait());
        let mut rig = Rig::seeded(seed);
        rig.fail_until(Cause::ServerBusy, Some(Duration::MAX));
        assert!(rig.wait() > 3600 * SECOND && rig.wait() <= 5400 * SECOND, "{:?}", rig.wait());
    }
}

#[test]
fn devices_that_are_told_one_time_do_not_come_back_together() {
    let come_back = |seed| {
        let mut rig = Rig::seeded(seed);
        rig.fail_until(Cause::ServerBusy, Some(60 * SECOND));
        rig.wait().as_secs()
    };
    let all: Vec<u64> = (0..1000).map(come_back).collect();
    let most = (60..=90).map(|at| all.iter().filter(|back| **back == at).count()).max();
    assert!(most < Some(60), "{most:?} of 1000 in one second");
}

#[test]
fn open_ignores_stragglers() {
    let mut rig = Rig::opened();
    let before = rig.breaker.state();
    rig.breaker.failed(rig.now, Pass::Traffic, Cause::Misconfigured, None, &mut rig.rng);
    rig.breaker.cancelled(Pass::Traffic);
    rig.breaker.succeeded(rig.now, Pass::Traffic);
    assert_eq!(rig.breaker.state(), before);
}

#[test]
fn open_becomes_half_open_when_the_wait_is_over_and_lets_one_probe_through() {
    let mut rig = Rig::opened();
    assert!(!rig.breaker.is_due(rig.now) && rig.breaker.is_due(rig.now + rig.wait()));
    assert_eq!(rig.pass(), Pass::Probe);
    assert_eq!(rig.breaker.state().name(), "half_open");
    assert!(!rig.breaker.is_due(rig.now));
    assert_eq!(rig.breaker.ask(rig.now), Leave::WaitForProbe);
}

#[test]
fn half_open_closes_when_the_probe_succeeds() {
    let mut rig = Rig::half_open();
    rig.breaker.succeeded(rig.now, Pass::Probe);
    assert_eq!(rig.breaker.state(), BreakerState::Closed { failures: 0 });
}

#[test]
fn half_open_opens_again_for_longer_when_the_probe_fails() {
    let mut rig = Rig::half_open();
    rig.breaker.failed(rig.now, Pass::Probe, Cause::ServerBusy, None, &mut rig.rng);
    let BreakerState::Open { attempt, cause, .. } = rig.breaker.state() else {
        panic!("not open: {:?}", rig.breaker.state());
    };
    assert_eq!((attempt, cause), (1, Cause::ServerBusy));
}

#[test]
fn half_open_is_not_moved_by_stragglers() {
    let mut rig = Rig::half_open();
    rig.breaker.failed(rig.now, Pass::Traffic, Cause::LinkDown, None, &mut rig.rng);
    rig.breaker.cancelled(Pass::Traffic);
    assert_eq!(rig.breaker.ask(rig.now), Leave::WaitForProbe);
}

#[test]
fn half_open_gives_a_cancelled_probe_s_place_to_the_next() {
    let mut rig = Rig::half_open();
    rig.breaker.cancelled(Pass::Probe);
    assert!(rig.breaker.is_due(rig.now));
    assert_eq!(rig.breaker.ask(rig.now), Leave::Send(Pass::Probe));
    assert_eq!(rig.breaker.ask(rig.now), Leave::WaitForProbe);
}

#[test]
fn a_day_of_silence_costs_few_requests() {
    for seed in 0..200 {
        for cause in Cause::ALL {
            let requests = Rig::seeded(seed).fail_all_day(cause, |_| {});
            assert!(requests <= 300, "{requests} requests with seed {seed}, {}", cause.name());
        }
    }
}

#[test]
fn an_outage_of_a_minute_is_noticed_within_eight_seconds_of_its_end() {
    for seed in 0..500 {
        let mut rig = Rig::seeded(seed);
        let late = loop {
            let pass = rig.pass();
            if let Some(late) = rig.now.checked_sub(60 * SECOND) {
                break late;
            }
            rig.breaker.failed(rig.now, pass, Cause::LinkDown, None, &mut rig.rng);
        };
        assert!(late <= 8 * SECOND, "{late:?} with seed {seed}");
    }
}

#[test]
fn waits_are_still_drawn_from_all_of_the_longest_after_a_day() {
    let wait = |seed| Policy::default().wait(250, Cause::LinkDown, None, &mut rng(seed)).as_secs();
    let waits: Vec<u64> = (0..1000).map(wait).collect();
    for quarter in 0..4 {
        let from = quarter * 225;
        let count = waits.iter().filter(|wait| (from..from + 225).contains(*wait)).count();
        assert!((200..300).contains(&count), "{count} waits above {from} s");
    }
}

fn rng(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

/// The clocks of a process that was started at `started`, a duration since the boot.
fn clocks(at: Duration, started: Duration, boot: &str) -> Now<'_> {
    let since_boot_ms = i64::try_from((started + at).as_millis()).expect("it fits");
    Now { at, since_boot_ms, boot }
}

#[test]
fn in_the_same_boot_the_next_process_waits_until_the_same_moment() {
    let mut rig = Rig::opened();
    (0..60).for_each(|_| rig.fail(Cause::ServerBusy));
    let saved = rig.breaker.saved(clocks(rig.now, 5 * SECOND, "boot"));
    let until = rig.breaker.state().until().expect("it is open") + 5 * SECOND;
    // The next process starts a second later than `now`, so its own clock is behind.
    let started = rig.now + 6 * SECOND;
    let here = clocks(Duration::ZERO, started, "boot");
    let next = Breaker::restored(Policy::default(), &saved, here, &mut rig.rng);
    let BreakerState::Open { until: then, attempt, cause } = next.state() else {
        panic!("{next:?}")
    };
    assert_eq!((attempt, cause), (60, Cause::ServerBusy));
    assert!((then + started).abs_diff(until) <= Duration::from_millis(1));
}

#[test]
fn after_a_reboot_or_when_the_moment_has_passed_a_short_wait_stands_for_it() {
    let mut rig = Rig::opened();
    (0..60).for_each(|_| rig.fail(Cause::LinkDown));
    let saved = rig.breaker.saved(clocks(rig.now, SECOND, "boot"));
    let later = clocks(Duration::ZERO, rig.now + 3600 * SECOND, "boot");
    let rebooted = clocks(Duration::ZERO, SECOND, "another");
    for here in [later, rebooted] {
        for seed in 0..100 {
            let next = Breaker::restored(Policy::default(), &saved, here, &mut rng(seed));
            let BreakerState::Open { until, attempt, .. } = next.state() else {
                panic!("{next:?}")
            };
            assert_eq!(attempt, 60, "its waits go on where they were");
            assert!(until > Duration::ZERO && until <= 10 * SECOND, "{until:?}");
        }
    }
}

#[test]
fn a_moment_out_of_all_reason_is_bounded() {
    for until_ms in [i64::MAX, i64::MIN] {
        let (attempt, cause, boot) = (u32::MAX, Cause::ServerBusy, "boot".to_owned());
        let saved = SavedBreaker::Open { attempt, cause, until_ms, boot };
        let here = clocks(SECOND, SECOND, "boot");
        let next = Breaker::restored(Policy::default(), &saved, here, &mut rng(1));
        assert!(next.state().until() <= Some(5401 * SECOND), "{next:?}");
    }
}

#[test]
fn closed_stays_closed_across_a_restart() {
    let rig = Rig::new();
    let saved = rig.breaker.saved(clocks(rig.now, SECOND, "boot"));
    assert_eq!(saved, SavedBreaker::Closed);
    let here = clocks(SECOND, SECOND, "boot");
    let next = Breaker::restored(Policy::default(), &saved, here, &mut rng(1));
    assert!(next.state().is_closed());
}

#[test]
fn a_process_that_crashes_after_every_request_sends_no_more_than_one_that_lives() {
    for seed in 0..50 {
        let requests = Rig::seeded(seed).fail_all_day(Cause::LinkDown, |rig| {
            // Before the breaker has opened there is no wait to restore.
            if !rig.breaker.state().is_closed() {
                let here = clocks(rig.now, SECOND, "boot");
                let saved = rig.breaker.saved(here);
                rig.breaker = Breaker::restored(Policy::default(), &saved, here, &mut rig.rng);
            }
        });
        assert!(requests <= 300, "{requests} requests with seed {seed}");
    }
}
