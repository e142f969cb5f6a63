//! What systemd does with it.

use crate::kit::collector::Collector;
use crate::kit::site::Site;
use crate::machine::arrived::arrives;
use crate::machine::board::Board;
use crate::machine::disk::Disk;

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn it_starts_without_network_ports_and_clock() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let board = Board::boot(Disk::installed());
    board.run("systemctl stop outstation");
    board.run("ip link set $(ls /sys/class/net | grep -v lo) down; date -s '1970-01-02 00:00:00'");
    board.unplug();
    board.configure(&collector, "");
    // Returns once it is ready.
    board.run("systemctl start outstation");
    assert_eq!(board.run("systemctl is-active outstation").trim(), "active");
    let mut sensor = board.sensor();
    board.plug();
    board.waits_until("outstation status | grep -q '^port probe *open'");
    let said = [sensor.say(50)];
    board.waits_until("outstation status --json | grep -q '\"stored\":50'");
    board.run("date -s '2026-11-21 12:00:00'; ip link set $(ls /sys/class/net | grep -v lo) up");
    arrives(&collector, &said);
    let level = board.run("systemd-analyze security --no-pager outstation | tail -1");
    let level: f64 = level
        .split(": ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .and_then(|n| n.parse().ok())
        .expect("a level");
    assert!(level <= 1.5, "{level}");
}
