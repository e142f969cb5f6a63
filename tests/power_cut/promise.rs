//! What is promised, at every instant of recorded lives.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;

use crate::check::Bench;
use crate::cuts::{Cut, Story, Verdict, choose, cut_all, image};
use crate::medium::Model;
use crate::record::{Recorder, Recording, is_possible};
use crate::trace::What;

const PAUSE: Duration = Duration::from_millis(12);
const ROOMY: u64 = 256 << 20;
const JOURNAL: &str = "log.db-wal";

fn is_deep() -> bool {
    std::env::var_os("OUTSTATION_TEST_DEEP").is_some_and(|value| value == "1")
}

/// So many cuts in the ordinary suite, so many in a deep run.
fn cuts(ordinary: usize, deep: usize) -> usize {
    if is_deep() { deep } else { ordinary }
}

fn seed() -> u64 {
    let given = std::env::var("OUTSTATION_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| Rng::new().u64(..))
}

fn report(what: &str, recording: &Recording, verdict: &Verdict, seed: u64) {
    println!(
        "{what}: {} steps, {} cuts, {} complaints, {} new epochs (seed {seed})",
        recording.steps.len(),
        verdict.outcomes.len() + verdict.complaints.len(),
        verdict.complaints.len(),
        verdict.new_epochs()
    );
}

/// Commits, acknowledgements, an outage, trimming, snapshots, checkpoints, a restart in good order
/// and one after a kill.
fn lives() -> Recording {
    let mut recorder = Recorder::new(300, ROOMY);
    recorder.start();
    recorder.feed(80, 20, PAUSE);
    recorder.upstream.accept(false);
    recorder.feed(40, 20, PAUSE);
    recorder.upstream.accept(true);
    recorder.feed(20, 20, PAUSE);
    recorder.end(Signal::TERM);
    recorder.start();
    recorder.feed(40, 12, PAUSE);
    recorder.end(Signal::KILL);
    recorder.start();
    recorder.feed(20, 12, PAUSE);
    recorder.delivered();
    recorder.end(Signal::TERM);
    let recording = recorder.finish();
    let begun = journals(&recording);
    assert!(begun > 2, "only {begun} journals: none was begun anew within a life");
    recording
}

/// How often a journal was begun.
fn journals(recording: &Recording) -> usize {
    let begins =
        |what: &What| matches!(what, What::Write { name, offset: 0, .. } if name == JOURNAL);
    recording.steps.iter().filter(|step| begins(&step.what)).count()
}

#[test]
fn a_power_cut_costs_nothing_that_was_committed() {
    if !is_possible() {
        return;
    }
    let (recording, seed) = (lives(), seed());
    let story = Story::of(&recording, &BTreeMap::new());
    let chosen = choose(&recording.steps, cuts(100, 1500), &mut Rng::with_seed(seed));
    let verdict = cut_all(&recording, &story, &chosen, |_| false);
    report("three lives", &recording, &verdict, seed);
    verdict.assert_good(seed);
    controls(&recording, &story);
    twice(recording, &story, seed);
}

/// The checks themselves: a medium that breaks its word must not pass them.
fn controls(recording: &Recording, story: &Story) {
    let said = |what: &What| matches!(what, What::Said(said) if said.contains("committed"));
    let steps = recording.steps.iter().enumerate().filter(|(_, step)| said(&step.what));
    let promised: Vec<usize> = steps.map(|(at, _)| at + 1).collect();
    let after = |model| -> Vec<Cut> {
        let cut = |steps: &usize| Cut { steps: *steps, sectors: 0, model, same_boot: false };
        promised.iter().step_by(promised.len() / 10 + 1).map(cut).collect()
    };
    // As with `synchronous` off.
    let unsynced = |what: &What| matches!(what, What::Sync(name) if name == JOURNAL);
    let verdict = cut_all(recording, story, &after(Model::Synced { names: true }), unsynced);
    assert!(verdict.complaints.len() > verdict.outcomes.len(), "{verdict:?}");
    // A frame in the middle of the journal never arrives.
    let frame = |what: &What| matches!(what, What::Write { name, offset, .. } if name == JOURNAL && *offset == 32 + 5 * 536);
    let verdict = cut_all(recording, story, &after(Model::All), frame);
    assert!(verdict.complaints.len() > verdict.outcomes.len(), "{verdict:?}");
}

/// A second cut, in the life after one that left a commit in parts.
fn twice(recording: Recording, story: &Story, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let Some(cut) = torn_cut(&recording, story, &mut rng) else {
        panic!("no cut left a commit in parts (seed {seed})");
    };
    let due = story.due(&recording, &cut);
    let mut medium = recording.medium();
    recording.steps[..cut.steps].iter().for_each(|step| medium.apply(&step.what));
    let base = image(&medium, &recording, &cut);
    let file = base["log.db"].file;
    Bench::new(&recording, file).lay_out(&base);
    let at = recording.steps[cut.steps - 1].at;
    let Recording { folder, sensor, offers, length, bytes_max, .. } = recording;
    let mut recorder = Recorder::at(folder, base, length, bytes_max, sensor.last() + 1);
    recorder.start();
    recorder.feed(30, 12, PAUSE);
    recorder.delivered();
    recorder.end(Signal::KILL);
    let mut second = recorder.finish();
    // What had happened before.
    let mut earlier = offers;
    earlier.retain(|offer| offer.at <= at);
    second.offers.splice(0..0, earlier);
    let mut begun = sensor.begun.until(at);
    begun.extend(&second.sensor.begun);
    second.sensor.begun = begun;
    let known = story.truth.range(..=due.promised).map(|(seq, n)| (*seq, *n)).collect();
    let story = Story::of(&second, &known);
    let chosen = choose(&second.steps, cuts(40, 500), &mut rng);
    let verdict = cut_all(&second, &story, &chosen, |_| false);
    report("cut twice", &second, &verdict, seed);
    verdict.assert_good(seed);
}

/// A cut that leaves the last commit in parts, which is what begins a new epoch.
fn torn_cut(recording: &Recording, story: &Story, rng: &mut Rng) -> Option<Cut> {
    let syncs = |what: &What| matches!(what, What::Sync(name) if name == JOURNAL);
    let steps = recording.steps.iter().enumerate().filter(|(_, step)| syncs(&step.what));
    let mut cuts: Vec<Cut> = steps
        .map(|(steps, _)| {
            let model = Model::Some(rng.u64(..));
            Cut { steps, sectors: 0, model, same_boot: false }
        })
        .collect();
    rng.shuffle(&mut cuts);
    cuts.truncate(24);
    cuts.sort_by_key(|cut| cut.steps);
    let verdict = cut_all(recording, story, &cuts, |_| false);
    verdict.outcomes.into_iter().find(|(_, outcome)| outcome.new_epoch).map(|(cut, _)| cut)
}

#[test]
fn a_power_cut_while_the_log_is_full_costs_nothing_that_was_not_given_up() {
    // To fill a log takes longer than all the other tests together.
    if !is_deep() || !is_possible() {
        return;
    }
    let mut recorder = Recorder::new(3000, 8 << 20);
    recorder.upstream.accept(false);
    recorder.start();
    while !recorder.said().contains("log is full") {
        recorder.feed(4, 25, PAUSE);
        recorder.committed();
    }
    recorder.feed(40, 25, PAUSE * 4);
    recorder.end(Signal::KILL);
    let (recording, seed) = (recorder.finish(), seed());
    let story = Story::of(&recording, &BTreeMap::new());
    let evicting = |at: &usize| matches!(&recording.steps[*at].what, What::Said(said) if said.contains("log is full"));
    let first = (0..recording.steps.len()).find(evicting).expect("readings were evicted");
    let mut chosen = choose(&recording.steps, 2000, &mut Rng::with_seed(seed));
    chosen.retain(|cut| cut.steps + 200 > first);
    chosen.truncate(200);
    let verdict = cut_all(&recording, &story, &chosen, |_| false);
    report("a full log", &recording, &verdict, seed);
    verdict.assert_good(seed);
}
