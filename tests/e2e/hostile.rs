//! Delivery over a network that is not on our side.
//!
//! Invariants checked, whatever happens to the connections: every accepted reading is in the
//! collector exactly once with its values, the ledger balances, and memory stays flat.

use std::time::{Duration, Instant};

use crate::kit::chance::rng;
use crate::kit::collector::Collector;
use crate::kit::proxy::{End, Flow, Plan, Proxy};
use crate::kit::readings::{json_lines, json_values};
use crate::kit::site::{Site, json_port, sink};
use crate::kit::upstream::{Act, Upstream};
use crate::kit::wait::eventually;

const PART: u64 = 50;
const PARTS: u64 = 24;
/// Of allocators and pages, above what the daemon takes once it has been at work.
const RESIDENT_KIB_MORE: u64 = 1024;

/// A thousand readings and more, committed in parts, while `plan` has its way with the connections.
#[expect(clippy::print_stdout, reason = "shown when a test fails")]
fn deliver_through(plan: impl FnMut(usize) -> Plan + Send + 'static) -> (u64, Proxy) {
    let site = Site::new();
    let collector = Collector::start(&site);
    let proxy = Proxy::start(&collector.address, plan);
    let mut line = site.plug("text");
    let rest = "batch_readings = 50\nevents = false";
    let daemon = site.start(&(json_port(&line) + &sink(&proxy.address, rest)));
    let mut settled = 0;
    for part in 0..PARTS {
        line.send(json_lines(part * PART..(part + 1) * PART));
        daemon.stored((part + 1) * PART);
        if part == 2 {
            settled = daemon.kib("VmRSS");
        }
    }
    proxy.calm();
    let status = daemon.delivered(PARTS * PART);
    assert_eq!(status["ledger"]["balanced"], true);
    let repeats = collector.holds(PARTS * PART);
    assert_eq!(collector.values("text"), json_values(0..PARTS * PART));
    let resident = daemon.kib("VmRSS");
    assert!(resident <= settled + RESIDENT_KIB_MORE, "{settled} KiB became {resident} KiB");
    println!("{} connections, {repeats} repeats, {resident} KiB", proxy.connections());
    daemon.stop();
    (repeats, proxy)
}

#[test]
fn slow_links_and_answers_byte_by_byte_cost_time_and_nothing_else() {
    let mut rng = rng();
    let (repeats, _) = deliver_through(move |_| Plan {
        requests: Flow {
            piece: rng.usize(200..2000),
            pause: Duration::from_millis(rng.u64(1..15)),
            end: None,
        },
        answers: Flow { piece: 1, pause: Duration::from_micros(rng.u64(10..400)), end: None },
    });
    assert_eq!(repeats, 0, "nothing failed, so nothing was sent twice");
}

#[test]
fn connections_that_are_cut_anywhere_lose_and_double_nothing() {
    let mut rng = rng();
    let (_, proxy) = deliver_through(move |number| {
        // In the head, in the body, between two requests of one connection.
        let cut = Flow::ending(rng.usize(0..1200), End::Cut);
        match number % 3 {
            0 => Plan { requests: cut, ..Plan::default() },
            1 => Plan { answers: Flow::ending(rng.usize(0..300), End::Cut), ..Plan::default() },
            _ => {
                Plan { requests: Flow::ending(rng.usize(1200..5000), End::Cut), ..Plan::default() }
            }
        }
    });
    assert!(proxy.connections() > 1, "only {} connections", proxy.connections());
}

#[test]
fn acknowledgements_that_are_lost_make_repeats_and_no_doubles() {
    let (repeats, _) = deliver_through(|number| match number {
        0 | 1 | 3 | 5 | 6 => Plan { answers: Flow::ending(0, End::Cut), ..Plan::default() },
        // In the middle of the status line of the second answer.
        _ => Plan { answers: Flow::ending(200, End::Cut), ..Plan::default() },
    });
    assert!(repeats > 0, "the cuts were not where they should be");
}

