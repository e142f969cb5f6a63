//! One log, four receivers of four kinds, and everything that can happen to any of them at once.
//!
//! ```text
//!                            ┌▶ link ▶ `outstation collect`
//!  Line ─pty▶ `outstation run` ▶ link ▶ Mosquitto ▶ a subscriber
//!                            ├▶ link ▶ Prometheus
//!                            └▶ link ▶ nats-server
//! ```
//!
//! Invariant checked: whatever is killed, cut, stopped or unplugged, in the end every receiver holds
//! exactly the readings that were accepted, each with its time and values.
//! `OUTSTATION_TEST_DEEP=1` makes it an hour.

use std::ops::Range;
use std::time::{Duration, Instant};

use outstation::clock::Clock;
use outstation::domain::model::boots::rfc3339;
use serde_json::{Value, json};

use crate::kit::chance::{is_deep, rng};
use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::line::Line;
use crate::kit::mosquitto::{Broker, Subscriber};
use crate::kit::proxy::{End, Flow, Plan, Proxy};
use crate::kit::site::{Site, port};
use crate::kit::tsdb::{Tsdb, write_url};
use crate::kit::wait::eventually_within;
use crate::nats::server::{NatsServer, installed};

/// Between ten lines and the next: a hundred a second.
const PAUSE: Duration = Duration::from_millis(100);
/// Breakers may have begun a long wait before the faults end.
const PATIENCE: Duration = Duration::from_secs(600);

fn length() -> Duration {
    Duration::from_secs(if is_deep() { 3600 } else { 30 })
}

#[expect(clippy::print_stdout, reason = "shown when a test fails, or with --nocapture")]
fn note(text: &str) {
    println!("{text}");
}

/// What becomes of one connection: most end some time, not always in good order.
fn plan(rng: &mut fastrand::Rng) -> Plan {
    let end = [End::Cut, End::HalfClose, End::Swallow][rng.usize(..3)];
    let ending = |rng: &mut fastrand::Rng| Flow::ending(rng.usize(100..200_000), end);
    let slow = |rng: &mut fastrand::Rng| Flow {
        piece: rng.usize(200..4000),
        pause: Duration::from_millis(rng.u64(1..50)),
        end: None,
    };
    match rng.u8(..6) {
        0 | 1 => Plan { requests: ending(rng), ..Plan::default() },
        2 => Plan { answers: ending(rng), ..Plan::default() },
        3 => Plan { requests: slow(rng), answers: slow(rng) },
        _ => Plan::default(),
    }
}

/// In the order of the sinks.
const COLLECTOR: usize = 0;
const MOSQUITTO: usize = 1;
const PROMETHEUS: usize = 2;
const NATS: usize = 3;
const NAMES: [&str; 4] = ["collector", "broker", "metrics", "plant"];

struct Receivers {
    collector: Option<Collector>,
    broker: Broker,
    subscriber: Subscriber,
    tsdb: Tsdb,
    nats: NatsServer,
    addresses: [String; 4],
    links: [Proxy; 4],
}

impl Receivers {
    fn start(site: &Site, rng: &mut fastrand::Rng) -> Option<Self> {
        let (broker, tsdb) = (Broker::start(site)?, Tsdb::prometheus()?);
        if !installed() {
            return None;
        }
        let subscriber = Subscriber::start(site, &broker, &[]);
        let nats = NatsServer::start(site, &[]).with_stream(&json!({}));
        let collector = Collector::start(site);
        let addresses = [
            collector.address.clone(),
            broker.address.clone(),
            tsdb.address.clone(),
            nats.address.clone(),
        ];
        let links = addresses.each_ref().map(|address| {
            let mut rng = rng.fork();
            Proxy::start(address, move |_| plan(&mut rng))
        });
        Some(Self { collector: Some(collector), broker, subscriber, tsdb, nats, addresses, links })
    }

