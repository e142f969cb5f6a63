//! A technician's first hour, and what a package owes to whoever upgrades or removes it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::kit::collector::Collector;
use crate::kit::site::Site;
use crate::kit::tsdb::Tsdb;
use crate::kit::wait::eventually_within;
use crate::machine::arrived::arrives;
use crate::machine::board::{BY_ID, Board, PATIENCE};
use crate::machine::disk::Disk;

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

/// As a technician does it: the file that ships, with what differs uncommented, changed and added.
fn edit(board: &Board, collector: &Collector) {
    let (file, shipped, edited) =
        ("/etc/outstation/outstation.toml", "/tmp/shipped.toml", "/tmp/edited.toml");
    board.run(&format!("cp {file} {shipped}"));
    board.configure(collector, "");
    let id = r#"s/^#: id = .*/id = "site"/"#;
    let listen = r#"s/^listen = .*/listen = "0.0.0.0:9437"/"#;
    board.run(&format!("sed -e '{id}' -e '{listen}' {shipped} >{edited}"));
    board.run(&format!(r"sed -n '/^\[\[port/,$p' {file} >>{edited} && cp {edited} {file}"));
}

/// `outstation check` names every mistake at once.
fn mistakes_are_named(board: &Board) {
    let text = "[device]\nid = \"pump 7\"\n[log]\ncommit_intervall = \"1s\"\n";
    board.write("/tmp/mistakes.toml", text);
    let (code, said) = board.attempt("outstation check --config /tmp/mistakes.toml");
    let both = ["line 2: device.id", "line 4: log.commit_intervall"];
    assert!(code == 78 && both.iter().all(|mistake| said.contains(mistake)), "{code}: {said}");
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
    // It waits to be told what to read.
    let said = board.run("outstation check --quiet");
    assert!(said.contains("there is no [[port]]: nothing will be read"), "{said}");
    let names = board.run("ls /dev/serial/by-id/");
    assert_eq!(names.trim(), BY_ID.trim_start_matches("/dev/serial/by-id/"));
    mistakes_are_named(&board);
    edit(&board, &collector);
    board.run("outstation check");
    board.run("systemctl restart outstation");
    board.reads();
    let status = board.run("outstation status");
    let is_open = |line: &str| line.starts_with("port probe ") && line.contains(" open ");
    assert!(status.lines().any(is_open), "{status}");
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
    let upgrade = "apt-get -o Dpkg::Options::=--force-confold install -y /packages/new/*.deb";
    board.run(upgrade);
    // With the configuration that is there; the one that ships is beside it.
    let folder = "/etc/outstation";
    board.run(&format!("grep -q probe {folder}/outstation.toml"));
    board.run(&format!("grep -q 'comment that is new' {folder}/outstation.toml.dpkg-dist"));
    let after = board.run("systemctl show -p MainPID --value outstation");
    assert_ne!(before, after, "the service was restarted");
    board.reads();
    board.sees("the backlog is there", |status| status["ledger"]["pending"] == 200);
    let collector = Collector::start_at(&site, &address);
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
