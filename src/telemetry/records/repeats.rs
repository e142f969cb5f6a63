//! Limits repeated records, and counts them.
//!
//! Each subject (the port, sink or actor that an event is about) has a token bucket: a burst of a few
//! records, and one more a minute. Records beyond that are held back. The newest of them stands for
//! those before it and is written with the next token. So the first record is written at once, the last
//! state is always written, and no record is left out without being counted.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::Level;

use super::record::Record;
use crate::telemetry::events::message_ids;

/// A technician who plugs a cable three times sees all six changes at once.
const BURST: u32 = 6;
const REFILL_EVERY: Duration = Duration::from_secs(60);
/// Far more subjects than a site has. Beyond it all new subjects of one kind of event share a bucket.
const SUBJECTS_MAX: usize = 256;

/// The fields that say what an event is about.
const SUBJECT: [&str; 7] = ["port", "sensor", "sink", "endpoint", "actor", "lane", "url"];

/// Events that tell the state of one thing share a bucket. Otherwise an old `absent` that was held back
/// could be written after the `opened` that ended it.
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
    /// When the bucket will be full again.
    full_at: Duration,
    /// The record that is held back, and when it was emitted last.
    held: Option<(Record, Duration)>,
}

impl Repeats {
    /// Returns the record if it may be written now, and holds it back otherwise.
    pub(crate) fn admit(&mut self, record: Record, now: Duration) -> Option<Record> {
        // Debugging wants every detail.
        if record.level > Level::INFO {
            return Some(record);
        }
        let subject = self.subject(&record, now);
        if subject.held.is_none() && subject.token_at() <= now {
            subject.take_token(now);
            return Some(record);
        }
        let mut record = record;
        if let Some((older, _)) = &subject.held {
            record.merge(older);
        }
        subject.held = Some((record, now));
        None
    }

    /// Takes the held records that may be written now, each with the time at which it was emitted last.
    pub(crate) fn release(&mut self, now: Duration) -> Vec<(Record, Duration)> {
        let due = self.subjects.values_mut().filter(|subject| subject.token_at() <= now);
        let released = due.filter_map(|subject| {
            let held = subject.held.take()?;
            subject.take_token(now);
            Some(held)
        });
        released.collect()
    }

    /// Takes all held records, because the process ends.
    pub(crate) fn release_all(&mut self) -> Vec<(Record, Duration)> {
        self.subjects.values_mut().filter_map(|subject| subject.held.take()).collect()
    }

    /// When the next held record may be written.
    pub(crate) fn next_release(&self) -> Option<Duration> {
        let held = self.subjects.values().filter(|subject| subject.held.is_some());
        held.map(Subject::token_at).min()
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
    /// When the bucket has a token.
    fn token_at(&self) -> Duration {
        self.full_at.saturating_sub(REFILL_EVERY * (BURST - 1))
    }

    fn take_token(&mut self, now: Duration) {
        self.full_at = self.full_at.max(now) + REFILL_EVERY;
    }
}

/// The kind of an event and its subject.
fn key(record: &Record) -> (String, String) {
    let state = STATES.iter().find(|state| state.contains(&record.message_id.as_str()));
    let kind = match (state, record.message_id.as_str()) {
        (Some(state), _) => state[0].to_owned(),
        (None, "") => format!("{:?}", record.location),
        (None, id) => id.to_owned(),
    };
    let parts = SUBJECT.iter().filter_map(|name| record.field(name));
    let subject: Vec<String> = parts.map(ToString::to_string).collect();
    // An event that names no subject and tells no state is about what its message says.
    match (subject.is_empty(), state) {
        (true, None) => (kind, record.message.clone()),
        _ => (kind, subject.join("\n")),
    }
}

#[cfg(test)]
mod tests;
