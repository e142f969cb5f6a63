//! The cable is pulled, and comes back elsewhere. (Not while it carries data: this qemu ends then. The
//! tests with pseudo-terminals do that.)

use crate::machine::arrived::arrives;
use crate::machine::board::{BY_ID, reading};

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn a_replugged_adapter_is_found_under_whatever_number_it_gets() {
    let (_site, collector, board, mut sensor) = reading();
    let mut said = vec![sensor.say(500)];
    arrives(&collector, &said);

    board.unplug();
    board.sees("the port is gone", |status| status["ports"][0]["state"] != "open");
    board.plug();
    board.reads();
    said.push(sensor.say(500));
    arrives(&collector, &said);

    board.unplug();
    board.plug_another();
    board.plug();
    board.reads();
    assert_eq!(board.run(&format!("readlink -f {BY_ID}")).trim(), "/dev/ttyUSB1");
    said.push(sensor.say(500));
    arrives(&collector, &said);
}
