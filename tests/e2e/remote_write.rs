//! The `prometheus` sink against real receivers, batch by batch: what they refuse, what they have
//! already, and that the two are not confused.

use std::time::Duration;

use outstation::clock::Clock;
use outstation::config::{Config, Sink};
use outstation::domain::model::endpoint::Endpoint;
use outstation::event_log::LogStatus;
use outstation::sinks::connect::connector;
use outstation::upload::{AnySink, Offer, Rejection, SinkRefusal, Wire};
use outstation_codec::{
    Batch, Channel, Lane, Segment, Sensor, Stamp, StoredSegment, Value, ValueType,
};
use tower::{Service, ServiceExt};

use crate::kit::tsdb::{Held, Tsdb, write_url};
use crate::kit::upstream::{Act, Upstream};

const HOUR: i64 = 3_600_000;

/// A reading of sensor `a` or `b`: (number, sensor, Unix ms, value).
type Reading = (u64, &'static str, i64, f64);

fn batch(readings: &[Reading]) -> Batch {
    let sensor = |name: &str| Sensor {
        port: "p".into(),
        name: name.into(),
        channels: vec![Channel { name: "t".into(), unit: "Cel".into(), kind: ValueType::F64 }],
    };
    // One segment each, so that numbers stay with their readings.
    let segment = |(seq, name, time_ms, value): &Reading| {
        let mut segment = Segment::default();
        let cell = [(0, Value::F64(*value))].into_iter();
        segment.push(u32::from(*name == "b"), Stamp::unix(*time_ms), cell);
        StoredSegment::sealed(*seq, 1, Lane::Live, 0, segment.encode())
    };
    Batch {
        device: "d".into(),
        epoch: 1,
        lane: Lane::Live,
        sensors: vec![(0, sensor("a")), (1, sensor("b"))],
        boots: vec![(0, None)],
        segments: readings.iter().map(segment).collect(),
        events: vec![],
    }
}

/// What a receiver has to hold.
fn held(readings: impl IntoIterator<Item = Reading>) -> Held {
    let mut held = Held::new();
    for (_, name, time_ms, value) in readings {
        let labels = format!("__name__=t,device=d,port=p,sensor={name},unit=Cel");
        held.entry(labels).or_default().push((time_ms, value));
    }
    held.values_mut().for_each(|points| points.sort_by_key(|(time, _)| *time));
    held
}

/// `count` readings of both sensors in turn, one every 10 ms from `from_ms` on.
fn readings(first_seq: u64, count: u64, from_ms: i64) -> Vec<Reading> {
    let times = (from_ms..).step_by(10);
    let one = |(seq, time_ms): (u64, i64)| {
        (
            seq,
            if seq % 2 == 0 { "a" } else { "b" },
            time_ms,
            f64::from(u32::try_from(seq % 97).expect("small")) / 8.0,
        )
    };
    (first_seq..first_seq + count).zip(times).map(one).collect()
}

fn now() -> i64 {
    Clock::system().wall_ms()
}

/// What was refused for good.
#[derive(Debug, Default)]
struct Refused {
    readings: Vec<u64>,
    /// Offers it took to find them.
    offers: usize,
    reasons: Vec<String>,
}

/// One life of the daemon, as far as this sink is concerned.
struct Process {
    service: AnySink,
    wire: Wire,
}

impl Process {
    /// One that found nothing in its log.
    fn start(url: &str) -> Self {
        Self::found(url, 0, "")
    }

    /// One that found so many readings in its log.
    fn found(url: &str, head: u64, rest: &str) -> Self {
        let text =
            format!("[[sink]]\nname = \"tsdb\"\nkind = \"prometheus\"\nurl = \"{url}\"\n{rest}");
        let config = Config::parse(&text, "test.toml").expect("a configuration");
        let sink: &Sink = &config.sinks[0];
        let endpoint = Endpoint { url: url.to_owned(), ..Endpoint::default() };
        let wire = Wire::default();
        let log = LogStatus { epoch: 1, head, ..LogStatus::default() };
        let log = tokio::sync::watch::channel(log).1;
        let service = connector(sink, &wire, &Clock::system(), log)(&endpoint);
        Self { service, wire }
    }

    async fn offer(&mut self, readings: &[Reading]) -> Result<(), SinkRefusal> {
        let offer = Offer(std::sync::Arc::new(batch(readings)));
        let sent = self.service.ready().await.expect("always ready").call(offer);
        tokio::time::timeout(Duration::from_secs(20), sent).await.expect("an answer").map(drop)
    }

    /// Divides what is refused, as the uploader does.
    async fn deliver(&mut self, readings: &[Reading]) -> Refused {
        let mut refused = Refused::default();
        let mut waiting = vec![readings];
        while let Some(part) = waiting.pop() {
            refused.offers += 1;
            match self.offer(part).await {
                Ok(()) => {}
                Err(SinkRefusal::Rejected { what, reason })
                    if what == Rejection::Time || part.len() == 1 =>
                {
                    refused.readings.extend(part.iter().map(|(seq, ..)| *seq));
                    refused.reasons.push(reason.to_string());
                }
                Err(SinkRefusal::Rejected { .. }) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    waiting.extend([right, left]);
                }
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
        refused
    }

    async fn accepts(&mut self, readings: &[Reading]) {
        let refused = self.deliver(readings).await;
        assert_eq!(refused.readings, Vec::<u64>::new(), "{refused:?}");
    }
}

#[tokio::test]
async fn every_sample_arrives_with_its_very_time_and_value() {
    for tsdb in [Tsdb::prometheus(), Tsdb::victoria_metrics()].into_iter().flatten() {
        let all = readings(1, 1000, now() - 60_000);
        let mut process = Process::start(&tsdb.url());
        for part in all.chunks(300) {
            process.offer(part).await.expect("it is taken");
        }
        assert_eq!(tsdb.holds(), held(all));
    }
}

#[tokio::test]
async fn numbers_that_are_not_finite_arrive_too() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    // The server is asked for what is not in the future.
    let now = now() - 1000;
    let odd = [
        (1, "a", now, f64::INFINITY),
        (2, "a", now + 1, f64::NEG_INFINITY),
        (3, "a", now + 2, f64::NAN),
    ];
    Process::start(&tsdb.url()).offer(&odd).await.expect("it is taken");
    let held = tsdb.holds().into_values().next().expect("a series");
    assert_eq!(held[..2], [(now, f64::INFINITY), (now + 1, f64::NEG_INFINITY)]);
    assert!(held[2].1.is_nan() && held.len() == 3);
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_there_once_however_it_is_offered_again() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    let cut = Act::ForwardAndCut(tsdb.address.clone());
    let proxy = Upstream::start([cut.clone()]);
    let mut process = Process::start(&write_url(&proxy.address));
    let all = readings(1, 400, now() - 60_000);
    // Unchanged, smaller, larger.
    for [sent, offered] in [[0..100, 0..100], [100..200, 100..110], [200..300, 110..400]] {
        proxy.turn_to(cut.clone());
        let lost = process.offer(&all[sent.clone()]).await.expect_err("nobody answers");
        assert!(matches!(lost, SinkRefusal::Retry { .. }), "{lost:?}");
        let again = process.offer(&all[sent]).await.expect_err("nobody answers again");
        assert!(matches!(again, SinkRefusal::Retry { .. }), "{again:?}");
        proxy.turn_to(Act::Forward(tsdb.address.clone()));
        process.offer(&all[offered]).await.expect("it is there");
    }
    assert_eq!(tsdb.holds(), held(all));
}

#[tokio::test]
async fn what_goes_back_in_a_batch_lost_on_the_way_is_not_taken_for_delivered() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    let proxy = Upstream::start([Act::Forward(tsdb.address.clone())]);
    let mut process = Process::start(&write_url(&proxy.address));
    let from = now() - 60_000;
    process.accepts(&readings(1, 100, from)).await;
    let mut next = readings(101, 100, from + 2000);
    next[50].2 = from + 5;
    proxy.turn_to(Act::Close);
    process.offer(&next).await.expect_err("it never arrives");
    proxy.turn_to(Act::Forward(tsdb.address.clone()));
    let refused = process.deliver(&next).await;
    assert_eq!(refused.readings, [151], "{refused:?}");
    let good = next.into_iter().filter(|(seq, ..)| *seq != 151);
    assert_eq!(tsdb.holds(), held(readings(1, 100, from).into_iter().chain(good)));
}

