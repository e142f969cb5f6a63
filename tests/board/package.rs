//! A technician's first hour, and what a package owes to whoever upgrades or removes it.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use crate::board::{Board, PATIENCE};
use crate::collector::Collector;
use crate::disk::Disk;
use crate::site::{Site, eventually_within};
use crate::tsdb::Tsdb;

/// What the collector has of the sensor, in the order in which it was stored.
pub(crate) fn numbers(collector: &Collector) -> Vec<u64> {
    let cells = collector.values("probe").into_iter();
    cells.map(|cells| cells["v"].as_u64().expect("a number")).collect()
}

/// Waits until everything that was said has arrived: each number once, in order.
pub(crate) fn arrives(collector: &Collector, said: &[Range<u64>]) {
    let said: Vec<u64> = said.iter().cloned().flatten().collect();
    let unique = || collector.stats()["unique"].as_u64().unwrap_or(0);
    eventually_within(PATIENCE, "all of it arrived", unique, |count| *count >= said.len() as u64);
    assert_eq!(numbers(collector), said);
}

/// A Prometheus on the LAN has what the board counts.
fn graphed(board: &Board, accepted: u64) {
    let config = format!(
        "scrape_configs:\n- job_name: outstation\n  scrape_interval: 1s\n  static_configs:\n  \
         - targets: [\"{}\"]\n",
        board.local_port
    );
    let prometheus = Tsdb::scraping(&config).expect("Prometheus is installed");
    let value = || {
        let series = prometheus.series("outstation_readings_accepted_total and on() up == 1");
        series.first().map_or(Value::Null, |one| one["value"][1].clone())
    };
    eventually_within(PATIENCE, "it is in Prometheus", value, |value| {
        value.as_str().and_then(|value| value.parse().ok()) == Some(accepted)
    });
}

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn a_package_is_installed_configured_upgraded_removed_and_purged() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let board = Board::boot(Disk::bare());
    board.run("apt-get install -y /packages/old/*.deb");
    assert_eq!(board.run("systemctl is-active outstation").trim(), "active");
    assert_eq!(board.run("systemctl is-enabled outstation").trim(), "enabled");
    // Nothing configured yet, and said so.
    board.run("outstation check");
    board.configure(&collector, "");
    board.run("outstation check");
    board.run("systemctl restart outstation");
    board.reads();
    let mut sensor = board.sensor();
    let first = sensor.say(300);
    arrives(&collector, std::slice::from_ref(&first));
    let status = board.run("systemctl status outstation");
    assert!(status.contains("pending"), "{status}");
    let advice = board.run("journalctl -xu outstation --no-pager");
    assert!(advice.contains("Next: "), "{advice}");
    graphed(&board, 300);

    // A backlog survives an upgrade, and the service runs the new program.
    let address = collector.away();
    let second = sensor.say(200);
    board.stored(500);
    let before = board.run("systemctl show -p MainPID --value outstation");
    board.run("apt-get install -y /packages/new/*.deb");
    let after = board.run("systemctl show -p MainPID --value outstation");
    assert_ne!(before, after, "the service was restarted");
    board.reads();
    board.sees("the backlog is there", |status| status["ledger"]["pending"] == 200);
    let collector = Collector::start_at(&site, &address, &[]);
    let third = sensor.say(100);
    arrives(&collector, &[first.clone(), second.clone(), third.clone()]);

    // Removed, the log stays; installed again, it goes on where it was.
    board.run("apt-get remove -y outstation");
    let (code, _) = board.attempt("systemctl is-active outstation");
    assert_ne!(code, 0);
    board.run("test -s /var/lib/outstation/log.db && test -s /etc/outstation/outstation.toml");
    board.run("apt-get install -y /packages/new/*.deb");
    board.reads();
    let fourth = sensor.say(100);
    arrives(&collector, &[first, second, third, fourth]);

    board.run("apt-get purge -y outstation");
    let left = board.run("find / -xdev -name '*outstation*' -not -path '/proc/*' -not -path '/var/lib/dpkg/*' -not -path '/var/log/*' -not -path '/packages/*'");
    let left: BTreeSet<_> = left.lines().filter(|path| !path.is_empty()).collect();
    assert_eq!(left, BTreeSet::new());
}
