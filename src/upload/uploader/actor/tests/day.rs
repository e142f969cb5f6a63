//! A day on a bad link, in virtual time.
//!
//! Invariants checked:
//! - the ledger balances after every step;
//! - every reading is delivered or quarantined, and it is quarantined only if the server never accepts it;
//! - delivered readings arrive in order within their lane, repeats aside, and a number always names the
//!   same reading;
//! - at most eight batches are alive at a time: the memory of the uploader does not grow with the backlog;
//! - a dead server gets at most 300 requests a day.

use super::*;

const HOURS: u64 = 24;
/// One step is about five minutes.
const STEPS: u64 = HOURS * 12;

/// How the link and the server behave for a while.
#[derive(Clone, Copy, Debug)]
enum Conditions {
    Fair,
    Slow,
    /// The connection is refused.
    Down,
    /// Requests get no answer.
    Silent,
    Busy,
    /// Every other answer is lost on its way back.
    Lossy,
    /// Only small requests are accepted.
    Narrow,
}

const CONDITIONS: [Conditions; 7] = [
    Conditions::Fair,
    Conditions::Slow,
    Conditions::Down,
    Conditions::Silent,
    Conditions::Busy,
    Conditions::Lossy,
    Conditions::Narrow,
];

fn is_poison(id: i64) -> bool {
    id % 601 == 77
}

fn is_poisonous(asked: &Asked) -> bool {
    asked.ids.iter().any(|id| is_poison(*id))
}

fn reply(conditions: Conditions, asked: &Asked, rng: &mut fastrand::Rng) -> Reply {
    let size = asked.ids.len() as f64;
    let latency = Duration::from_secs_f64(0.02 + 0.2 * rng.f64());
    let refused = || Reply { after: latency, ..Reply::rejects(Rejection::Content) };
    let taken = |after| if is_poisonous(asked) { refused() } else { Reply::takes(after) };
    match conditions {
        Conditions::Fair => taken(latency),
        Conditions::Slow => taken(latency + Duration::from_secs_f64(size / 50.0)),
        Conditions::Down => Reply::down(),
        Conditions::Silent => Reply { after: Duration::ZERO, takes: false, says: None },
        Conditions::Busy => Reply::refuses(SinkRefusal::Retry {
            cause: Cause::ServerBusy,
            after: rng.bool().then(|| Duration::from_secs(rng.u64(1..120))),
            reason: "503".into(),
        }),
        Conditions::Lossy if rng.bool() && !is_poisonous(asked) => {
            Reply { after: latency, takes: true, says: None }
        }
        Conditions::Lossy => taken(latency),
        Conditions::Narrow if size > 40.0 => Reply::rejects(Rejection::TooLarge),
        Conditions::Narrow => taken(latency),
    }
}

/// Runs one day.
async fn live(seed: u64) {
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut rig = Rig::new(Pace::default());
    let sky = Arc::new(Mutex::new(Conditions::Fair));
    let (seen, mut of_server) = (Arc::clone(&sky), rng.fork());
    rig.server.replies(move |asked| reply(*seen.lock().expect("no panic"), asked, &mut of_server));
    // The first hour is fair.
    let (mut left, mut alive) = (12, [0; 4]);
    for step in 0..STEPS {
        if left == 0 {
            let conditions = CONDITIONS[rng.usize(..CONDITIONS.len())];
            *sky.lock().expect("no panic") = conditions;
            left = rng.u64(1..=18);
        }
        left -= 1;
        let alarms = i64::from(rng.u8(..5) == 0);
        rig.append(rng.i64(1..60), alarms).await;
        sleep(SECOND * rng.u32(200..400)).await;
        let ledger = rig.log.status().borrow().ledger.clone();
        assert_eq!(ledger.imbalances(), Vec::<String>::new(), "seed {seed}, step {step}");
        let held = rig.server.lock().offered.iter().filter(|one| one.strong_count() > 0).count();
        let quarter = usize::try_from(step * 4 / STEPS).expect("of four");
        alive[quarter] = alive[quarter].max(held);
    }
    *sky.lock().expect("no panic") = Conditions::Fair;
    let log = rig.drained().await;
    let bad: Vec<i64> = (0..rig.next_id).filter(|id| is_poison(*id)).collect();
    rig.has_all_but(&bad);
    assert!(bad.len() > 10, "some readings were bad");
    assert_eq!(log.ledger.quarantined, bad.len() as u64, "seed {seed}");
    assert_eq!(log.ledger.delivered + log.ledger.quarantined, log.head);
    assert!(alive.iter().all(|alive| *alive <= 8), "seed {seed}: {alive:?} batches alive");
}

#[tokio::test(start_paused = true)]
async fn a_day_of_random_outages_leaves_every_reading_delivered_once_or_quarantined() {
    for seed in [1, 2, 3] {
        live(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_asked_at_most_300_times_a_day() {
    for conditions in [Conditions::Down, Conditions::Silent] {
        let mut rig = Rig::new(Pace::default());
        let mut rng = fastrand::Rng::with_seed(1);
        rig.server.replies(move |asked| reply(conditions, asked, &mut rng));
        for _ in 0..HOURS * 6 {
            rig.append(10, 0).await;
            sleep(SECOND * 600).await;
        }
        assert!(rig.server.requests() <= 300, "{conditions:?}: {}", rig.server.requests());
        assert_eq!(rig.log.status().borrow().ledger.pending, HOURS * 60);
    }
}
