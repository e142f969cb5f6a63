//! The cable is pulled, and comes back elsewhere. (Not while it carries data: this qemu ends then. The
//! tests with pseudo-terminals do that.)

use crate::board::{BY_ID, Board};
use crate::collector::Collector;
use crate::disk::Disk;
use crate::package::arrives;
use crate::site::Site;

#[test]
#[ignore = "boots a virtual board: run tests/board/run"]
fn a_replugged_adapter_is_found_under_whatever_number_it_gets() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let board = Board::boot(Disk::installed());
    board.start(&collector, "");
    let mut sensor = board.sensor();
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
