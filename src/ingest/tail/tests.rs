//! Tails in real files, and a port whose process is killed at any instant.
//!
//! Invariants checked: what was decoded before a kill is stored exactly once after it; the account balances
//! in every commit and equals the position in the stream; the files keep their bound.

use outstation_codec::Value;
use proptest::prelude::*;

use super::path::{BYTES_MAX, FILE_BYTES_MIN};
use super::*;
use crate::domain::model::ledger::{Books, Intake};
use crate::protocols::Outbox;
use crate::test_kit::config::decoder;

fn lines() -> Decoder {
    decoder("framing = \"lines\"\nformat = \"key-value\"\nline_max = 100")
}

fn frames() -> Decoder {
    decoder("framing = \"postcard\"")
}

fn life() -> Life {
    Life { epoch: 1, boot: "boot".into() }
}

fn tail_path(folder: &Path) -> TailPath {
    TailPath::new(folder, Path::new("/somewhere/log.db"), "p", Bound::default())
}

fn tail(folder: &Path) -> Tail {
    Tail::new("p", tail_path(folder), life())
}

fn size(folder: &Path, name: &str) -> u64 {
    let path = tail_path(folder).file(name);
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

fn chunk(position: u64, at_ms: i64, bytes: &[u8]) -> Chunk<'_> {
    Chunk { position, at_ms, bytes }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A port with its tail, and a log that commits on request.
struct Site {
    folder: tempfile::TempDir,
    fresh: fn() -> Decoder,
    tail: Tail,
    decoder: Decoder,
    outbox: Outbox,
    position: u64,
    now_ms: i64,
    /// The hand-overs that are not committed yet.
    under_way: Vec<(Vec<i64>, Intake)>,
    books: Books,
    stored: Vec<i64>,
}

impl Site {
    fn new(fresh: fn() -> Decoder) -> Self {
        let folder = folder();
        Self {
            fresh,
            tail: tail(folder.path()),
            decoder: fresh(),
            outbox: Outbox::default(),
            position: 0,
            now_ms: 1_000_000,
            under_way: Vec::new(),
            books: Books::default(),
            stored: Vec::new(),
            folder,
        }
    }

    fn account(&self) -> u64 {
        self.books.bytes().get("p").copied().unwrap_or(0)
    }

    fn read(&mut self, bytes: &[u8]) {
        let account = self.account();
        self.tail.append(chunk(self.position, self.now_ms, bytes), &self.decoder, || account);
        self.position += bytes.len() as u64;
        self.decoder.feed(bytes, self.now_ms, &mut self.outbox);
    }

    fn interrupt(&mut self) {
        self.decoder.interrupted(&mut self.outbox);
        self.tail.interrupted();
    }

    fn hand_over(&mut self) {
        let (mut readings, intake) = self.outbox.take(self.decoder.partial());
        let mut values = Vec::new();
        readings.drain(|_, _, cells| {
            values.extend(cells.map(|(_, value)| match value {
                Value::Int(value) => value,
                other => panic!("{other:?} was never sent"),
            }));
        });
        self.under_way.push((values, intake));
    }

    fn commit(&mut self) {
        for (values, intake) in std::mem::take(&mut self.under_way) {
            self.stored.extend(values);
            self.books.took_in("p", &intake);
        }
        let ledger = self.books.ledger(self.stored.len() as u64, 0, &[]);
        let broken: Vec<_> = ledger.imbalances();
        assert!(broken.iter().all(|broken| broken.starts_with("stored")), "{broken:?}");
        assert!(self.account() <= self.position);
    }

    fn on_tick(&mut self) {
        let account = self.account();
        self.tail.clear_if_stored(self.position, &self.decoder, || account);
    }

    /// Drops the state of the process; the next process recovers the tail.
    fn kill(&mut self) {
        self.under_way.clear();
        self.tail = tail(self.folder.path());
        self.decoder = (self.fresh)();
        self.outbox = Outbox::default();
        self.position = self.account();
        let Some(replay) = self.tail.leftover(self.position) else { return self.tail.clear() };
        self.tail.adopt(&replay, self.now_ms);
        replay.teach(&mut self.decoder);
        self.outbox = Outbox::default();
        self.outbox.partial = self.decoder.partial();
        for piece in replay.pieces().iter().filter(|piece| piece.pending) {
            piece.feed(&mut self.decoder, &mut self.outbox);
            self.position += piece.len();
        }
        self.interrupt();
        let account = self.account();
        self.tail.turn(self.position, self.now_ms, &self.decoder, || account);
    }

    fn everything(mut self) -> Vec<i64> {
        self.kill();
        self.hand_over();
        self.commit();
        let position = self.position;
        assert_eq!(self.account(), position, "every byte is accounted for");
        self.on_tick();
        assert_eq!((size(self.folder.path(), "0"), size(self.folder.path(), "1")), (0, 0));
        self.stored
    }
}

#[test]
fn a_kill_before_anything_was_handed_over_loses_nothing() {
    let mut site = Site::new(lines);
    site.read(b"n=1\nn=2\nn");
    site.read(b"=3\nn=4");
    site.kill();
    site.kill();
    site.read(b"n=5\n");
    assert_eq!(site.everything(), [1, 2, 3, 5], "the half line went with the kernel's buffer");
}

#[test]
fn a_kill_after_the_commit_repeats_nothing() {
    let mut site = Site::new(lines);
    site.read(b"n=1\nn=2\nn");
    site.hand_over();
    site.commit();
    site.read(b"=3\nn=4\n");
    site.kill();
    assert_eq!(site.everything(), [1, 2, 3, 4]);
}

#[test]
fn samples_are_understood_by_what_was_said_in_a_file_that_is_gone() {
    let mut site = Site::new(frames);
    site.read(&hello());
    for seq in 0..5 {
        site.now_ms += TURN_AFTER_MS;
        site.read(&sample(seq, 7));
        site.hand_over();
        site.commit();
    }
    site.on_tick();
    assert_eq!(size(site.folder.path(), "0") + size(site.folder.path(), "1"), 0);
    site.read(&sample(5, 7));
    assert_eq!(site.everything(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn samples_that_wait_for_their_description_are_counted_after_a_kill() {
    let mut site = Site::new(frames);
    site.read(&hello());
    site.read(&[sample(0, 8), sample(1, 7)].concat());
    for seq in 2..5 {
        site.hand_over();
        site.commit();
        site.on_tick();
        site.now_ms += TURN_AFTER_MS;
        site.read(&sample(seq, 7));
    }
    site.hand_over();
    site.commit();
    site.kill();
    site.hand_over();
    site.commit();
    let intake = site.books.intake();
    assert_eq!(intake.faults.get(outstation_codec::Fault::UnknownChannel), 1);
    assert_eq!(intake.frames, 6, "a hello and five samples");
}

#[test]
fn an_interruption_separates_lines_after_a_kill_too() {
    let mut site = Site::new(lines);
    site.read(b"n=1\nn=2");
    site.interrupt();
    site.read(b"n=3\n");
    assert_eq!(site.everything(), [1, 3]);
}

#[test]
fn a_line_without_end_does_not_fill_the_tail() {
    let mut site = Site::new(lines);
    for _ in 0..10_000 {
        site.now_ms += 100;
        site.read(&[b'x'; 4096]);
    }
    assert_eq!(site.tail.take_unrecorded(), 0);
    let kept = size(site.folder.path(), "0") + size(site.folder.path(), "1");
    assert!(kept < 200_000, "{kept}");
    site.read(b"\nn=1\n");
    assert_eq!(site.everything(), [1]);
}

#[test]
fn a_line_that_dribbles_in_never_waits_for_itself() {
    let mut site = Site::new(lines);
    site.tail.path.bound.0.store(1000, std::sync::atomic::Ordering::Relaxed);
    for (count, byte) in "n=1\n".bytes().chain([b' '; 95]).chain(*b"n=2\n").enumerate() {
        site.read(&[byte]);
        if count == 10 {
            site.hand_over();
            site.commit();
        }
        let account = site.account();
        assert!(!site.tail.is_full(|| account), "byte {count}");
    }
    assert_eq!(site.tail.take_unrecorded(), 0);
    assert_eq!(site.everything(), [1, 2]);
}

#[test]
fn a_log_that_stores_nothing_fills_the_tail_to_its_bound_and_the_rest_is_counted() {
    let mut site = Site::new(lines);
    let line = format!("{:<79}\n", "n=1");
    let text = line.repeat(50);
    let mut reads = 0;
    while !site.tail.is_full(|| 0) {
        site.read(text.as_bytes());
        site.hand_over();
        reads += 1;
    }
    let kept = size(site.folder.path(), "0") + size(site.folder.path(), "1");
    assert!((BYTES_MAX..BYTES_MAX + 20_000).contains(&kept), "{kept}");
    assert_eq!(site.tail.take_unrecorded(), 0);
    site.read(text.as_bytes());
    assert_eq!(site.tail.take_unrecorded(), 4000);
    site.hand_over();
    site.commit();
    site.now_ms += RETRY_AFTER_MS;
    site.read(b"n=2\n");
    assert_eq!(site.tail.take_unrecorded(), 0, "and it is kept again when the log stores again");
    assert_eq!(site.everything().len(), (reads + 1) * 50 + 1);
}

#[test]
fn a_folder_that_is_not_there_costs_the_tail_and_nothing_else() {
    let mut site = Site::new(lines);
    let path = site.folder.path().join("later");
    site.tail = tail(&path);
    site.read(b"n=1\n");
    assert_eq!(site.tail.take_unrecorded(), 4);
    std::fs::create_dir(&path).expect("made");
    site.read(b"n=2\n");
    assert_eq!(site.tail.take_unrecorded(), 4, "it is not tried at every read");
    site.now_ms += RETRY_AFTER_MS;
    site.read(b"n=3\n");
    assert_eq!(site.tail.take_unrecorded(), 0);
    site.hand_over();
    site.commit();
    assert_eq!(site.stored, [1, 2, 3]);
    assert!(size(&path, "0") > 0);
}

#[test]
fn bytes_that_are_missing_between_others_are_counted_as_a_fault() {
    let mut site = Site::new(lines);
    site.read(b"n=1\nn=2");
    // These bytes are read while the tail cannot be written.
    site.decoder.feed(b"2\nn=3\nn=", site.now_ms, &mut site.outbox);
    site.position += 8;
    site.read(b"4\nn=5\n");
    assert_eq!(site.everything(), [1, 5], "what is pieced together is no reading");
}

#[test]
fn a_tail_of_another_life_is_told_apart() {
    let folder = folder();
    let mut old = tail(folder.path());
    old.append(chunk(500, 5, b"n=1\nn=2\n"), &lines(), || 500);
    let rebooted = Life { boot: "next".into(), ..life() };
    assert!(Tail::new("p", tail_path(folder.path()), rebooted).leftover(500).is_none());
    let replaced = Tail::new("p", tail_path(folder.path()), Life { epoch: 2, ..life() });
    let replay = replaced.leftover(3).expect("all of it");
    assert_eq!((replay.pending_bytes(), replay.end()), (8, 11));
}

#[test]
fn a_tail_that_cannot_be_decoded_counts_its_attempts_until_one_succeeds() {
    let folder = folder();
    tail(folder.path()).append(chunk(0, 5, b"n=1\n"), &lines(), || 0);
    for attempt in 0..3 {
        let mut next = tail(folder.path());
        let replay = next.leftover(0).expect("still there");
        assert_eq!((replay.attempts(), replay.pending_bytes()), (attempt, 4));
        next.adopt(&replay, 5);
    }
    let mut next = tail(folder.path());
    let replay = next.leftover(0).expect("still there");
    next.adopt(&replay, 5);
    next.turn(4, 5, &lines(), || 0);
    let replay = tail(folder.path()).leftover(0).expect("still there");
    assert_eq!((replay.attempts(), replay.pending_bytes()), (0, 4));
}

#[test]
fn nobody_else_can_read_a_tail() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    tail(folder.path()).append(chunk(0, 5, b"n=1\n"), &lines(), || 0);
    let meta = std::fs::metadata(tail_path(folder.path()).file("0")).expect("there");
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_tails_of_many_ports_share_their_bound() {
    let bound = Bound::default();
    let path = TailPath::new(Path::new("/run"), Path::new("log.db"), "p", bound.clone());
    let one = |ports| {
        bound.divide_among(ports);
        path.file_bytes_max()
    };
    assert_eq!((one(0), one(1), one(8)), (2 << 20, 2 << 20, 256 << 10));
    assert_eq!(one(1000), FILE_BYTES_MIN);
}

fn hello() -> Vec<u8> {
    use outstation_wire::{Channel, Hello, ValueType};
    let channels = [Channel { id: 7, name: "t", unit: "", kind: ValueType::Int }];
    let hello = Hello { firmware: "fw", version: "1", channels: (&channels).into() };
    hello.encode(&mut [0; 1024]).expect("fits").to_vec()
}

fn sample(seq: u32, channel: u16) -> Vec<u8> {
    use outstation_wire::{Sample, Value};
    let values = [(channel, Value::Int(i64::from(seq)))];
    let sample = Sample { seq, uptime_ms: 10 * seq, values: (&values).into() };
    sample.encode(&mut [0; 1024]).expect("fits").to_vec()
}

/// A thing that can happen to a port.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// This number of bytes arrives.
    Read(usize),
    HandOver,
    Commit,
    Tick,
    Wait(i64),
    Kill,
    /// The port is unplugged and plugged in again.
    Interrupt,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..60_usize).prop_map(Step::Read),
        4 => Just(Step::HandOver),
        3 => Just(Step::Commit),
        1 => Just(Step::Tick),
        3 => (1..2000_i64).prop_map(Step::Wait),
        2 => Just(Step::Kill),
        1 => Just(Step::Interrupt),
    ];
    proptest::collection::vec(step, 0..80)
}

/// Plays the steps with a sensor whose `n`-th message is `message(n)`. Returns the messages that were read
/// completely without an interruption.
fn play(site: &mut Site, steps: &[Step], message: impl Fn(u32) -> Vec<u8>) -> Vec<i64> {
    let (mut next, mut rest, mut whole) = (0, Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Read(count) => {
                let mut bytes = Vec::new();
                while bytes.len() < *count {
                    if rest.is_empty() {
                        rest = message(next);
                        next += 1;
                    }
                    let part = rest.len().min(count - bytes.len());
                    bytes.extend(rest.drain(..part));
                    if rest.is_empty() {
                        whole.push(i64::from(next - 1));
                    }
                }
                site.read(&bytes);
            }
            Step::HandOver => site.hand_over(),
            Step::Commit => site.commit(),
            Step::Tick => site.on_tick(),
            Step::Wait(ms) => site.now_ms += ms,
            Step::Kill => {
                site.kill();
                rest.clear();
            }
            Step::Interrupt => {
                site.interrupt();
                rest.clear();
            }
        }
    }
    whole
}

