//! Storage that is full, read-only, failing or somebody else's: real file systems, mounted here.
//!
//! Invariants checked, besides those of `main.rs`: the daemon stays up and says what is wrong and what
//! helps; what it accepted is delivered or counted, and never twice; it heals without a restart.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::disk::{Disk, run};
use crate::kit::files::own;
use crate::kit::http::get;
use crate::kit::line::Line;
use crate::kit::need::{installed, is_root, skip};
use crate::kit::process::Process;
use crate::kit::readings::json_lines;
use crate::kit::site::{Site, json_port, sink};
use crate::kit::upstream::{Act, Upstream, answer};
use crate::kit::wait::{PATIENCE, assert_in_time, eventually};

const LOG: &str = "disk/log.db";

/// A sensor that talks all the time: numbered readings that do not compress.
struct Talker {
    quiet: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Line)>,
}

impl Talker {
    /// So many readings a second, each with a text of so many characters.
    fn start(mut line: Line, per_second: u64, text: usize) -> Self {
        let quiet = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&quiet);
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            let mut rng = fastrand::Rng::with_seed(5);
            let mut said = 0;
            while !asked.load(Ordering::Relaxed) {
                let due = u64::try_from(started.elapsed().as_millis()).expect("small") * per_second
                    / 1000;
                let mut lines = String::new();
                let end = due.clamp(said, said + 200);
                for n in said..end {
                    let text: String =
                        std::iter::repeat_with(|| rng.alphanumeric()).take(text).collect();
                    lines += &format!("{{\"n\":{n},\"s\":\"{text}\"}}\n");
                }
                said = end;
                // A line that nobody reads any more stays full.
                let full = Instant::now();
                let going = || !asked.load(Ordering::Relaxed) || full.elapsed() < PATIENCE / 10;
                if !line.send_while(lines, going) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            (said, line)
        });
        Self { quiet, thread }
    }

    /// How many readings it has sent. What is still in the line would be lost if it were unplugged.
    fn stop(self) -> (u64, Line) {
        self.quiet.store(true, Ordering::Relaxed);
        self.thread.join().expect("it talks")
    }
}

/// The status, which balances, of a daemon that makes progress.
fn look(daemon: &Daemon) -> Value {
    let status = daemon.status();
    assert_eq!(status["ledger"]["balanced"], true, "{}", status["ledger"]);
    let (code, page) = get(&daemon.address, "/health");
    assert_eq!(code, 200, "{page}\n{status:#}");
    status
}

fn ledger(daemon: &Daemon, name: &str) -> u64 {
    let ledger = look(daemon)["ledger"].clone();
    let count = if ledger[name].is_null() { &ledger["lost"][name] } else { &ledger[name] };
    count.as_u64().unwrap_or_else(|| panic!("no `{name}` in {ledger}"))
}

fn accepts(daemon: &Daemon) -> bool {
    get(&daemon.address, "/metrics").1.contains("\noutstation_log_accepting 1\n")
}

fn until(what: &str, daemon: &Daemon, mut good: impl FnMut(&Daemon) -> bool) {
    eventually(
        what,
        || {
            look(daemon);
            good(daemon)
        },
        |good| *good,
    );
}

/// Waits until it says in every way that it cannot store, why, and what helps.
fn in_trouble(daemon: &Daemon, reason: &str, remedy: &str) {
    until("it does not accept", daemon, |daemon| !accepts(daemon));
    let (code, page) = get(&daemon.address, "/ready");
    assert!(code == 503 && page.contains(reason) && page.contains(remedy), "{code} {page}");
    let said = daemon.said();
    assert!(said.contains("log cannot be written") && said.contains(remedy), "{said}");
}

fn healed(daemon: &Daemon) {
    let started = Instant::now();
    until("it accepts again", daemon, accepts);
    assert_in_time(started, Duration::from_secs(5));
}