    fn sinks(&self) -> String {
        let at = |which: usize| &self.links[which].address;
        let rows = [
            ("http", format!("http://{}/v1/readings", at(COLLECTOR))),
            ("mqtt", format!("mqtt://{}", at(MOSQUITTO))),
            ("prometheus", write_url(at(PROMETHEUS))),
            ("nats", format!("nats://{}", at(NATS))),
        ];
        let sink = |(name, (kind, url)): (&str, (&str, String))| {
            format!(
                "[[sink]]\nname = \"{name}\"\nkind = \"{kind}\"\nurl = \"{url}\"\n\
                 timeout = \"1s\"\n"
            )
        };
        NAMES.into_iter().zip(rows).map(sink).collect()
    }

    /// As the OOM killer ends it.
    fn kill(&mut self, site: &Site, which: usize) {
        match which {
            COLLECTOR => drop(self.collector.take()),
            MOSQUITTO => {
                // It acknowledges what it only has in memory. What it forgets then nobody could
                // deliver, so it hears no more of us and saves what it has before it dies.
                self.links[MOSQUITTO].close();
                self.broker.saved();
                self.broker.kill();
            }
            PROMETHEUS => self.tsdb.kill(),
            NATS => self.nats.kill(),
            _ => unreachable!("four receivers at {:?}", site.log()),
        }
    }

    fn revive(&mut self, site: &Site, which: usize) {
        match which {
            COLLECTOR => {
                let address = &self.addresses[COLLECTOR];
                self.collector = Some(Collector::start_at(site, address));
            }
            MOSQUITTO => {
                self.broker.start_again();
                self.links[MOSQUITTO].open();
            }
            PROMETHEUS => self.tsdb.restart(),
            NATS => self.nats.restart(),
            _ => unreachable!("four receivers at {:?}", site.log()),
        }
    }

    /// Something happens to some of them, or to the way there.
    fn strike(&mut self, site: &Site, rng: &mut fastrand::Rng) {
        std::thread::sleep(Duration::from_millis(rng.u64(..1500)));
        let hit: Vec<usize> = (0..NAMES.len()).filter(|_| rng.u8(..3) == 0).collect();
        let kills = rng.bool();
        // Mostly short, sometimes long enough for a backlog and long waits.
        let away = if rng.u8(..8) == 0 { 8000 } else { 1500 };
        for &which in &hit {
            if kills { self.kill(site, which) } else { self.links[which].cut() }
        }
        if kills {
            std::thread::sleep(Duration::from_millis(rng.u64(..away)));
            hit.iter().for_each(|which| self.revive(site, *which));
        }
    }
}

/// Lines whose times are those at which they are sent, each later than the one before.
struct Sensor {
    clock: Clock,
    next: u64,
    last_ms: i64,
}

impl Sensor {
    fn lines(&mut self, count: u64) -> String {
        let mut text = String::new();
        for n in self.next..self.next + count {
            self.last_ms = self.clock.wall_ms().max(self.last_ms + 1);
            text.push_str(&format!(
                "{}\n",
                json!({"ts": self.last_ms, "n": n, "half": n as f64 / 2.0})
            ));
        }
        self.next += count;
        text
    }
}

/// A reading as every receiver must hold it: its number, time and values.
type Reading = (u64, String, Value);

fn of_json(object: &Value) -> Reading {
    let time = object["time"].as_str().expect("a time").to_owned();
    (object["seq"].as_u64().expect("a number"), time, object["values"].clone())
}

fn by_collector(collector: &Collector) -> (Vec<Reading>, Vec<i64>) {
    let rows = collector.rows();
    let times = rows.iter().map(|row| row.time_ms).collect();
    let reading = |row: crate::kit::collector::Row| {
        (row.seq.unsigned_abs(), rfc3339(row.time_ms).to_string(), row.cells)
    };
    (rows.into_iter().map(reading).collect(), times)
}

/// Says the first difference: all of them would fill the screen for hours.
fn assert_same(whose: &str, found: &[Reading], expected: &[Reading]) {
    let same = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    assert_eq!(found.get(same), expected.get(same), "{whose}, after {same} that are right");
}

