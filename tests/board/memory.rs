//! Under its ceiling of 32 MB: idle, at 1,000 readings a second, and with a million pending.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use crate::kit::collector::Collector;
use crate::kit::site::{Site, json_port, sink};
use crate::kit::wait::eventually_within;
use crate::machine::board::Board;
use crate::machine::disk::Disk;
use crate::machine::sensor;

const MILLION: u64 = 1_000_000;
/// `MemoryMax=` of the unit.
const CEILING_KIB: u64 = 32 << 10;

/// Leaves a log with a million readings that nobody took, written on this machine.
fn backlog(site: &Site) {
    let mut line = site.plug("tty");
    let daemon = site.start(&(json_port(&line) + &sink("127.0.0.1:9", "")));
    for n in (0..MILLION).step_by(1_000) {
        line.send((n..n + 1_000).map(sensor::line).collect::<String>());
    }
    daemon.stored(MILLION);
    daemon.stop();
}

/// Of the daemon on the board, in KiB.
fn resident(board: &Board, when: &str) -> u64 {
    let status = board.run("cat /proc/$(systemctl show -p MainPID --value outstation)/status");
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    let (now, most) = (kib("VmRSS:"), kib("VmHWM:"));
    drop(writeln!(std::io::stderr().lock(), "resident {when}: {now} KiB, at most {most} KiB"));
    most
}

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn a_million_readings_pending_fit_under_the_ceiling() {
    let site = Site::new();
    backlog(&site);
    let size = std::fs::metadata(site.log()).expect("the log is there").len();
    let drive = format!("if=none,id=log,format=raw,readonly=on,file={}", site.log().display());
    let words = ["-drive", &drive, "-device", "virtio-blk-pci,drive=log"];
    let board = Board::boot_with(Disk::installed(), &words);

    let receiver = Site::new();
    let collector = Collector::start(&receiver);
    board.start(&collector, "");
    let mut sensor = board.sensor();
    resident(&board, "idle");
    for _ in 0..100 {
        sensor.say(100);
        thread::sleep(Duration::from_millis(100));
    }
    board.stored(10_000);
    resident(&board, "at 1,000 readings a second");
    let unique = || collector.stats()["unique"].as_u64().unwrap_or(0);
    eventually_within(crate::machine::board::PATIENCE, "all arrived", unique, |count| {
        *count == 10_000
    });
    let address = collector.away();

    board.run("systemctl stop outstation");
    let log = "/var/lib/outstation/log.db";
    board.run(&format!("rm {log}* && head -c {size} /dev/vdc > {log}"));
    board.run(&format!("chmod 600 {log} && chown --reference=/var/lib/outstation/ {log}"));
    board.run("systemctl start outstation");
    board.reads();
    board.sees("a million are pending", |status| status["ledger"]["pending"] == MILLION);
    sensor.say(1_000);
    board.stored(MILLION + 1_000);
    resident(&board, "with a million pending");
    let receiver = Site::new();
    let collector = Collector::start_at(&receiver, &address);
    let unique = || collector.stats()["unique"].as_u64().unwrap_or(0);
    let all = |count: &u64| *count == MILLION + 1_000;
    eventually_within(crate::machine::board::PATIENCE, "a million arrived", unique, all);
    let most = resident(&board, "after a million were delivered");
    assert!(most < CEILING_KIB, "{most} KiB");
    board.kept_its_ceiling();
}
