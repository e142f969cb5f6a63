//! A thousand devices that lost the same server, and what it meets when it comes back.
//!
//! Each device is the real breaker and the real ramp under the loop of an uploader: one request a
//! second, as its log commits, and larger ones while it catches up. The server is away, then back
//! with a fifth more capacity than a normal second needs; what is beyond that is answered 503. Time
//! is virtual, everything is drawn from the seed, and the seed is printed.
//!
//! Invariants checked: the peak after the recovery stays below a stated multiple of normal, everybody
//! has caught up within a stated time, and without jitter the very same fleet does far worse.

#![expect(clippy::print_stdout, reason = "the table is the result; shown with --nocapture")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use outstation::domain::policy::backoff::jitter_seed;
use outstation::domain::policy::breaker::{Breaker, Cause, Leave, Pass, Policy};
use outstation::domain::policy::ramp::Ramp;

const DEVICES: usize = 1000;
/// Requests per second that the server can answer; a normal second has `DEVICES`.
const CAPACITY: u64 = 1200;
const CAPACITY_POOR: u64 = 500;
/// A device reads ten sensors once a second, and a request takes as many readings as it may.
const READINGS_PER_SECOND: u64 = 10;
const READINGS_PER_REQUEST: u64 = 65_536;
/// From request to answer.
const LATENCY: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
/// Before the outage.
const CALM: Duration = Duration::from_secs(10);

struct Device {
    breaker: Breaker,
    ramp: Ramp,
    rng: fastrand::Rng,
    /// Where in the second it commits.
    phase: Duration,
    /// Readings up to this moment were delivered.
    delivered_to: Duration,
    recovered_at: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq)]
enum Jitter {
    Full,
    /// The same share of each ceiling for everybody: half, as on average.
    None,
}

/// How it is when it comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Server {
    Well,
    /// For two minutes it can do half of what a normal second needs.
    HalfStrength,
}

impl Server {
    fn capacity(self, since_recovery: Duration) -> u64 {
        match self {
            Self::HalfStrength if since_recovery < 120 * SECOND => CAPACITY_POOR,
            _ => CAPACITY,
        }
    }
}

struct Fleet {
    devices: Vec<Device>,
    /// When which device acts next.
    agenda: BinaryHeap<Reverse<(Duration, usize)>>,
    jitter: Jitter,
    half_way: fastrand::Rng,
    server: Server,
    outage: (Duration, Duration),
    /// Requests that reached the server, by tenth of a second since its recovery.
    asked: Vec<u64>,
    second: u64,
    answered: u64,
    refused: u64,
}

#[derive(Debug)]
struct Outcome {
    /// Requests in the busiest second and tenth of a second.
    peak_second: u64,
    peak_tenth: u64,
    /// Answered 503.
    refused: u64,
    half: Duration,
    all: Duration,
}

impl Fleet {
    fn new(seed: u64, outage: Duration, server: Server, jitter: Jitter) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let devices: Vec<Device> = (0..DEVICES)
            .map(|number| {
                let name = format!("board-{number}");
                Device {
                    breaker: Breaker::new(Policy::default()),
                    ramp: Ramp::default(),
                    // All were given the same entropy: what tells them apart is their name.
                    rng: fastrand::Rng::with_seed(jitter_seed(&[&name], seed)),
                    phase: SECOND.mul_f64(rng.f64()),
                    delivered_to: Duration::ZERO,
                    recovered_at: None,
                }
            })
            .collect();
        let agenda = devices.iter().map(|device| device.phase);
        let agenda = agenda.enumerate().map(|(at, phase)| Reverse((phase, at))).collect();
        let outage = (CALM, CALM + outage);
        Self {
            devices,
            agenda,
            jitter,
            half_way: half_way(),
            server,
            outage,
            asked: Vec::new(),
            second: 0,
            answered: 0,
            refused: 0,
        }
    }

    fn run(mut self) -> Outcome {
        let mut left = DEVICES;
        while let Some(Reverse((now, at))) = self.agenda.pop() {
            let next = self.act(now, at);
            self.agenda.push(Reverse((next, at)));
            let device = &mut self.devices[at];
            let behind = now.saturating_sub(device.delivered_to);
            let back = now >= self.outage.1 && device.recovered_at.is_none();
            if back && behind <= 2 * SECOND {
                device.recovered_at = Some(now - self.outage.1);
                left -= 1;
            }
            if left == 0 {
                break;
            }
            assert!(now < self.outage.1 + Duration::from_secs(7200), "{left} never recover");
        }
        self.outcome()
    }

    /// One look of a device at what it may do; when it looks again.
    fn act(&mut self, now: Duration, at: usize) -> Duration {
        let gentle = self.devices[at].ramp.ready_at();
        if gentle > now {
            return gentle;
        }
        let pass = match self.devices[at].breaker.ask(now) {
            Leave::Send(pass) => pass,
            Leave::WaitUntil(until) => return until,
            Leave::WaitForProbe => unreachable!("a device has one request at a time"),
        };
        let answer = self.ask_server(now);
        let done = now + LATENCY;
        let device = &mut self.devices[at];
        match answer {
            Ok(()) => device.accepted(now, done, pass),
            Err(cause) => {
                let mut same = self.half_way.clone();
                let rng = match self.jitter {
                    Jitter::Full => &mut device.rng,
                    Jitter::None => &mut same,
                };
                device.breaker.failed(done, pass, cause, None, rng);
                done
            }
        }
    }

    fn ask_server(&mut self, now: Duration) -> Result<(), Cause> {
        if now >= self.outage.0 && now < self.outage.1 {
            return Err(Cause::LinkDown);
        }
        let since = now.checked_sub(self.outage.1);
        if let Some(since) = since {
            let tenth = usize::try_from(since.as_millis() / 100).expect("it is short");
            self.asked.resize(self.asked.len().max(tenth + 1), 0);
            self.asked[tenth] += 1;
        }
        if self.second != now.as_secs() {
            (self.second, self.answered) = (now.as_secs(), 0);
        }
        self.answered += 1;
        if self.answered <= self.server.capacity(since.unwrap_or(Duration::MAX)) {
            return Ok(());
        }
        self.refused += 1;
        Err(Cause::ServerBusy)
    }

    fn outcome(&self) -> Outcome {
        let seconds = self.asked.windows(10).map(|second| second.iter().sum());
        let mut recovered: Vec<_> =
            self.devices.iter().filter_map(|device| device.recovered_at).collect();
        recovered.sort_unstable();
        Outcome {
            peak_second: seconds.max().unwrap_or_default(),
            peak_tenth: self.asked.iter().copied().max().unwrap_or_default(),
            refused: self.refused,
            half: recovered[DEVICES / 2],
            all: recovered[DEVICES - 1],
        }
    }
}

