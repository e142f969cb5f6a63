//! The network goes and comes back, and is bad.

use crate::machine::arrived::arrives;
use crate::machine::board::reading;

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn a_network_that_goes_or_loses_packets_delays_and_loses_no_reading() {
    let (_site, collector, board, mut sensor) = reading();
    let wire = board.run("ls /sys/class/net | grep -v lo");
    let wire = wire.trim();
    let mut said = vec![sensor.say(200)];
    arrives(&collector, &said);

    board.run(&format!("ip link set {wire} down"));
    said.push(sensor.say(200));
    // Nobody outside can ask it now.
    let stored = "outstation status --json | grep -q '\"stored\":400'";
    board.waits_until(stored);
    board.run(&format!("ip link set {wire} up"));
    arrives(&collector, &said);

    board.run(&format!("tc qdisc add dev {wire} root netem delay 300ms 100ms loss 20%"));
    for _ in 0..5 {
        said.push(sensor.say(200));
    }
    arrives(&collector, &said);
}
