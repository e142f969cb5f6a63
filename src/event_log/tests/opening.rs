//! A log is opened in whatever state it is found at its path, and every reading is accounted for.
//!
//! Invariants checked: opening succeeds; what is read is what was written; every number is delivered,
//! offered or counted as lost; the ledger balances; the log takes new readings and stores them.

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::event_log::store::error::signed;

/// How many readings the log to be damaged has; number `n` has the value `n`.
const READINGS: u64 = 300;
/// How many of them were delivered before the damage.
const DELIVERED: u64 = 95;

/// The files of a log, by the end of their names.
type Files = Vec<(String, Vec<u8>)>;

fn files_of(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).expect("readable").map(|entry| {
        let entry = entry.expect("readable");
        (entry.file_name().into_string().expect("text"), fs::read(entry.path()).expect("readable"))
    });
    let wanted = |name: &str| name == "log.db" || name == "log.db-wal";
    entries.filter(|(name, _)| wanted(name)).collect()
}

fn put(files: &Files, folder: &Path) {
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).expect("written");
    }
}

async fn fill(rig: &Rig) {
    for number in (1..=READINGS).step_by(5) {
        let values = (number..number + 5).map(|number| Value::Int(signed(number)));
        rig.append_to(Lane::Live, values).await;
        rig.stored(number + 4).await;
    }
    rig.acknowledge("a", 1, DELIVERED).await;
}

/// A log that was closed, with everything in its file.
async fn closed() -> Files {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    fill(&rig).await;
    rig.end().await;
    files_of(folder.path())
}

/// A log whose process was killed, with its last commits in the journal.
async fn killed() -> Files {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    fill(&rig).await;
    // The acknowledgement waits for a commit of deferred changes.
    tokio::time::sleep(SECOND * 11).await;
    rig.append(1).await;
    rig.stored(READINGS + 1).await;
    let files = files_of(folder.path());
    rig.kill().await;
    files
}

/// Opens what is in the folder and accounts for everything. Returns the numbers that are lost.
async fn account(folder: &Path, what: &str) -> BTreeSet<u64> {
    let rig = match Rig::try_start(config(folder, &["a"])) {
        Ok(rig) => rig,
        Err(error) => panic!("{what}: {}", crate::error_chain::error_chain(&error)),
    };
    let offered: BTreeSet<u64> = rig
        .drain("a")
        .await
        .into_iter()
        .map(|(number, value)| {
            let expected = if number > READINGS { 0 } else { signed(number) };
            assert_eq!(value, expected, "{what}: number {number}");
            number
        })
        .collect();
    let status = rig.handle.status().borrow().clone();
    assert_eq!(status.ledger.imbalances(), Vec::<String>::new(), "{what}");
    assert_eq!(status.ledger.pending, 0, "{what}");
    let lost: BTreeSet<u64> =
        (DELIVERED + 1..=status.head).filter(|number| !offered.contains(number)).collect();
    // A log that no longer knows what was delivered offers again what it still has of that, and counts the
    // rest as lost.
    let knows_delivered = offered.first().is_none_or(|first| *first > DELIVERED);
    let counted = status.ledger.damaged;
    assert!(counted >= lost.len() as u64, "{what}: {counted} counted, {lost:?}");
    assert!(!knows_delivered || counted == lost.len() as u64, "{what}: {counted} {lost:?}");
    rig.append(1).await;
    rig.stored(status.head + 1).await;
    rig.end().await;
    lost
}

/// Damages the files in each of the given ways and opens each result.
async fn sweep(files: &Files, name: &str, damages: impl Iterator<Item = (String, Vec<u8>)>) -> u64 {
    let mut worst = 0;
    for (what, damaged) in damages {
        let folder = folder();
        put(files, folder.path());
        fs::write(folder.path().join(name), damaged).expect("written");
        let lost = account(folder.path(), &format!("{name}, {what}")).await;
        let lost = lost.len() as u64;
        if lost > worst {
            println!("{what}: {lost} readings lost");
            worst = lost;
        }
    }
    worst
}