/// Waits until everything that was not lost is at the collector: each reading once, in order, the
/// newest among them. `sent` is what the sensor said, if all of it was read.
fn settled(daemon: &Daemon, collector: &Collector, sent: u64) {
    let status = eventually(
        "nothing is pending",
        || look(daemon),
        |status| {
            let ledger = &status["ledger"];
            ledger["accepted"] == sent && ledger["pending"] == 0 && ledger["uncommitted"] == 0
        },
    );
    let ledger = &status["ledger"];
    let lost = |reason: &str| ledger["lost"][reason].as_u64().expect("a count");
    assert_eq!(lost("damaged"), 0, "{ledger}");
    let rows = collector.rows();
    assert_eq!(rows.len() as u64 + lost("overflow") + lost("evicted"), sent, "{ledger}");
    let numbers: Vec<u64> = rows.iter().filter_map(|row| row.cells["n"].as_u64()).collect();
    assert_eq!(numbers.len(), rows.len());
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice");
    assert_eq!(numbers.last(), Some(&(sent - 1)), "the newest is there");
}

fn away() -> Act {
    answer("503 Service Unavailable", "", "")
}

#[test]
fn a_disk_filled_by_another_program_costs_nothing_while_the_server_takes_readings() {
    let site = Site::with_log(LOG);
    let Some(disk) = Disk::tmpfs(&site, 6) else { return };
    let collector = Collector::start(&site);
    let line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &slow_sink(&collector.address)));
    disk.fill();
    let talker = Talker::start(line, 1000, 200);
    // A heartbeat, and more than the journal and memory hold.
    until("many are delivered", &daemon, |daemon| ledger(daemon, "delivered") > 20_000);
    disk.free("filler");
    until("it accepts", &daemon, accepts);
    let (sent, _line) = talker.stop();
    settled(&daemon, &collector, sent);
    daemon.stop();
}

#[test]
fn a_write_that_finds_no_room_is_said_and_heals_when_there_is_room_again() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &slow_sink(&collector.address)));
    let talker = Talker::start(line, 1000, 200);
    until("some are delivered", &daemon, |daemon| ledger(daemon, "delivered") > 1000);
    let Some(strace) = failing(&daemon, "pwrite64,ftruncate,fallocate", "ENOSPC") else { return };
    in_trouble(&daemon, "database or disk is full", "make room on it");
    until("memory is full too", &daemon, |daemon| ledger(daemon, "overflow") > 0);
    detach(strace);
    healed(&daemon);
    let (sent, _line) = talker.stop();
    settled(&daemon, &collector, sent);
    daemon.stop();
}

fn slow_sink(address: &str) -> String {
    sink(address, "batch_bytes = 32768").replace("500ms", "20s")
}

/// The log is allowed more than the disk has.
fn outgrows(site: &Site, disk: &Disk) {
    disk.take("other", 6 << 20);
    let collector = Collector::start(site);
    let upstream = Upstream::start([away()]);
    let line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &slow_sink(&upstream.address)));
    let ballast = disk.path("log.db.ballast");
    assert!(ballast.exists());
    let talker = Talker::start(line, 4000, 200);
    until("the oldest give way", &daemon, |daemon| ledger(daemon, "evicted") > 0);
    let more = ledger(&daemon, "stored") + 20_000;
    until("the newest go on being stored", &daemon, |daemon| ledger(daemon, "stored") > more);
    assert!(!daemon.said().contains("cannot be written"), "{}", daemon.said());
    assert!(ballast.exists(), "it is for worse");
    // Now somebody else takes the rest.
    disk.fill();
    let more = ledger(&daemon, "stored") + 20_000;
    until("the newest go on being stored", &daemon, |daemon| ledger(daemon, "stored") > more);
    assert!(ledger(&daemon, "pending") > 5_000, "most of what has room is there");
    assert_eq!(ledger(&daemon, "overflow"), 0);
    disk.free("filler");
    disk.free("other");
    until("the ballast is taken again", &daemon, |_| ballast.exists());
    let (sent, _line) = talker.stop();
    upstream.turn_to(Act::Forward(collector.address.clone()));
    settled(&daemon, &collector, sent);
    daemon.stop();
}