fn fewer() -> ProptestConfig {
    // Each case writes files.
    ProptestConfig { cases: ProptestConfig::default().cases.div_ceil(4), ..Default::default() }
}

proptest! {
    #![proptest_config(fewer())]

    #[test]
    fn every_line_that_was_read_is_stored_once_whenever_the_kills_come(steps in steps()) {
        let mut site = Site::new(lines);
        let sent = play(&mut site, &steps, |n| format!("n={n}\n").into_bytes());
        prop_assert_eq!(site.everything(), sent);
    }

    #[test]
    fn what_a_sensor_said_once_serves_until_it_is_interrupted(steps in steps()) {
        let mut site = Site::new(frames);
        let steps: Vec<_> = steps
            .into_iter()
            .filter(|step| !matches!(step, Step::Kill | Step::Interrupt))
            .collect();
        let first = [hello(), sample(0, 7)].concat();
        let sent = play(&mut site, &steps, |n| if n == 0 { first.clone() } else { sample(n, 7) });
        prop_assert_eq!(site.everything(), sent);
    }

    #[test]
    fn every_frame_that_was_understood_is_stored_once_whenever_the_kills_come(steps in steps()) {
        let mut site = Site::new(frames);
        // The sensor describes itself with each sample, so that each can be decoded even after an
        // interruption.
        let sent = play(&mut site, &steps, |n| [hello(), sample(n, 7)].concat());
        prop_assert_eq!(site.everything(), sent);
    }
}