impl Device {
    fn accepted(&mut self, now: Duration, done: Duration, pass: Pass) -> Duration {
        self.breaker.succeeded(done, pass);
        match pass {
            Pass::Probe => self.ramp.begin(done, &mut self.rng),
            Pass::Traffic => self.ramp.succeeded(done, &mut self.rng),
        }
        let most = SECOND * u32::try_from(READINGS_PER_REQUEST / READINGS_PER_SECOND).expect("few");
        self.delivered_to = now.min(self.delivered_to + most);
        // There is more, or the next commit has to be waited for.
        if self.delivered_to < now { done } else { self.next_commit(now).max(done) }
    }

    fn next_commit(&self, now: Duration) -> Duration {
        let this = Duration::from_secs(now.as_secs()) + self.phase;
        if this > now { this } else { this + SECOND }
    }
}

/// A generator whose first draw is a half, near enough.
fn half_way() -> fastrand::Rng {
    let half = |seed: &u64| (fastrand::Rng::with_seed(*seed).f64() - 0.5).abs() < 0.01;
    fastrand::Rng::with_seed((0..).find(half).expect("one in fifty"))
}

/// Of normal: requests per second.
fn multiple(requests: u64) -> f64 {
    requests as f64 / DEVICES as f64
}

/// What is asserted of an outage: the peak as a multiple of normal, how soon everybody has caught up,
/// and how much higher the peak is without jitter.
struct Promise {
    peak_most: f64,
    within: Duration,
    control_factor: f64,
}

fn outage(length: Duration, server: Server, promise: &Promise) {
    for seed in [1, 2, 3] {
        let fleet = Fleet::new(seed, length, server, Jitter::Full).run();
        let control = Fleet::new(seed, length, server, Jitter::None).run();
        for (name, run) in [("jitter", &fleet), ("none", &control)] {
            println!(
                "{server:?} after {:>6} s  seed {seed}  {name:<6}  peak {:.2}× in a second, {:.2}× in \
                 a tenth; half back after {:.1} s, all after {:.1} s; {:.2} refusals a device",
                length.as_secs(),
                multiple(run.peak_second),
                10.0 * multiple(run.peak_tenth),
                run.half.as_secs_f64(),
                run.all.as_secs_f64(),
                multiple(run.refused),
            );
        }
        assert!(multiple(fleet.peak_second) <= promise.peak_most, "seed {seed}: {fleet:?}");
        assert!(fleet.all <= promise.within, "seed {seed}: {fleet:?}");
        let factor = multiple(control.peak_second) / multiple(fleet.peak_second);
        assert!(factor >= promise.control_factor, "seed {seed}: {factor} times as much");
    }
}

#[test]
fn after_ten_seconds_all_are_back_within_eight_at_a_tenth_above_normal() {
    let promise = Promise { peak_most: 1.1, within: 8 * SECOND, control_factor: 1.5 };
    outage(10 * SECOND, Server::Well, &promise);
}

#[test]
fn after_a_minute_all_are_back_within_eight_seconds_at_a_tenth_above_normal() {
    let promise = Promise { peak_most: 1.1, within: 8 * SECOND, control_factor: 1.5 };
    outage(60 * SECOND, Server::Well, &promise);
}

#[test]
fn after_half_an_hour_all_are_back_within_the_longest_wait_at_a_tenth_above_normal() {
    let promise = Promise { peak_most: 1.1, within: 905 * SECOND, control_factor: 1.5 };
    outage(1800 * SECOND, Server::Well, &promise);
}

#[test]
fn after_half_a_day_all_are_back_within_the_longest_wait_at_a_tenth_above_normal() {
    let promise = Promise { peak_most: 1.1, within: 905 * SECOND, control_factor: 3.0 };
    outage(43_200 * SECOND, Server::Well, &promise);
}

#[test]
fn a_server_that_comes_back_at_half_its_strength_is_not_run_over() {
    let promise = Promise { peak_most: 1.6, within: 240 * SECOND, control_factor: 1.0 };
    outage(60 * SECOND, Server::HalfStrength, &promise);
}
