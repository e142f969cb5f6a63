//! Where a recording is cut, and what is due there.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use outstation::domain::model::interval_set::IntervalSet;

use crate::check::{Bench, Due, Outcome};
use crate::medium::{Medium, Model, torn};
use crate::record::{INTERVAL, Recording};
use crate::trace::{Step, What};

/// How long a reading may be under way besides the declared interval: a port gathers for a tenth of
/// a second, and the rest is for a daemon that is traced on a machine that is busy.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// Complaints shown; the first says most.
const SHOWN: usize = 5;

/// The power goes when so many steps are done, and so many sectors of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) steps: usize,
    pub(crate) sectors: usize,
    pub(crate) model: Model,
    /// What opens the log does so in the same boot: the process was killed.
    pub(crate) same_boot: bool,
}

impl Cut {
    fn new(steps: usize, model: Model) -> Self {
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
    cuts.sort_by_key(|cut| (cut.steps, cut.sectors, format!("{:?}", cut.model)));
    cuts.dedup();
    cuts
}

/// What is known about a recording.
#[derive(Debug)]
pub(crate) struct Story {
    /// By number: which reading it is.
    pub(crate) truth: BTreeMap<u64, u64>,
    /// By step: the last number promised, and the epoch.
    promised: Vec<u64>,
    epochs: Vec<Option<u64>>,
    /// When each life of the daemon had opened the log.
    lives: Vec<u64>,
}

impl Story {
    /// `before`: which reading each number was that had been promised before the first step.
    pub(crate) fn of(recording: &Recording, before: &BTreeMap<u64, u64>) -> Self {
        let mut head = before.keys().next_back().copied().unwrap_or(0);
        let (mut promised, mut epochs) = (vec![head], vec![None]);
        let (mut epoch, mut lives, mut opened) = (None, vec![], vec![]);
        for step in &recording.steps {
            if let What::Said(said) = &step.what {
                head = number_after(said, "committed head=").unwrap_or(head);
                if let Some(next) = number_after(said, " next_seq=") {
                    epoch = number_after(said, " epoch=");
                    lives.push(next);
                    opened.push(step.at);
                }
            }
            promised.push(head);
            epochs.push(epoch);
        }
        Self { truth: truth(recording, before, &lives, head), promised, epochs, lives: opened }
    }

    pub(crate) fn due(&self, recording: &Recording, cut: &Cut) -> Due {
        let at = cut.steps.checked_sub(1).map_or(0, |last| recording.steps[last].at);
        let epoch = self.epochs[cut.steps];
        let offers = recording.offers.iter().filter(|offer| offer.at <= at);
        let (mut offered, mut received) = (0, IntervalSet::default());
        let mut evicted = IntervalSet::default();
        for offer in offers {
            if let Some((first, last)) = offer.content.range() {
                if Some(offer.content.epoch) == epoch {
                    offered = offered.max(last);
                }
                if offer.accepted {
                    received.insert(first, last);
                }
            }
            for (first, last) in &offer.content.evicted {
                evicted.insert(*first, *last);
            }
        }
        let allowed = INTERVAL + UNDER_WAY;
        let allowed = u64::try_from(allowed.as_micros()).expect("a short time");
        let life = self.lives.iter().rev().find(|opened| **opened <= at).copied();
        Due {
            promised: self.promised[cut.steps],
            begun: recording.sensor.begun.by(at),
            overdue: life
                .map_or(0, |life| recording.sensor.done.between(life, at.saturating_sub(allowed))),
            epoch,
            keeps_epoch: !matches!(cut.model, Model::Some(_)) && cut.sectors == 0,
            offered,
            received,
            evicted,
            same_boot: cut.same_boot,
        }
    }
}

/// Which reading each number is: what the receiver was offered tells, and within one life of the
/// daemon the sensor's numbers run with ours.
fn truth(
    recording: &Recording,
    before: &BTreeMap<u64, u64>,
    lives: &[u64],
    head: u64,
) -> BTreeMap<u64, u64> {
    let mut truth = before.clone();
    for (seq, n) in recording.offers.iter().flat_map(|offer| &offer.content.readings) {
        let known = *truth.entry(*seq).or_insert(*n);
        assert_eq!(known, *n, "number {seq} was offered for two readings");
    }
    let ends = lives.iter().skip(1).copied().chain([head + 1]);
    for (first, end) in lives.iter().copied().zip(ends) {
        let known = truth.range(first..end).next().map(|(seq, n)| n - seq);
        let previous = truth.range(..first).next_back().map_or(0, |(seq, n)| n - seq);
        for seq in first..end {
            let n = seq + known.unwrap_or(previous);
            assert_eq!(*truth.entry(seq).or_insert(n), n, "the readings of a life have no gaps");
        }
    }
    assert!(truth.values().is_sorted_by(|a, b| a < b), "readings keep their order");
    truth
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    let rest = text.split(key).nth(1)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What a run of cuts came to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) outcomes: Vec<(Cut, Outcome)>,
    pub(crate) complaints: Vec<String>,
}

impl Verdict {
    pub(crate) fn new_epochs(&self) -> usize {
        self.outcomes.iter().filter(|(_, outcome)| outcome.new_epoch).count()
    }

    /// Fails with what was wrong and how to see it again.
    pub(crate) fn assert_good(&self, seed: u64) {
        let shown: Vec<&str> = self.complaints.iter().take(SHOWN).map(String::as_str).collect();
        assert!(
            shown.is_empty(),
            "{} of {} cuts broke a promise (seed {seed}):\n{}",
            self.complaints.len(),
            self.complaints.len() + self.outcomes.len(),
            shown.join("\n")
        );
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
        let due = story.due(recording, cut);
        match bench.check(&image(&medium, recording, cut), &due, &story.truth) {
            Ok(outcome) => verdict.outcomes.push((*cut, outcome)),
            Err(complaint) => {
                let around = around(&recording.steps, cut.steps);
                verdict.complaints.push(format!("{cut:?}: {complaint}{around}"));
            }
        }
    }
    verdict
}

/// What is there after a cut.
pub(crate) fn image(medium: &Medium, recording: &Recording, cut: &Cut) -> crate::medium::Image {
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

/// The number that the medium gives to the file of the log.
fn file_of_log(recording: &Recording) -> usize {
    recording.end().get("log.db").expect("a log").file
}

/// What went on there, for a person.
fn around(steps: &[Step], at: usize) -> String {
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
