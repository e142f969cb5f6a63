//! A sensor on the far end of the board's serial cable: numbered readings as JSON lines.

use std::io::Write;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What it has said is known: the numbers from zero to `next`.
#[derive(Debug)]
pub(crate) struct Sensor {
    cable: UnixStream,
    next: u64,
}

pub(crate) fn line(n: u64) -> String {
    format!("{{\"sensor\":\"probe\",\"n\":{n},\"v\":{n}}}\n")
}

impl Sensor {
    pub(crate) fn at(cable: &Path) -> Self {
        Self { cable: UnixStream::connect(cable).expect("connect the cable"), next: 0 }
    }

    /// Says the next `count` numbers; waits while the cable is full. Which they were.
    pub(crate) fn say(&mut self, count: u64) -> Range<u64> {
        let said = self.next..self.next + count;
        for n in said.clone() {
            self.cable.write_all(line(n).as_bytes()).expect("write to the cable");
        }
        self.next = said.end;
        said
    }
}