#[test]
fn half_closed_connections_are_given_up_and_made_anew() {
    let mut rng = rng();
    let (_, proxy) = deliver_through(move |number| {
        let half = Flow::ending(rng.usize(0..1000), End::HalfClose);
        match number % 2 {
            0 => Plan { requests: half, ..Plan::default() },
            _ => Plan { answers: half, ..Plan::default() },
        }
    });
    assert!(proxy.connections() > 1, "only {} connections", proxy.connections());
}

#[test]
fn bytes_that_vanish_cost_a_timeout_each() {
    let mut rng = rng();
    let (_, proxy) = deliver_through(move |number| {
        let hole = Flow::ending(rng.usize(0..2500), End::Swallow);
        match number {
            0 | 3 => Plan { requests: hole, ..Plan::default() },
            1 | 4 => Plan { answers: hole, ..Plan::default() },
            _ => Plan::default(),
        }
    });
    assert!(proxy.connections() < 12, "{} connections", proxy.connections());
}

#[test]
fn requests_that_arrive_again_and_out_of_order_are_known_and_dropped() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut rng = rng();
    let proxy = Proxy::start(&collector.address, move |_| Plan {
        answers: Flow::ending(rng.usize(0..900), End::Cut),
        ..Plan::default()
    });
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(&proxy.address, "batch_readings = 50")));
    for part in 0..6 {
        line.send(json_lines(part * PART..(part + 1) * PART));
        daemon.stored((part + 1) * PART);
        assert!(proxy.replay() > 0 || part == 0);
    }
    proxy.calm();
    daemon.delivered(6 * PART);
    let before = collector.holds(6 * PART);
    proxy.replay();
    let after = collector.holds(6 * PART);
    assert!(after > before, "it came again: {before}, {after}");
    assert_eq!(collector.values("text"), json_values(0..6 * PART));
    daemon.stop();
}

#[test]
fn any_mixture_of_it_is_survived() {
    let mut rng = rng();
    let (_, proxy) = deliver_through(move |number| {
        // One that goes well would last to the end.
        let kinds = if number < 3 { 3 } else { 8 };
        let mut flow = |bytes| Flow {
            piece: rng.usize(1..4000).max(rng.usize(1..400)),
            pause: Duration::from_micros(rng.u64(0..500)),
            end: match rng.u32(..kinds) {
                0 | 1 => Some((rng.usize(0..bytes), End::Cut)),
                2 => Some((rng.usize(0..bytes), End::HalfClose)),
                _ => None,
            },
        };
        Plan { requests: flow(2500), answers: flow(600) }
    });
    assert!(proxy.connections() > 3, "only {} connections", proxy.connections());
}

#[test]
fn a_server_that_hangs_for_ever_costs_one_timeout_per_probe_and_nothing_else() {
    const LOOK: Duration = Duration::from_secs(4);
    let site = Site::new();
    let collector = Collector::start(&site);
    let upstream = Upstream::start([Act::Hang]);
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink(&upstream.address, "events = false")));
    line.send(json_lines(0..PART));
    upstream.asked(2);
    let (begin, spent, resident) = (Instant::now(), daemon.cpu(), daemon.kib("VmRSS"));
    let mut stored = PART;
    eventually("the look is over", || begin.elapsed() > LOOK, |over| *over);
    line.send(json_lines(stored..stored + PART));
    stored += PART;
    daemon.stored(stored);
    let spent = daemon.cpu() - spent;
    assert!(spent < LOOK / 10, "{spent:?} of CPU in {:?}", begin.elapsed());
    assert!(daemon.kib("VmRSS") <= resident + RESIDENT_KIB_MORE);
    let requests = upstream.requests();
    // Each is given 500 ms from before the moment at which our end has read it.
    for pair in requests.windows(2) {
        let between = pair[1].at - pair[0].at;
        assert!(between >= Duration::from_millis(250), "the next came after {between:?}");
    }
    let sink = daemon.sink();
    assert_eq!(sink["delivered"], 0, "{sink}");
    assert!(requests.len() <= 12, "{} requests", requests.len());
    upstream.turn_to(Act::Forward(collector.address.clone()));
    daemon.delivered(stored);
    assert_eq!(collector.holds(stored), 0);
    daemon.stop();
}
