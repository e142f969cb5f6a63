//! What is known about a recording, and what is expected after a cut of it.

use std::collections::BTreeMap;
use std::time::Duration;

use outstation::domain::model::interval_set::IntervalSet;
use serde::{Deserialize, Serialize};

use crate::check::{Continuity, Expected};
use crate::cuts::Cut;
use crate::journal::{
    JOURNAL, begins_rewriting, ends_rewriting, is_cut_off, is_mark, page_of, stands_alone,
};
use crate::medium::{Image, Model};
use crate::record::{INTERVAL, Recording};
use crate::trace::{Step, What};

/// How long a reading may be under way besides the declared interval: a port gathers for a tenth of
/// a second, and the rest is for what else the machine does. A daemon that is traced while the machine
/// is busy takes many times as long for the same calls, so two things are measured and come on top.
/// A reading that arrives while a commit is under way waits for that one and for its own: twice the
/// longest commit. And when nothing went on at all, nothing was committed either.
const UNDER_WAY: Duration = Duration::from_secs(3);

/// What is known of the log before the first step of a recording.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Before {
    /// Which reading each number is that had been promised.
    pub(crate) truth: BTreeMap<u64, u64>,
    /// None if there is no log.
    pub(crate) epoch: Option<u64>,
    /// Whether its last commit is there in parts.
    pub(crate) torn: bool,
}

/// Whether parts of a commit are in the journal that nobody completes any more, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    None,
    /// From before the first step.
    Inherited,
    /// The mark that this step wrote, as long as its page is not there.
    Mark(usize),
    /// The mark and its page are there, and the checksums of the commit are being written again.
    Rewriting,
    /// They were cut off, and the log has not said that it is open.
    Removed,
}

#[derive(Debug)]
pub(crate) struct Story {
    /// By number: which reading it is.
    pub(crate) truth: BTreeMap<u64, u64>,
    /// By step: the last number promised, the epoch, and what is there in parts.
    promised: Vec<u64>,
    epochs: Vec<Option<u64>>,
    parts: Vec<Parts>,
    /// When each life of the daemon had opened the log.
    lives: Vec<u64>,
    /// How long a reading may be under way.
    under_way: u64,
    /// After so many steps the log knows the boot in which it was recorded.
    knows_boot: usize,
}

impl Story {
    pub(crate) fn of(recording: &Recording) -> Self {
        let before = &recording.before;
        let mut head = before.truth.keys().next_back().copied().unwrap_or(0);
        let (mut promised, mut epochs) = (vec![head], vec![before.epoch]);
        let (mut epoch, mut lives, mut opened) = (before.epoch, vec![], vec![]);
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
        let committed = recording.steps.iter().position(
            |step| matches!(&step.what, What::Said(said) if said.contains("committed head=")),
        );
        let commits = 2 * longest_commit(&recording.steps);
        let under_way = INTERVAL + UNDER_WAY + commits + recording.standstill;
        let knows_boot = if before.epoch.is_some() { Some(0) } else { committed.map(|at| at + 1) };
        Self {
            truth: truth(recording, &lives, head),
            promised,
            epochs,
            parts: parts(&recording.steps, before.torn),
            lives: opened,
            under_way: u64::try_from(under_way.as_micros()).expect("a short time"),
            knows_boot: knows_boot.unwrap_or(usize::MAX),
        }
    }

    /// The last number that was promised in so many steps.
    pub(crate) fn promised(&self, steps: usize) -> u64 {
        self.promised[steps]
    }

    pub(crate) fn expected(&self, recording: &Recording, cut: &Cut, image: &Image) -> Expected {
        let at = time_of(recording, cut);
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
        let life = self.lives.iter().rev().find(|opened| **opened <= at).copied();
        let done = &recording.sending.done;
        Expected {
            promised: self.promised[cut.steps],
            started: recording.sending.started.by(at),
            overdue: life.map_or(0, |life| done.between(life, at.saturating_sub(self.under_way))),
            epoch,
            continuity: self.continuity(&recording.steps, cut, image),
            offered,
            received,
            evicted,
            same_boot: cut.same_boot,
        }
    }

    fn continuity(&self, steps: &[Step], cut: &Cut, image: &Image) -> Continuity {
        if cut.same_boot {
            // The boot is in the first commit of the boot. Before that the log cannot tell a process
            // that was killed from the power cut that the boot began with.
            let knows_boot = cut.steps >= self.knows_boot;
            return if knows_boot { Continuity::Kept } else { Continuity::Either };
        }
        match (self.parts[cut.steps], cut.model) {
            // Nothing was written to the journal since.
            (Parts::Inherited, _) => Continuity::Anew,
            // The process that cut them off goes on in the epoch, because it knows its boot. A power
            // cut before it is done with that is another matter.
            (Parts::Removed, _) => Continuity::Either,
            // With the mark there and the checksums before it wrong, it is the picture of `Mark` below; with
            // nothing there it is none.
            (Parts::Rewriting, _) => Continuity::Either,
            // What is not synced may be there, or not, or in parts.
            (_, Model::Some(_)) => Continuity::Either,
            _ if cut.sectors > 0 => Continuity::Either,
            // All earlier writes are on the medium, so that the power may have gone before the last
            // one, and nobody saw that commit. It may also have gone later, if the medium said that
            // it had synced the page and had not. Both leave this very picture, so nothing that is
            // there proves that the numbers to come were not given out.
            (Parts::Mark(mark), _) if stands_alone(steps, mark, image) => Continuity::Anew,
            // Without a mark no commit can be seen that was written to its end. Where the medium keeps
            // what it synced, nobody saw one either. Where it does not, it can also lose a commit
            // without a trace, so to begin anew whenever frames without a mark are there would be no
            // proof, and would cost an epoch at most power cuts.
            (Parts::Mark(_) | Parts::None, _) => Continuity::Kept,
        }
    }
}

