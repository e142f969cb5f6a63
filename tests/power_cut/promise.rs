//! What is promised, at every instant of recorded lives.

use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;

use crate::check::Bench;
use crate::cuts::{
    Cut, Verdict, around_commits, around_opening, choose, cut_all, image_of, in_order,
};
use crate::journal::{JOURNAL, is_header, is_mark, is_sync, page_of};
use crate::keep::assert_good;
use crate::medium::Model;
use crate::record::{Recorder, Recording, is_possible};
use crate::story::{Before, Story};
use crate::trace::What;

pub(crate) const PAUSE: Duration = Duration::from_millis(12);
pub(crate) const ROOMY: u64 = 256 << 20;
/// What chooses the cuts of the ordinary suite.
const SEED: u64 = 4_415_139_326_397_737_505;
/// So many commits of a recording are cut around on every run.
const COMMITS: usize = 6;

fn is_deep() -> bool {
    std::env::var_os("OUTSTATION_TEST_DEEP").is_some_and(|value| value == "1")
}

/// So many cuts in the ordinary suite, so many in a deep run.
fn cuts(ordinary: usize, deep: usize) -> usize {
    if is_deep() { deep } else { ordinary }
}

/// What is asked for; else the same as ever, or in a deep run another one each time.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("OUTSTATION_TEST_SEED").ok();
    let given = given.map(|seed| seed.parse().expect("OUTSTATION_TEST_SEED is a number"));
    let seed = given.unwrap_or_else(|| if is_deep() { Rng::new().u64(..) } else { SEED });
    println!("seed {seed}");
    seed
}

/// A test, and what it chooses its cuts by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) test: &'static str,
    pub(crate) seed: u64,
}

/// Cuts, says what came of it, and fails with the command that chooses the same cuts.
pub(crate) fn hold(
    what: &str,
    recording: Recording,
    chosen: Vec<Cut>,
    choice: Choice,
) -> (Recording, Verdict) {
    let Choice { test, seed } = choice;
    let story = Story::of(&recording);
    let verdict = cut_all(&recording, &story, &in_order(chosen), |_| false);
    println!(
        "{what}: {} steps, {} cuts, {} complaints, {} new epochs (seed {seed})",
        recording.steps.len(),
        verdict.count(),
        verdict.complaints.len(),
        verdict.new_epochs()
    );
    let deep = if is_deep() { "OUTSTATION_TEST_DEEP=1 " } else { "" };
    let again = format!("{deep}OUTSTATION_TEST_SEED={seed} cargo test --test power_cut {test}");
    (assert_good(recording, &verdict, &again), verdict)
}

/// Commits, acknowledgements, an outage, trimming, snapshots, checkpoints, a journal that is begun anew,
/// a restart in good order and one after a kill.
fn lives() -> Recording {
    let mut recorder = Recorder::new(300, ROOMY);
    recorder.start();
    recorder.feed(40, 20, PAUSE);
    recorder.upstream.accept(false);
    recorder.feed(40, 20, PAUSE);
    recorder.refused();
    recorder.upstream.accept(true);
    recorder.feed_into_the_next_journal(20, PAUSE);
    recorder.feed(20, 20, PAUSE);
    recorder.end(Signal::TERM);
    recorder.start();
    recorder.feed(40, 12, PAUSE);
    recorder.committed_some();
    recorder.end(Signal::KILL);
    recorder.start();
    recorder.feed(20, 12, PAUSE);
    recorder.delivered();
    recorder.end(Signal::TERM);
    recorder.finish()
}

#[test]
fn a_power_cut_costs_nothing_that_was_committed() {
    if !is_possible() {
        return;
    }
    let test = "promise::a_power_cut_costs_nothing_that_was_committed";
    let choice = Choice { test, seed: seed() };
    let recording = lives();
    let mut rng = Rng::with_seed(choice.seed);
    let mut chosen = choose(&recording.steps, cuts(100, 1500), &mut rng);
    chosen.extend(around_commits(&recording.steps, COMMITS));
    let (recording, verdict) = hold("three lives", recording, chosen, choice);
    assert!(verdict.new_epochs() > 0, "no commit was cut before its last page");
    controls(&recording);
    let (recording, cut) = torn_cut(recording, &mut rng, choice);
    let second = second_life(recording, &cut);
    let mut chosen = choose(&second.steps, cuts(40, 500), &mut rng);
    chosen.extend(around_opening(&second.steps));
    chosen.extend(around_commits(&second.steps, COMMITS));
    let (_, verdict) = hold("cut twice", second, chosen, choice);
    assert!(verdict.new_epochs() > 0, "nothing was cut before the first step");
}

