//! The wall clock is stepped by years, in both directions, while the daemon runs.

use crate::machine::arrived::arrives;
use crate::machine::board::reading;

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn a_stepped_clock_stops_no_timer_and_loses_or_reorders_no_reading() {
    let (_site, collector, board, mut sensor) = reading();
    let mut said = vec![sensor.say(100)];
    arrives(&collector, &said);
    for step in ["+4 years", "-3 years", "-20 years", "+19 years"] {
        board.run(&format!("date -s \"$(date -d '{step}' '+%F %T')\""));
        said.push(sensor.say(100));
        arrives(&collector, &said);
        assert_eq!(board.run("systemctl is-active outstation").trim(), "active", "{step}");
    }
    // Neither systemd nor its watchdog thought that it hung.
    let restarts = board.run("systemctl show -p NRestarts --value outstation");
    assert_eq!(restarts.trim(), "0");
}