#[test]
fn a_log_larger_than_its_tmpfs_keeps_the_newest_and_delivers_them() {
    let site = Site::with_log(LOG);
    let Some(disk) = Disk::tmpfs(&site, 14) else { return };
    outgrows(&site, &disk);
}

#[test]
fn a_log_larger_than_its_ext4_keeps_the_newest_and_delivers_them() {
    let site = Site::with_log(LOG);
    let Some(disk) = Disk::ext4(&site, 20) else { return };
    outgrows(&site, &disk);
}

#[test]
fn a_disk_full_from_the_start_delays_and_loses_nothing_that_memory_holds() {
    let site = Site::with_log(LOG);
    let Some(disk) = Disk::tmpfs(&site, 6) else { return };
    disk.fill();
    let collector = Collector::start(&site);
    let mut line = site.plug("text");
    let daemon = site.spawn(&(json_port(&line) + &sink(&collector.address, ""))).listening();
    in_trouble(&daemon, "full", "make room on it");
    line.send(json_lines(0..300));
    until("they are accepted", &daemon, |daemon| ledger(daemon, "accepted") == 300);
    assert_eq!(ledger(&daemon, "uncommitted"), 300);
    line.send(json_lines(300..40_000));
    until("more than memory holds", &daemon, |daemon| ledger(daemon, "accepted") == 40_000);
    let lost = ledger(&daemon, "overflow");
    assert_eq!(ledger(&daemon, "uncommitted") + lost, 40_000);
    assert!((23_616..32_000).contains(&lost), "the newest are kept: {lost}");
    disk.free("filler");
    healed(&daemon);
    settled(&daemon, &collector, 40_000);
    daemon.stop();
}

#[test]
fn a_stop_while_the_disk_is_full_ends_in_time_and_says_what_is_not_saved() {
    let site = Site::with_log(LOG);
    let Some(disk) = Disk::tmpfs(&site, 6) else { return };
    disk.fill();
    let mut line = site.plug("text");
    let config = "[supervisor]\nshutdown_deadline = \"3s\"\n".to_owned() + &json_port(&line);
    let mut daemon = site.spawn(&config).listening();
    line.send(json_lines(0..50));
    until("they are accepted", &daemon, |daemon| ledger(daemon, "accepted") == 50);
    daemon.signal(Signal::TERM);
    let asked = Instant::now();
    assert_eq!(daemon.end().code(), Some(1), "{}", daemon.said());
    assert_in_time(asked, Duration::from_secs(5));
    assert!(daemon.said().contains("count=50"), "{}", daemon.said());
}

#[test]
fn a_read_only_disk_is_waited_for() {
    let site = Site::with_log(LOG);
    let Some(disk) = Disk::ext4(&site, 20) else { return };
    disk.remount("ro");
    let mut line = site.plug("text");
    let daemon = site.spawn(&json_port(&line)).listening();
    in_trouble(&daemon, "Read-only file system", "mount it writable");
    line.send(json_lines(0..100));
    until("they are accepted", &daemon, |daemon| ledger(daemon, "accepted") == 100);
    disk.remount("rw");
    healed(&daemon);
    daemon.stored(100);
    daemon.stop();
}

