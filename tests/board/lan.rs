//! An attacker on the network, while the service manager bounds the daemon's memory.

use std::io::Write as _;

use crate::kit::attacks::unencrypted;
use crate::kit::wait::eventually_within;
use crate::machine::arrived::arrives;
use crate::machine::board::{Board, PATIENCE, reading};

/// As the technician at the board gets them.
fn metrics(board: &Board) -> String {
    let request = "GET /metrics HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n";
    board.run(&format!(
        "exec 3<>/dev/tcp/127.0.0.1/9437 && printf '{request}' >&3 && cat <&3; exec 3>&-"
    ))
}

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn whatever_is_done_to_the_port_readings_arrive_and_the_ceiling_holds() {
    let (_site, collector, board, mut sensor) = reading();
    let target = board.local_port.parse().expect("an address");
    let mut said = Vec::new();
    for attack in unencrypted() {
        let counted = || attack.counted(&metrics(&board));
        let before = counted();
        let held = attack.begin(target);
        said.push(sensor.say(200));
        // While the attacker holds on.
        arrives(&collector, &said);
        let now = eventually_within(PATIENCE, attack.name, counted, |now| *now > before);
        let (name, connections) = (attack.name, held.len());
        drop(writeln!(
            std::io::stderr().lock(),
            "{name}: {connections} connections, {} counted",
            now - before
        ));
    }
    let spoken = said.last().expect("attacks").end;
    let status = board.sees("it answers", |status| status["ledger"]["delivered"] == spoken);
    assert_eq!(status["ledger"]["balanced"], true, "{status}");
    board.kept_its_ceiling();
}