#[tokio::test]
async fn what_an_earlier_process_sent_is_found_there_and_what_it_did_not_is_sent() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    let all = readings(1, 1000, now() - 60_000);
    // The first life acknowledges nothing durably; the others each forget what came before.
    Process::start(&tsdb.url()).accepts(&all[..500]).await;
    for pieces in [10, 77, 400, 1000] {
        let mut process = Process::found(&tsdb.url(), 800, "");
        for part in all[..800].chunks(pieces) {
            process.accepts(part).await;
        }
        assert_eq!(tsdb.holds(), held(all[..800].to_vec()), "in pieces of {pieces}");
    }
    // The rest came after the start, and is in one batch with what came before.
    let mut process = Process::found(&tsdb.url(), 800, "");
    process.accepts(&all).await;
    assert_eq!(tsdb.holds(), held(all));
}

#[tokio::test]
async fn a_reading_that_goes_back_is_not_taken_for_one_that_an_earlier_process_sent() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    let from = now() - 60_000;
    let first = readings(1, 100, from);
    Process::start(&tsdb.url()).accepts(&first).await;
    let mut next = readings(101, 100, from + 2000);
    next[50].2 = from + 5;
    // Found in the log with what came before it unacknowledged; found alone; not found.
    let both: Vec<Reading> = first.iter().chain(&next).copied().collect();
    for (head, offered) in [(200, &both[..]), (200, &next[..]), (0, &next[50..51])] {
        let refused = Process::found(&tsdb.url(), head, "").deliver(offered).await;
        assert_eq!(refused.readings, [151], "{refused:?}");
    }
    next.remove(50);
    assert_eq!(tsdb.holds(), held(first.into_iter().chain(next)));
}

