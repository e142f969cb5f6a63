//! Where a recording is cut, and what comes of it.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::check::{Bench, Outcome};
use crate::journal::{is_cut_off, is_header, is_mark, is_sync, page_of};
use crate::medium::{Image, Medium, Model, torn};
use crate::record::Recording;
use crate::story::Story;
use crate::trace::{Step, What};

/// Complaints shown; the first says most.
const SHOWN: usize = 5;

/// The power goes when so many steps are done, and so many sectors of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cut {
    pub(crate) steps: usize,
    pub(crate) sectors: usize,
    pub(crate) model: Model,
    /// What opens the log does so in the same boot: the process was killed.
    pub(crate) same_boot: bool,
}

impl Cut {
    pub(crate) fn new(steps: usize, model: Model) -> Self {
        Self { steps, sectors: 0, model, same_boot: false }
    }
}

/// All that could happen at one instant, more or less of it.
fn at(step: usize, what: Option<&What>, rng: &mut Rng) -> Vec<Cut> {
    let killed = Cut { same_boot: true, ..Cut::new(step, Model::All) };
    let some = |rng: &mut Rng| Cut::new(step, Model::Some(rng.u64(..)));
    let synced = Cut::new(step, Model::Synced { names: rng.bool() });
    let mut cuts = vec![Cut::new(step, Model::All), synced, killed, some(rng), some(rng)];
    for sectors in 1..4 {
        if what.is_some_and(|what| torn(what, sectors).is_some()) {
            cuts.push(Cut { sectors, ..Cut::new(step, Model::All) });
            cuts.push(Cut { sectors, ..some(rng) });
        }
    }
    cuts
}

/// Whether something out of the ordinary is going on: a file begins or ends, a journal begins anew.
fn is_rare(step: &Step) -> bool {
    match &step.what {
        What::Write { name, offset, .. } => *offset == 0 || name == "log.db",
        What::Sync(name) => name != "log.db-wal",
        What::Said(said) => said.contains("opened"),
        _ => true,
    }
}

/// A choice of cuts: a third before and after syncs, a third where something rare goes on, a third
/// anywhere. All of them ascend.
pub(crate) fn choose(steps: &[Step], count: usize, rng: &mut Rng) -> Vec<Cut> {
    let here = |rare: fn(&Step) -> bool| -> Vec<usize> {
        let found = steps.iter().enumerate().filter(|(_, step)| rare(step));
        found.flat_map(|(at, _)| [at, at + 1]).collect()
    };
    let strata = [
        here(|step| matches!(step.what, What::Sync(_) | What::SyncFolder)),
        here(is_rare),
        (0..=steps.len()).collect(),
    ];
    let mut cuts: Vec<Cut> = Vec::new();
    for number in 0..count {
        let step = *rng.choice(&strata[number % strata.len()]).expect("some step");
        let possible = at(step, steps.get(step).map(|step| &step.what), rng);
        cuts.push(*rng.choice(&possible).expect("some cut"));
    }
    in_order(cuts)
}

/// As [`cut_all`] takes them.
pub(crate) fn in_order(mut cuts: Vec<Cut>) -> Vec<Cut> {
    cuts.sort_by_key(|cut| (cut.steps, cut.sectors, format!("{:?}", cut.model), cut.same_boot));
    cuts.dedup();
    cuts
}

/// What is cut on every run, because it went wrong once or is what a mistake would show at: around so
/// many commits, spread over all of them, and around the beginning of each journal.
pub(crate) fn around_commits(steps: &[Step], most: usize) -> Vec<Cut> {
    let all = |is: fn(&What) -> bool| (0..steps.len()).filter(move |at| is(&steps[*at].what));
    let marks: Vec<usize> = all(is_mark).collect();
    let spread = marks.iter().copied().step_by(marks.len().div_ceil(most).max(1));
    let firsts = all(is_header).filter_map(|at| marks.iter().copied().find(|mark| *mark > at));
    let synced = |at: usize| all(is_sync).find(|sync| *sync > at).map(|sync| sync + 1);
    let mut instants: Vec<usize> = Vec::new();
    for mark in spread.chain(firsts) {
        // Before the mark, between mark and page, before the sync, and after it.
        instants.push(mark);
        instants.extend(page_of(steps, mark).into_iter().flat_map(|page| [page, page + 1]));
        instants.extend(synced(mark));
    }
    for header in all(is_header) {
        instants.extend([header, header + 1]);
        instants.extend(synced(header));
    }
    each_way(instants)
}