/// Waits until every reading that was accepted is delivered to all; how many these are.
fn settled(daemon: &Daemon) -> u64 {
    let done = |status: &Value| {
        let ledger = &status["ledger"];
        ledger["balanced"] == true
            && ["stored", "delivered"].iter().all(|name| ledger[name] == ledger["accepted"])
    };
    eventually_within(PATIENCE, "all is delivered", || daemon.status(), done);
    let count = daemon.status()["ledger"]["accepted"].as_u64().expect("a count");
    daemon.delivered(count);
    count
}

#[test]
fn every_receiver_holds_exactly_what_was_accepted_whatever_happens_to_any() {
    let mut rng = rng();
    let site = Site::committing("300ms");
    let Some(mut receivers) = Receivers::start(&site, &mut rng) else { return };
    let sinks = receivers.sinks();
    let config = |line: &Line| {
        let keys = "framing = \"lines\"\nformat = \"json\"\ntime_key = \"ts\"\ntime_unit = \"ms\"";
        port("text", line.path(), keys) + &sinks
    };
    let mut sensor = Sensor { clock: Clock::system(), next: 0, last_ms: 0 };
    let (mut running, mut kills, mut stops, mut unplugged) = (None, 0, 0, 0);
    let end = Instant::now() + length();
    while Instant::now() < end {
        let mut line = site.plug("text");
        let daemon = running.take().unwrap_or_else(|| site.start(&config(&line)));
        let ten = |numbers: Range<u64>| sensor.lines(numbers.end - numbers.start);
        line.speak(PAUSE, ten, || {
            (0..rng.u8(1..4)).for_each(|_| receivers.strike(&site, &mut rng));
        });
        match rng.u8(..5) {
            0..=1 => {
                kills += 1;
                daemon.kill();
            }
            2 => {
                stops += 1;
                daemon.stop();
            }
            _ => {
                unplugged += 1;
                running = Some(daemon);
            }
        }
    }
    drop(running);
    receivers.links.iter().for_each(Proxy::calm);
    receivers.links.iter().for_each(Proxy::cut);
    let mut line = site.plug("text");
    let daemon = site.start(&config(&line));
    line.send(sensor.lines(1));
    let collector = receivers.collector.as_ref().expect("it is there");
    let newest = || collector.newest().and_then(|values| values["n"].as_u64()).unwrap_or(0);
    let last = sensor.next - 1;
    eventually_within(PATIENCE, "the last line has arrived", newest, |newest| *newest == last);
    let count = settled(&daemon);
    note(&format!(
        "{} sent, {count} accepted; {kills} kills, {stops} stops, {unplugged} unplugged",
        sensor.next
    ));

    let repeats = collector.holds(count);
    let (held, times) = by_collector(collector);
    let numbers: Vec<u64> = held.iter().filter_map(|(_, _, values)| values["n"].as_u64()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "each was sent once, in this order");
    assert_eq!((numbers.len() as u64, numbers.last()), (count, Some(&last)));

    let (again, seen) = receivers.subscriber.holds(count);
    assert_same("mqtt", &seen.iter().map(of_json).collect::<Vec<_>>(), &held);

    let stored = receivers.nats.client().consume();
    let mut stored: Vec<_> = stored
        .iter()
        .filter(|one| one.body["seq"].is_u64())
        .map(|one| of_json(&one.body))
        .collect();
    stored.sort_by_key(|reading| reading.0);
    assert_same("nats", &stored, &held);

    let mut series = receivers.tsdb.holds();
    let mut points =
        |name: &str| series.remove(&format!("__name__={name},device=site,port=text,sensor=text"));
    let values = |name: &str| -> Vec<(i64, f64)> {
        let value = |reading: &Reading| reading.2[name].as_f64().expect("a number");
        times.iter().copied().zip(held.iter().map(value)).collect()
    };
    assert_eq!((points("n"), points("half")), (Some(values("n")), Some(values("half"))));
    assert!(series.is_empty(), "{:?}", series.keys());
    note(&format!("{repeats} repeats at the collector, {again} by mqtt"));
    daemon.stop();
}