#[tokio::test]
async fn a_clock_set_back_before_a_restart_is_no_reason_to_take_readings_for_delivered() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    // Its clock was ten minutes fast; then it was set, and the daemon restarted.
    let fast = readings(1, 100, now() + 10 * 60_000);
    Process::start(&tsdb.url()).accepts(&fast).await;
    let right = readings(101, 100, now() - 60_000);
    let mut process = Process::found(&tsdb.url(), 200, "");
    let refused = process.deliver(&right).await;
    assert_eq!(refused.readings, (101..=200).collect::<Vec<_>>(), "{refused:?}");
    assert!(refused.offers < 5, "it was clear soon: {refused:?}");
}

#[tokio::test]
async fn a_reading_that_goes_back_in_time_is_refused_alone_and_for_its_time() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    let from = now() - 60_000;
    let mut process = Process::start(&tsdb.url());
    process.accepts(&readings(1, 100, from)).await;
    let mut next = readings(101, 100, from + 2000);
    next[20].2 = from + 5;
    next[71].2 -= 1990;
    let refused = process.deliver(&next).await;
    assert_eq!(refused.readings, [121, 172], "{refused:?}");
    assert!(refused.reasons.iter().all(|reason| reason.contains("out of order sample")));
    let good = next.into_iter().filter(|(seq, ..)| ![121, 172].contains(seq));
    assert_eq!(tsdb.holds(), held(readings(1, 100, from).into_iter().chain(good)));
}

#[tokio::test]
async fn another_value_of_a_time_that_is_taken_is_refused_and_the_same_one_is_not() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    let now = now();
    let mut process = Process::found(&tsdb.url(), 10, "");
    process.accepts(&[(1, "a", now, 1.0)]).await;
    process.accepts(&[(2, "a", now, 1.0)]).await;
    let refused = process.deliver(&[(3, "a", now, 2.0), (4, "a", now + 1, 3.0)]).await;
    assert_eq!(refused.readings, [3]);
    assert_eq!(
        refused.reasons,
        ["the server answered 400 Bad Request: duplicate sample for timestamp"]
    );
    assert_eq!(tsdb.holds(), held([(1, "a", now, 1.0), (4, "a", now + 1, 3.0)]));
}

#[tokio::test]
async fn an_outage_of_hours_is_refused_as_a_whole_and_what_is_fresh_enough_is_taken() {
    let Some(tsdb) = Tsdb::prometheus() else { return };
    // Somebody else's samples are what moves the server's times on.
    let other = Process::found(&tsdb.url(), 0, "metric_prefix = \"other_\"").offer_now().await;
    let mut process = Process::start(&tsdb.url());
    let old = readings(1, 3000, other - 5 * HOUR);
    let fresh = readings(3001, 3000, other - HOUR / 2);
    let all: Vec<Reading> = old.into_iter().chain(fresh.clone()).collect();
    let mut offers = 0;
    let mut refused = Vec::new();
    for part in all.chunks(700) {
        let part = process.deliver(part).await;
        offers += part.offers;
        refused.extend(part.readings);
    }
    assert_eq!(refused, (1..=3000).collect::<Vec<_>>());
    assert!(offers < 60, "{offers} offers");
    let mut found = tsdb.holds();
    found.retain(|labels, _| !labels.contains("other_"));
    assert_eq!(found, held(fresh));
    assert!(process.wire.total() > 0);
}

impl Process {
    /// One sample of this moment.
    async fn offer_now(mut self) -> i64 {
        let now = now();
        self.offer(&[(1, "a", now, 1.0)]).await.expect("it is taken");
        now
    }
}

#[tokio::test]
async fn a_server_that_takes_readings_out_of_order_gets_them_and_repeats_do_no_harm() {
    let Some(tsdb) = Tsdb::prometheus_with("    out_of_order_time_window: 2h\n") else { return };
    let from = now() - HOUR;
    let mut process = Process::start(&tsdb.url());
    let (early, late) = (readings(101, 100, from), readings(1, 100, from + HOUR / 2));
    process.accepts(&late).await;
    process.accepts(&early).await;
    Process::start(&tsdb.url()).accepts(&late).await;
    let all: Vec<Reading> = early.into_iter().chain(late).collect();
    assert_eq!(tsdb.holds(), held(all.clone()));
    // Version 2.42 says of what is before its window that it is in trouble itself.
    let refused = process.deliver(&readings(201, 50, from - 3 * HOUR)).await;
    assert_eq!(refused.readings, (201..=250).collect::<Vec<_>>());
    assert_eq!(refused.offers, 1, "as a whole");
    assert!(refused.reasons[0].contains("too old sample"), "{refused:?}");
    // One among others is found.
    let mut mixed = readings(301, 20, from + HOUR / 2 + 5000);
    mixed[7].2 = from - 3 * HOUR;
    let refused = process.deliver(&mixed).await;
    assert_eq!(refused.readings, [308], "{refused:?}");
    mixed.remove(7);
    assert_eq!(tsdb.holds(), held(all.into_iter().chain(mixed)));
}