/// Before the first step, around each removal of what is in the journal, and when the log is open.
pub(crate) fn around_opening(steps: &[Step]) -> Vec<Cut> {
    let notable = |what: &What| match what {
        What::Said(said) => said.contains("opened"),
        What::SyncFolder | What::Create(_) | What::Unlink(_) => true,
        what => is_cut_off(what),
    };
    let opened = steps
        .iter()
        .position(|step| matches!(&step.what, What::Said(said) if said.contains("log opened")));
    let steps = steps.iter().enumerate().take(opened.map_or(steps.len(), |at| at + 1));
    let notable = steps.filter(|(_, step)| notable(&step.what));
    each_way(std::iter::once(0).chain(notable.flat_map(|(at, _)| [at, at + 1])))
}

/// All that is certain at these instants: everything is there, or what was synced; the power went, or
/// the process alone.
fn each_way(instants: impl IntoIterator<Item = usize>) -> Vec<Cut> {
    let instants: BTreeSet<usize> = instants.into_iter().collect();
    let ways = |steps| {
        let synced = |names| Cut::new(steps, Model::Synced { names });
        let all = Cut::new(steps, Model::All);
        [all, Cut { same_boot: true, ..all }, synced(true), synced(false)]
    };
    instants.into_iter().flat_map(ways).collect()
}

/// What a run of cuts came to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) outcomes: Vec<(Cut, Outcome)>,
    pub(crate) complaints: Vec<(Cut, String)>,
}

impl Verdict {
    pub(crate) fn new_epochs(&self) -> usize {
        self.outcomes.iter().filter(|(_, outcome)| outcome.new_epoch).count()
    }

    pub(crate) fn count(&self) -> usize {
        self.outcomes.len() + self.complaints.len()
    }

    /// What was wrong, if anything was.
    pub(crate) fn complaint(&self) -> Option<String> {
        let shown = self.complaints.iter().take(SHOWN).map(|(_, complaint)| complaint.as_str());
        let shown: Vec<&str> = shown.collect();
        let (wrong, all) = (self.complaints.len(), self.count());
        let broken = || format!("{wrong} of {all} cuts broke a promise:\n{}", shown.join("\n"));
        (wrong > 0).then(broken)
    }
}

/// Cuts the power at each of these, in order. `loses` makes the medium lose steps that it should keep.
pub(crate) fn cut_all(
    recording: &Recording,
    story: &Story,
    cuts: &[Cut],
    loses: impl Fn(&What) -> bool,
) -> Verdict {
    let bench = Bench::new(recording, file_of_log(recording));
    let (mut medium, mut done) = (recording.medium(), 0);
    let mut verdict = Verdict::default();
    for cut in cuts {
        for step in &recording.steps[done..cut.steps] {
            if !loses(&step.what) {
                medium.apply(&step.what);
            }
        }
        done = cut.steps;
        let image = image(&medium, recording, cut);
        let expected = story.expected(recording, cut, &image);
        match bench.check(&image, &expected, &story.truth) {
            Ok(outcome) => verdict.outcomes.push((*cut, outcome)),
            Err(complaint) => {
                let around = around(&recording.steps, cut.steps);
                verdict.complaints.push((*cut, format!("{cut:?}: {complaint}{around}")));
            }
        }
    }
    verdict
}

/// What is there after a cut.
pub(crate) fn image(medium: &Medium, recording: &Recording, cut: &Cut) -> Image {
    let next = recording.steps.get(cut.steps);
    match next.and_then(|step| torn(&step.what, cut.sectors)) {
        Some(part) => {
            let mut medium = medium.clone();
            medium.apply(&part);
            medium.image(cut.model)
        }
        None => medium.image(cut.model),
    }
}

/// What is there after this cut alone.
pub(crate) fn image_of(recording: &Recording, cut: &Cut) -> Image {
    let mut medium = recording.medium();
    recording.steps[..cut.steps].iter().for_each(|step| medium.apply(&step.what));
    image(&medium, recording, cut)
}

/// The number that the medium gives to the file of the log.
fn file_of_log(recording: &Recording) -> usize {
    recording.end().get("log.db").expect("a log").file
}

/// What went on there, for a person.
pub(crate) fn around(steps: &[Step], at: usize) -> String {
    let from = at.saturating_sub(6);
    let lines = steps.iter().enumerate().skip(from).take(9).map(|(number, step)| {
        let mark = if number == at { "    <- the power goes before this" } else { "" };
        let what = match &step.what {
            What::Write { name, offset, bytes } => format!("write {name} {offset}+{}", bytes.len()),
            What::Said(said) => format!("said {}", said.trim_end()),
            other => format!("{other:?}"),
        };
        format!("\n    {number} {what}{mark}")
    });
    lines.collect()
}
