//! The cable is pulled, and comes back elsewhere.

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

    // Unplugged while it speaks: what is missing are neighbours, and they are counted.
    let torn = sensor.say(2_000);
    board.unplug();
    board.plug();
    board.reads();
    let last = sensor.say(1);
    let status = board.sees("the last number is there", |_| {
        crate::package::numbers(&collector).last() == Some(&last.start)
    });
    let numbers = crate::package::numbers(&collector);
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "each once and in order");
    let (had, all) = (numbers.len() as u64, torn.end + 1);
    assert_eq!(status["ledger"]["balanced"], true);
    assert_eq!(status["ports"][0]["faults"]["sequence_gap"].as_u64().unwrap_or(0) > 0, had < all);
}