/// The checks themselves: a medium that breaks its word must not pass them.
fn controls(recording: &Recording) {
    let story = Story::of(recording);
    let said = |what: &What| matches!(what, What::Said(said) if said.contains("committed"));
    let promised = |from: usize, to: usize| -> Vec<usize> {
        (from..to).filter(|at| said(&recording.steps[*at].what)).map(|at| at + 1).collect()
    };
    let after = |promised: &[usize], model| -> Vec<Cut> {
        let spread = promised.iter().step_by(promised.len() / 10 + 1);
        spread.map(|steps| Cut::new(*steps, model)).collect()
    };
    // As with `synchronous` off.
    let all = after(&promised(0, recording.steps.len()), Model::Synced { names: true });
    let verdict = cut_all(recording, &story, &all, is_sync);
    assert!(verdict.complaints.len() > verdict.outcomes.len(), "{verdict:?}");
    // A frame in the middle of the first journal never arrives.
    let frame = |what: &What| matches!(what, What::Write { name, offset, .. } if name == JOURNAL && *offset == 32 + 5 * 536);
    let find = |from: usize, is: &dyn Fn(&What) -> bool| {
        let rest = recording.steps.iter().skip(from);
        from + rest.take_while(|step| !is(&step.what)).count()
    };
    let first = find(0, &is_header);
    let (written, second) = (find(first, &frame), find(first + 1, &is_header));
    let cuts = after(&promised(written, second), Model::All);
    let verdict = cut_all(recording, &story, &cuts, frame);
    assert!(!cuts.is_empty() && verdict.outcomes.is_empty(), "{verdict:?}");
}

/// What the daemon does after a cut that left a commit in parts. It finds the boot that it knows, so
/// it takes what is there for what a killed process left.
fn second_life(recording: Recording, cut: &Cut) -> Recording {
    let story = Story::of(&recording);
    let base = image_of(&recording, cut);
    let expected = story.expected(&recording, cut, &base);
    Bench::new(&recording, base["log.db"].file).lay_out(&base);
    let at = recording.steps[cut.steps - 1].at;
    let Recording { guard, sending, offers, length, bytes_max, .. } = recording;
    let folder = guard.expect("a folder that was not kept");
    let mut recorder = Recorder::at(folder, base, length, bytes_max, sending.last);
    recorder.start();
    recorder.feed(30, 12, PAUSE);
    recorder.delivered();
    recorder.end(Signal::KILL);
    let mut second = recorder.finish();
    // What had happened before.
    let mut earlier = offers;
    earlier.retain(|offer| offer.at <= at);
    second.offers.splice(0..0, earlier);
    let mut started = sending.started.until(at);
    started.extend(&second.sending.started);
    second.sending.started = started;
    let known = story.truth.range(..=expected.promised).map(|(seq, n)| (*seq, *n)).collect();
    second.before = Before { truth: known, epoch: expected.epoch, torn: true };
    second
}

/// A cut that leaves the last commit in parts, which is what begins a new epoch: any parts of it.
pub(crate) fn torn_cut(recording: Recording, rng: &mut Rng, choice: Choice) -> (Recording, Cut) {
    let syncs = promising(&recording, is_sync).into_iter();
    let mut cuts: Vec<Cut> = syncs.map(|steps| Cut::new(steps, Model::Some(rng.u64(..)))).collect();
    rng.shuffle(&mut cuts);
    cuts.truncate(24);
    let (recording, verdict) = hold("commits in parts", recording, cuts, choice);
    let found = verdict.outcomes.into_iter().find(|(_, outcome)| outcome.new_epoch);
    let cut = found.map_or_else(|| page_missing(&recording), |(cut, _)| cut);
    (recording, cut)
}

/// A cut that leaves all of a commit but its last page.
pub(crate) fn page_missing(recording: &Recording) -> Cut {
    let mut marks = promising(recording, is_mark).into_iter();
    let page = marks.find_map(|mark| page_of(&recording.steps, mark)).expect("a second commit");
    Cut::new(page, Model::All)
}

/// The steps like this one before which something was promised.
fn promising(recording: &Recording, is: fn(&What) -> bool) -> Vec<usize> {
    let story = Story::of(recording);
    let steps = recording.steps.iter().enumerate();
    let like = steps.filter(|(at, step)| story.promised(*at) > 0 && is(&step.what));
    like.map(|(at, _)| at).collect()
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
    let test = "promise::a_power_cut_while_the_log_is_full_costs_nothing_that_was_not_given_up";
    let choice = Choice { test, seed: seed() };
    let recording = recorder.finish();
    let evicting = |at: &usize| matches!(&recording.steps[*at].what, What::Said(said) if said.contains("log is full"));
    let first = (0..recording.steps.len()).find(evicting).expect("readings were evicted");
    let mut chosen = choose(&recording.steps, 2000, &mut Rng::with_seed(choice.seed));
    chosen.retain(|cut| cut.steps + 200 > first);
    chosen.truncate(200);
    hold("a full log", recording, chosen, choice);
}