/// What a kernel does to a file system that it finds damaged.
#[test]
fn a_disk_that_turns_read_only_under_the_daemon_costs_nothing_that_was_stored() {
    let site = Site::with_log(LOG);
    let Some(disk) = Disk::ext4(&site, 20) else { return };
    let mut line = site.plug("text");
    let config = "[supervisor]\nshutdown_deadline = \"2s\"\n".to_owned() + &json_port(&line);
    let mut daemon = site.start(&config);
    line.send(json_lines(0..100));
    daemon.stored(100);
    // It comes back writable only after a check, and reports that it was aborted.
    run("mount", &["-o", "remount,abort", &disk.path("").display().to_string()]);
    line.send(json_lines(100..150));
    in_trouble(&daemon, "disk I/O error", "dmesg");
    until("they are held", &daemon, |daemon| ledger(daemon, "uncommitted") == 50);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(1), "{}", daemon.said());
    assert!(daemon.said().contains("count=50"), "{}", daemon.said());
    drop(disk);
    run("e2fsck", &["-fy", &site.path("image").display().to_string()]);
    let at = site.path("disk").display().to_string();
    run("mount", &["-o", "loop", &site.path("image").display().to_string(), &at]);
    let daemon = site.start(&json_port(&line));
    // What could not be stored was still in the tail.
    until("all of it is stored", &daemon, |daemon| ledger(daemon, "stored") == 150);
    assert_eq!(ledger(&daemon, "pending"), 150);
    daemon.stop();
    run("umount", &["-l", &at]);
}

#[test]
fn a_log_of_another_owner_is_named_with_its_owner_and_used_once_it_is_ours() {
    if !is_root() {
        return skip("only root can give a file to somebody else");
    }
    let nobody: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let site = Site::with_log(LOG);
    let line = site.plug("text");
    let config = json_port(&line);
    fs::create_dir(site.path("disk")).expect("make a folder");
    site.start(&config).stop();
    let readable = fs::Permissions::from_mode(0o777);
    fs::set_permissions(site.path(""), readable.clone()).expect("set the mode");
    fs::set_permissions(line.path(), readable).expect("set the mode");
    own(&site.path("disk"), 65534);
    let daemon = site.spawn_under(nobody, &config).listening();
    let path = site.path("disk/log.db.lock").display().to_string();
    let reason = format!("`{path}` belongs to user 0 and may not be written by user 65534");
    in_trouble(&daemon, &reason, "chown");
    for entry in fs::read_dir(site.path("disk")).expect("readable") {
        own(&entry.expect("readable").path(), 65534);
    }
    healed(&daemon);
    daemon.stop();
    // The folder too.
    own(&site.path("disk"), 0);
    let daemon = site.spawn_under(nobody, &config).listening();
    let path = site.path("disk").display().to_string();
    in_trouble(&daemon, &format!("`{path}` belongs to user 0"), "chown");
    own(&site.path("disk"), 65534);
    healed(&daemon);
    daemon.stop();
}

#[test]
fn what_is_no_file_in_the_place_of_the_log_is_set_aside() {
    for kind in ["p", "c 1 3", "b 7 200"] {
        let site = Site::new();
        let log = site.log().display().to_string();
        if kind != "p" && !is_root() {
            return skip("only root can make a device");
        }
        let words: Vec<&str> = kind.split(' ').collect();
        assert!(run("mknod", &[&[log.as_str()], &words[..]].concat()).status.success());
        let mut line = site.plug("text");
        let daemon = site.start(&json_port(&line));
        line.send(json_lines(0..10));
        daemon.stored(10);
        let aside = fs::metadata(site.path("log.db.not-a-file.1")).expect("it was set aside");
        assert!(!aside.is_file() && (kind != "p" || aside.file_type().is_fifo()));
        daemon.stop();
    }
    let site = Site::new();
    fs::create_dir(site.log()).expect("make a folder");
    site.start("").stop();
    assert!(site.log().is_file() && !site.path("log.db.not-a-file.1").exists(), "it was empty");
}

#[test]
fn a_link_to_a_log_is_followed_with_everything_beside_it() {
    let site = Site::new();
    symlink("elsewhere/real.db", site.log()).expect("make a link");
    let mut line = site.plug("text");
    let config = json_port(&line);
    let daemon = site.start(&config);
    line.send(json_lines(0..10));
    daemon.stored(10);
    assert!(
        site.path("elsewhere/real.db-wal").exists() && site.path("elsewhere/real.db.lock").exists()
    );
    daemon.kill();
    let daemon = site.start(&config);
    assert_eq!(ledger(&daemon, "stored"), 10);
    assert!(!daemon.said().contains("began"), "the same life of the log: {}", daemon.said());
    assert!(fs::symlink_metadata(site.log()).expect("still there").is_symlink());
    daemon.stop();
}

