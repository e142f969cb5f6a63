//! A metered link from outside: what its limits hold back waits, and alarms leave all the same.

use std::time::{Duration, SystemTime};

use crate::kit::collector::Collector;
use crate::kit::readings::{json, json_lines};
use crate::kit::site::{Site, json_port, sink};
use crate::kit::upstream::{Upstream, answer};
use crate::kit::wait::eventually;

const ABOVE_1000: &str = "[[alarm]]\nport = \"text\"\nchannel = \"n\"\nabove = 1000\n";

/// With this in its sink it sends until it is held back for `why`, and then nothing but alarms.
fn only_alarms_leave(limit: &str, why: &str) {
    let site = Site::new();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let rest = format!("events = false\nencoding = \"json\"\ncompression = \"none\"\n{limit}");
    let daemon = site.start(&(json_port(&line) + ABOVE_1000 + &sink(&collector.address, &rest)));
    let mut sent = 0;
    let more = || {
        line.send(json_lines(sent..sent + 50));
        sent += 50;
        daemon.stored(sent);
        daemon.sink()
    };
    eventually("it is held back", more, |sink| sink["held_back"] == why);
    // What was under way is over by then.
    let arrived = collector.stats()["unique"].as_u64().expect("a count");
    assert!(arrived < sent, "the last ones were held back");
    line.send(json_lines(1001..1002));
    let sent = sent + 1;
    daemon.stored(sent);
    let all = || collector.stats()["unique"].clone();
    eventually("the alarm is there", all, |unique| *unique == arrived + 1);
    let values = collector.values("text");
    assert_eq!(values.last(), Some(&json(1001)));
    assert_eq!(daemon.status()["ledger"]["stored"], sent);
    daemon.stop();
}

#[test]
fn when_the_budget_is_spent_only_alarms_leave() {
    only_alarms_leave("budget = 10000\nbudget_period = \"month\"", "budget_spent");
}

#[test]
fn in_quiet_hours_only_alarms_leave() {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let at = |minute: u64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    let (day, now) = (24 * 60, since.as_secs() / 60 % (24 * 60));
    let hours = format!("quiet_hours = \"{}-{}\"", at(now + day - 60), at(now + day + 60));
    only_alarms_leave(&hours, "quiet_hours");
}

#[test]
fn a_request_waits_until_the_bytes_of_the_one_before_are_paid_back() {
    const RATE: u64 = 100;
    let site = Site::new();
    let upstream = Upstream::start([answer("200 OK", "", "")]);
    let mut line = site.plug("text");
    let rest = format!("events = false\nmax_rate = {RATE}");
    let daemon = site.start(&(json_port(&line) + &sink(&upstream.address, &rest)));
    line.send(json_lines(0..1));
    upstream.asked(1);
    line.send(json_lines(1..2));
    let requests = upstream.asked(2);
    let first = &requests[0];
    let headers = first.headers.iter().map(|(name, value)| name.len() + value.len());
    let bytes = (first.line.len() + headers.sum::<usize>() + first.body.len()) as u64;
    assert!(bytes > 2 * RATE, "{bytes} bytes");
    let waited = requests[1].at - first.at;
    // A second's worth may have been saved up before the first.
    let least = Duration::from_millis((bytes - RATE) * 1000 / RATE);
    assert!(waited >= least, "{waited:?} after {bytes} bytes");
    daemon.stop();
}