/// The latest instant of which it is certain that the power was still there.
fn time_of(recording: &Recording, cut: &Cut) -> u64 {
    let started = cut.steps + usize::from(cut.sectors > 0);
    started.checked_sub(1).map_or(recording.since, |last| recording.steps[last].at)
}

/// By step: what is there in parts.
fn parts(steps: &[Step], torn: bool) -> Vec<Parts> {
    let mut now = if torn { Parts::Inherited } else { Parts::None };
    let mut parts = vec![now];
    let mut page = None;
    for (at, step) in steps.iter().enumerate() {
        if ends_rewriting(steps, at) {
            now = Parts::None;
        } else if is_mark(&step.what) {
            (now, page) = (Parts::Mark(at), page_of(steps, at));
        } else if page == Some(at) {
            now = if begins_rewriting(steps, at) { Parts::Rewriting } else { Parts::None };
        } else if is_cut_off(&step.what) && !matches!(now, Parts::None) {
            now = Parts::Removed;
        } else if matches!(&step.what, What::Said(said) if said.contains(" next_seq=")) {
            now = Parts::None;
        }
        parts.push(now);
    }
    parts
}

/// From the first write to the journal until it is said.
fn longest_commit(steps: &[Step]) -> Duration {
    let (mut started, mut longest) = (None, 0);
    for step in steps {
        match &step.what {
            What::Write { name, .. } if name == JOURNAL => started = started.or(Some(step.at)),
            What::Said(said) if said.contains("committed head=") => {
                let started = started.take().unwrap_or(step.at);
                longest = longest.max(step.at.saturating_sub(started));
            }
            What::Said(said) if said.contains("log opened") => started = None,
            _ => {}
        }
    }
    Duration::from_micros(longest)
}

/// Which reading each number is: what the receiver was offered tells, and within one life of the
/// daemon the sensor's numbers run with ours, up to the last that was sent. A daemon that is killed has
/// no time to say what it committed last.
fn truth(recording: &Recording, lives: &[u64], head: u64) -> BTreeMap<u64, u64> {
    let mut truth = recording.before.truth.clone();
    for (seq, n) in recording.offers.iter().flat_map(|offer| &offer.content.readings) {
        let known = *truth.entry(*seq).or_insert(*n);
        assert_eq!(known, *n, "number {seq} was offered for two readings");
    }
    for (life, first) in lives.iter().copied().enumerate() {
        let next = lives.get(life + 1).copied();
        let known = truth.range(first..next.unwrap_or(u64::MAX)).next().map(|(seq, n)| n - seq);
        let previous = truth.range(..first).next_back().map_or(0, |(seq, n)| n - seq);
        let ahead = known.unwrap_or(previous);
        let end = next.unwrap_or_else(|| (head + 1).max(recording.sending.last + 1 - ahead));
        for seq in first..end {
            let n = seq + ahead;
            assert_eq!(*truth.entry(seq).or_insert(n), n, "the readings of a life have no gaps");
        }
    }
    assert!(truth.values().is_sorted_by(|a, b| a < b), "readings keep their order");
    truth
}

/// The number that follows the first such key.
pub(crate) fn number_after(text: &str, key: &str) -> Option<u64> {
    let rest = text.split(key).nth(1)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn what_a_killed_process_left_in_parts_is_there_until_it_is_cut_off() {
    let step = |what| Step { at: 0, what };
    let name = || JOURNAL.to_owned();
    let write =
        |offset, bytes: &[u8]| step(What::Write { name: name(), offset, bytes: bytes.into() });
    let (mut frame, mark) = ([1; 24], [2; 24]);
    frame[4..8].fill(0);
    let opening = [
        step(What::Sync(name())),
        step(What::Create("log.db.torn".to_owned())),
        step(What::Resize { name: name(), length: 0 }),
        write(0, &[0; 4096]),
        step(What::Said("log opened next_seq=5 epoch=7".to_owned())),
    ];
    // Killed in writing the mark.
    let killed = [&[write(32, &frame), write(56, &[3; 512]), write(568, &mark)], &opening[..]];
    let here = Parts::Mark(2);
    let none = Parts::None;
    let expected = [none, none, none, here, here, here, Parts::Removed, Parts::Removed, none];
    assert_eq!(parts(&killed.concat(), false), expected);
    // Killed between the last page and the checksums of a commit that has changed a page twice.
    let twice = [write(56, &[5; 512]), write(568, &mark), write(592, &[4; 512])];
    let killed = [&killed[0][..2], &twice, &opening[..]].concat();
    let (mark, again) = (Parts::Mark(3), Parts::Rewriting);
    let expected =
        [none, none, none, none, mark, again, again, again, Parts::Removed, Parts::Removed, none];
    assert_eq!(parts(&killed, false), expected);
}