/// `strace` makes these system calls of the daemon fail for a while.
fn failing(daemon: &Daemon, calls: &str, error: &str) -> Option<Process> {
    let pid = daemon.pid().to_string();
    let inject = format!("inject={calls}:error={error}");
    let trace = format!("trace={calls}");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, "-p", &pid]);
    installed("strace", "strace").then(|| Process::start(&mut strace))
}

fn detach(mut strace: Process) {
    strace.signal(Signal::INT);
    strace.end();
}

#[test]
fn writes_and_syncs_that_fail_are_repeated_and_nothing_is_stored_twice() {
    for calls in ["fsync,fdatasync", "pwrite64", "ftruncate,pwrite64,fsync,fdatasync"] {
        let site = Site::new();
        let collector = Collector::start(&site);
        let upstream = Upstream::start([away()]);
        let line = site.plug("text");
        let config = json_port(&line) + &sink(&upstream.address, "");
        let daemon = site.start(&config);
        let epoch = daemon.status()["log"]["epoch"].clone();
        let talker = Talker::start(line, 500, 40);
        until("some are stored", &daemon, |daemon| ledger(daemon, "stored") > 500);
        for _ in 0..2 {
            let Some(strace) = failing(&daemon, calls, "EIO") else { return };
            in_trouble(&daemon, "disk I/O error", "dmesg");
            let held = ledger(&daemon, "accepted") + 1000;
            until("it goes on reading", &daemon, |daemon| ledger(daemon, "accepted") > held);
            detach(strace);
            healed(&daemon);
        }
        let Some(strace) = failing(&daemon, calls, "EIO") else { return };
        in_trouble(&daemon, "disk I/O error", "dmesg");
        detach(strace);
        healed(&daemon);
        let (sent, line) = talker.stop();
        until("all are stored", &daemon, |daemon| ledger(daemon, "stored") == sent);
        drop(line);
        // What the failed attempts left in the journal must not look like damage.
        daemon.kill();
        let daemon = site.start(&config);
        assert_eq!(daemon.status()["log"]["epoch"], epoch, "{}", daemon.said());
        upstream.turn_to(Act::Forward(collector.address.clone()));
        settled(&daemon, &collector, sent);
        assert_eq!(ledger(&daemon, "delivered"), sent);
        daemon.stop();
    }
}

#[test]
fn a_crash_between_a_failed_sync_and_its_repetition_leaves_a_sound_log() {
    let site = Site::new();
    let line = site.plug("text");
    let daemon = site.start(&json_port(&line));
    let epoch = daemon.status()["log"]["epoch"].clone();
    let talker = Talker::start(line, 500, 40);
    until("some are stored", &daemon, |daemon| ledger(daemon, "stored") > 500);
    let Some(mut strace) = failing(&daemon, "fsync,fdatasync", "EIO") else { return };
    in_trouble(&daemon, "disk I/O error", "dmesg");
    let stored = ledger(&daemon, "stored");
    let held = ledger(&daemon, "accepted") + 1500;
    until("several attempts failed", &daemon, |daemon| ledger(daemon, "accepted") > held);
    daemon.signal(Signal::KILL);
    // It ends with what it traces. Asked to detach from threads that are dying, it can wait for them for ever.
    strace.end();
    drop(daemon);
    talker.stop();
    let daemon = site.start("");
    assert!(ledger(&daemon, "stored") >= stored);
    assert_eq!(ledger(&daemon, "damaged"), 0);
    assert_eq!(daemon.status()["log"]["epoch"], epoch, "{}", daemon.said());
    assert_eq!(fs::metadata(site.log()).expect("it is there").nlink(), 1);
    assert!(!site.path("log.db.damaged").exists());
    daemon.stop();
}