fn named<'a>(files: &'a Files, name: &str) -> &'a [u8] {
    &files.iter().find(|(found, _)| found == name).expect("there").1
}

/// The bytes with each piece of `piece` bytes overwritten in turn.
fn overwritten(bytes: &[u8], piece: usize, with: u8) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..bytes.len()).step_by(piece).map(move |at| {
        let mut damaged = bytes.to_vec();
        let end = bytes.len().min(at + piece);
        damaged[at..end].fill(with);
        (format!("bytes {at}..{end} are {with:#x}"), damaged)
    })
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_zeroed_costs_at_most_what_stood_in_it() {
    let files = closed().await;
    let database = named(&files, "log.db");
    let worst = sweep(&files, "log.db", overwritten(database, 512, 0)).await;
    assert!(worst <= 120, "{worst} readings lost with one page");
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_costs_at_most_what_its_page_leads_to() {
    let files = closed().await;
    let database = named(&files, "log.db");
    let flipped = (0..database.len()).step_by(61).map(|at| {
        let mut damaged = database.to_vec();
        damaged[at] ^= 1 << (at % 8);
        (format!("bit {} of byte {at} is flipped", at % 8), damaged)
    });
    let worst = sweep(&files, "log.db", flipped).await;
    // A key in an inner page of the table leads to what several pages hold.
    assert!(worst <= 150, "{worst} readings lost with one bit");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_off_keeps_what_is_left_of_it() {
    let files = closed().await;
    let database = named(&files, "log.db");
    let cut = (0..database.len()).step_by(777);
    sweep(&files, "log.db", cut.map(|end| (format!("cut at {end}"), database[..end].to_vec())))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_is_damaged_anywhere_is_accounted_for() {
    let files = killed().await;
    let journal = named(&files, "log.db-wal");
    let used = journal.iter().rposition(|byte| *byte != 0).expect("frames") + 1;
    let pieces =
        overwritten(&journal[..used], 2_000, 0).chain(overwritten(&journal[..used], 3_001, 0xA5));
    sweep(&files, "log.db-wal", pieces).await;
    let cut = (0..used).step_by(2_777);
    sweep(&files, "log.db-wal", cut.map(|end| (format!("cut at {end}"), journal[..end].to_vec())))
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_process_left_is_whole_and_the_same_life() {
    let files = killed().await;
    let folder = folder();
    put(&files, folder.path());
    assert_eq!(account(folder.path(), "nothing damaged").await, BTreeSet::new());
    assert!(!folder.path().join("log.db.damaged").exists());
}

#[tokio::test(start_paused = true)]
async fn anything_else_in_its_place_is_set_aside_and_a_new_log_made() {
    let garbage: Vec<u8> =
        (0..9_999u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for (what, bytes) in
        [("zeros", vec![0; 40_000]), ("garbage", garbage), ("a text", b"hello".to_vec())]
    {
        let folder = folder();
        fs::write(folder.path().join("log.db"), &bytes).expect("written");
        let rig = Rig::start(folder.path(), &["a"]);
        rig.store_thirty().await;
        assert_eq!(rig.drain("a").await.len(), 30, "{what}");
        rig.end().await;
        let aside = fs::read(folder.path().join("log.db.damaged")).expect("set aside");
        assert_eq!(aside, bytes, "{what}");
    }
    let folder = folder();
    fs::create_dir_all(folder.path().join("log.db/with/content")).expect("made");
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    rig.end().await;
    assert!(folder.path().join("log.db.not-a-file.1/with/content").exists());
}

#[tokio::test(start_paused = true)]
async fn a_row_that_reads_well_and_is_not_what_was_written_is_damage() {
    for change in [
        "UPDATE snapshots SET version = version + 16 WHERE stream = 'ledger'",
        "UPDATE snapshots SET data = x'00' WHERE stream = 'ledger'",
        "UPDATE events SET at_ms = at_ms + 1 WHERE stream = 'registry'",
        "UPDATE meta SET epoch = epoch + 1",
    ] {
        let files = closed().await;
        let folder = folder();
        put(&files, folder.path());
        let database = rusqlite::Connection::open(folder.path().join("log.db")).expect("opens");
        assert!(database.execute(change, []).expect("changed") > 0, "{change}");
        drop(database);
        account(folder.path(), change).await;
        assert!(folder.path().join("log.db.damaged").exists(), "{change}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_log_is_another_life_of_it() {
    let files = closed().await;
    let (first, second) = (folder(), folder());
    put(&files, first.path());
    put(&files, second.path());
    let mut epochs = BTreeSet::new();
    for folder in [&first, &second, &second] {
        epochs.insert(Rig::start(folder.path(), &["a"]).end().await.epoch);
    }
    assert_eq!(epochs.len(), 2, "each copy its own, and for good");
}

/// An opening removes the parts of a commit before it begins the epoch, and may be cut short in between.
#[tokio::test(start_paused = true)]
async fn a_commit_that_was_found_in_parts_counts_until_an_opening_has_come_to_its_end() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    rig.store_thirty().await;
    let epoch = rig.end().await.epoch;
    let torn = folder.path().join("log.db.torn");
    for (boot, goes_on) in [("boot", true), ("another boot", false)] {
        fs::write(&torn, "").expect("written");
        let clock = Clock::simulated(boot, NOW);
        let mut actor = LogActor::open(config(folder.path(), &["a"]), clock).expect("opens");
        assert_eq!(actor.parts().1.database().epoch() == epoch, goes_on, "{boot}");
        assert!(!torn.exists(), "{boot}");
    }
}

#[tokio::test(start_paused = true)]
async fn damage_that_shows_while_running_is_salvaged_without_losing_what_is_in_memory() {
    let folder = folder();
    let rig = Rig::start(folder.path(), &["a"]);
    fill(&rig).await;
    rig.end().await;
    let rig = Rig::start(folder.path(), &["a"]);
    rig.append(3).await;
    // The tree of segments is broken below its root, without SQLite's cache noticing.
    let path = folder.path().join("log.db");
    let mut bytes = fs::read(&path).expect("readable");
    let pages = bytes.len() / 512;
    for page in 2..pages {
        if bytes[page * 512] == 0x0D {
            bytes[page * 512] = 0x77;
        }
    }
    fs::write(&path, bytes).expect("written");
    let epoch = rig.handle.status().borrow().epoch;
    let offered = rig.drain("a").await;
    let status = rig.stored(READINGS + 3).await;
    assert_ne!(status.epoch, epoch);
    assert_eq!(status.ledger.imbalances(), Vec::<String>::new());
    let all: Vec<_> = offered.into_iter().chain(rig.drain("a").await).collect();
    assert!(all.contains(&(READINGS + 3, 2)), "{all:?}");
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_deleted_under_a_running_daemon_is_written_again() {
    let folder = folder();
    let liveness = crate::supervisor::heartbeat::Liveness::default();
    let rig = Rig::watched(folder.path(), Clock::simulated("boot", NOW), &liveness);
    rig.store_thirty().await;
    let epoch = rig.handle.status().borrow().epoch;
    for (name, _) in files_of(folder.path()) {
        fs::remove_file(folder.path().join(name)).expect("removed");
    }
    liveness.check();
    let mut status = rig.handle.status();
    status.wait_for(|status| status.epoch != epoch).await.expect("open");
    rig.append(10).await;
    rig.stored(40).await;
    rig.kill().await;
    let rig = Rig::start(folder.path(), &["a"]);
    assert_eq!(rig.drain("a").await.len(), 40);
}
