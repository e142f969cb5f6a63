//! The opening that has to begin a new epoch, cut short itself.
//!
//! It takes what shows that an epoch is due out of the journal, and so must have put it down elsewhere
//! before. No sensor and no clock takes part, so that it is the same on every run, and all of it is cut.

use std::path::Path;
use std::process::Stdio;

use fastrand::Rng;
use outstation::clock::Clock;
use outstation::event_log::actor::LogActor;
use rustix::process::{Signal, getpid, kill_process};

use crate::check::{Bench, Continuity, config};
use crate::cuts::{Cut, around, image_of};
use crate::journal::is_sync;
use crate::medium::{Image, Medium, Model};
use crate::promise::{Choice, PAUSE, ROOMY, hold, page_missing, seed, torn_cut};
use crate::record::{Recorder, Recording, is_possible, strace};
use crate::story::Story;
use crate::trace::{Parser, Step, What};

/// Names the folder of the log that is to be opened.
const VARIABLE: &str = "OUTSTATION_TEST_OPEN";

#[test]
#[ignore = "is what the other test traces"]
fn a_log_is_opened_in_another_boot() {
    let Some(folder) = std::env::var_os(VARIABLE) else { return };
    let clock = Clock::simulated("between-two-cuts", 0);
    let _open = LogActor::open(config(Path::new(&folder), ROOMY), clock).expect("it opens");
    kill_process(getpid(), Signal::KILL).expect("send a signal");
}

/// What that did to the folder of the log.
fn opening(recording: &Recording, base: &Image) -> Vec<Step> {
    let trace = recording.folder.join("trace.opening");
    let log = std::fs::canonicalize(recording.folder.join("log")).expect("the folder of the log");
    let mut strace = strace(&trace)
        .arg(std::env::current_exe().expect("a program"))
        .args(["--ignored", "--exact", "opening::a_log_is_opened_in_another_boot"])
        .env(VARIABLE, &log)
        .stdout(Stdio::null())
        .spawn()
        .expect("start strace");
    strace.wait().expect("wait for strace");
    let mut parser = Parser::new(&log, base.keys().cloned());
    parser.read(&std::fs::read_to_string(trace).expect("read the trace"));
    parser.steps
}

/// A short life, killed before it could say what it committed last.
fn life() -> Recording {
    let mut recorder = Recorder::new(300, ROOMY);
    recorder.start();
    recorder.feed(20, 12, PAUSE);
    recorder.delivered();
    recorder.feed(20, 12, PAUSE);
    recorder.committed();
    recorder.end(Signal::KILL);
    let mut recording = recorder.finish();
    // What it did say depends on the machine.
    recording.steps.truncate(last_sync(&recording) + 1);
    recording
}

fn last_sync(recording: &Recording) -> usize {
    recording.steps.iter().rposition(|step| is_sync(&step.what)).expect("a commit")
}

#[test]
fn an_opening_that_is_cut_short_leaves_the_new_epoch_to_the_next() {
    if !is_possible() {
        return;
    }
    let test = "opening::an_opening_that_is_cut_short_leaves_the_new_epoch_to_the_next";
    let choice = Choice { test, seed: seed() };
    let recording = life();
    let sync = last_sync(&recording);
    let unconfirmed =
        [Cut::new(sync, Model::All), Cut::new(sync + 1, Model::Synced { names: true })];
    let (recording, _) =
        hold("a commit that was not confirmed", recording, unconfirmed.into(), choice);
    let (recording, any) = torn_cut(recording, &mut Rng::with_seed(choice.seed), choice);
    for cut in [page_missing(&recording), any] {
        let complaints = cut_short(&recording, &cut);
        assert!(complaints.is_empty(), "after {cut:?}:\n{}", complaints.join("\n"));
    }
}

/// What is wrong after the opening that follows this cut ended at any step.
fn cut_short(recording: &Recording, cut: &Cut) -> Vec<String> {
    let story = Story::of(recording);
    let base = image_of(recording, cut);
    let mut expected = story.expected(recording, cut, &base);
    expected.continuity = Continuity::Anew;
    let bench = Bench::new(recording, base["log.db"].file);
    bench.lay_out(&base);
    let steps = opening(recording, &base);
    let mut medium = Medium::holding(&base);
    let mut complaints = Vec::new();
    for done in 0..=steps.len() {
        if let Some(last) = done.checked_sub(1) {
            medium.apply(&steps[last].what);
        }
        if is_filling(&steps, done) {
            continue;
        }
        let synced = [true, false].map(|names| Model::Synced { names });
        for model in [Model::All, Model::Some(done as u64)].into_iter().chain(synced) {
            if let Err(complaint) = bench.check(&medium.image(model), &expected, &story.truth) {
                complaints.push(format!("{done} {model:?}: {complaint}{}", around(&steps, done)));
            }
        }
    }
    println!("an opening: {} steps, {} complaints", steps.len(), complaints.len());
    complaints
}

/// Whether the journal is being given its length, with zeros.
fn is_filling(steps: &[Step], at: usize) -> bool {
    let zeros = |step: &Step| matches!(&step.what, What::Write { bytes, .. } if bytes.len() == 4096 && bytes.iter().all(|byte| *byte == 0));
    at > 0 && zeros(&steps[at - 1]) && steps.get(at).is_some_and(zeros)
}
