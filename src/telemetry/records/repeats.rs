//! Repeats: what is said again and again about the same thing is said now and then, and counted.
//!
//! Each subject (the port, sink or actor that an event is about) has a few records in hand and
//! earns one a minute. What comes beyond that is held back: the newest one waits, stands for those
//! before it, and is said when the next record is earned. So the first is said at once, the last
//! state is always said, and nothing vanishes without being counted.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::Level;

use super::record::Record;
use crate::telemetry::events::message_ids;

/// In hand: a technician who plugs a cable three times sees all six moves at once.
const IN_HAND: u32 = 6;
const EARNED_EVERY: Duration = Duration::from_secs(60);
/// Far more subjects than a site has. Beyond it events share what they have in hand by their kind.
const SUBJECTS_MAX: usize = 256;

/// Which fields say what an event is about.
const SUBJECT: [&str; 7] = ["port", "sensor", "sink", "endpoint", "actor", "lane", "url"];

/// Events that tell of one state share what they have in hand: otherwise an old `absent` that was
/// held back could be said after the `opened` that ended it.
const STATES: [&[&str]; 5] = [
    &[message_ids::PORT_ABSENT, message_ids::PORT_OPENED],
    &[message_ids::LOG_TROUBLE, message_ids::LOG_HEALED],
    &[message_ids::TAIL_UNWRITTEN, message_ids::TAIL_RECORDS_AGAIN],
    &[message_ids::BREAKER_OPENED, message_ids::SINK_MISCONFIGURED, message_ids::BREAKER_CLOSED],
    &[message_ids::SINK_HELD_BACK, message_ids::SINK_GOES_ON],
];

#[derive(Debug, Default)]
pub(crate) struct Repeats {
    subjects: BTreeMap<(String, String), Subject>,
}

#[derive(Debug, Default)]
struct Subject {
    /// When everything will be in hand again.
    full_at: Duration,
    /// With when it was said last.
    held: Option<(Record, Duration)>,
}

impl Repeats {
    /// The record, if it may be said now.
    pub(crate) fn admit(&mut self, record: Record, now: Duration) -> Option<Record> {
        // Whoever asks for every detail gets it.
        if record.level > Level::INFO {
            return Some(record);
        }
        let subject = self.subject(&record, now);
        if subject.held.is_none() && subject.due() <= now {
            subject.spend(now);
            return Some(record);
        }
        let mut record = record;
        if let Some((older, _)) = &subject.held {
            record.absorb(older);
        }
        subject.held = Some((record, now));
        None
    }

    /// What was held back and may be said now, with when it happened last.
    pub(crate) fn release(&mut self, now: Duration) -> Vec<(Record, Duration)> {
        let due = self.subjects.values_mut().filter(|subject| subject.due() <= now);
        let earned = due.filter_map(|subject| {
            let held = subject.held.take()?;
            subject.spend(now);
            Some(held)
        });
        earned.collect()
    }

    /// All that was held back, because the process ends.
    pub(crate) fn release_all(&mut self) -> Vec<(Record, Duration)> {
        self.subjects.values_mut().filter_map(|subject| subject.held.take()).collect()
    }

    /// When something that is held back may be said.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let held = self.subjects.values().filter(|subject| subject.held.is_some());
        held.map(Subject::due).min()
    }

    fn subject(&mut self, record: &Record, now: Duration) -> &mut Subject {
        let mut key = key(record);
        if self.subjects.len() >= SUBJECTS_MAX && !self.subjects.contains_key(&key) {
            self.subjects.retain(|_, subject| subject.held.is_some() || subject.full_at > now);
            if self.subjects.len() >= SUBJECTS_MAX {
                key.1.clear();
            }
        }
        self.subjects.entry(key).or_default()
    }
}

impl Subject {
    /// When there is something in hand.
    fn due(&self) -> Duration {
        self.full_at.saturating_sub(EARNED_EVERY * (IN_HAND - 1))
    }

    fn spend(&mut self, now: Duration) {
        self.full_at = self.full_at.max(now) + EARNED_EVERY;
    }
}

/// What kind of event it is, and what it is about.
fn key(record: &Record) -> (String, String) {
    let state = STATES.iter().find(|state| state.contains(&record.message_id.as_str()));
    let kind = match (state, record.message_id.as_str()) {
        (Some(state), _) => state[0].to_owned(),
        (None, "") => format!("{:?}", record.place),
        (None, id) => id.to_owned(),
    };
    let parts = SUBJECT.iter().filter_map(|name| record.field(name));
    let subject: Vec<String> = parts.map(ToString::to_string).collect();
    // One that names nothing and tells of no state is about what its message says.
    match (subject.is_empty(), state) {
        (true, None) => (kind, record.message.clone()),
        _ => (kind, subject.join("\n")),
    }
}

#[cfg(test)]
mod tests;
