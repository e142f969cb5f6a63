//! Sends the messages of one batch: many may be unacknowledged at a time, and each is acknowledged by
//! itself.
//!
//! The log decides what is sent, so nothing is queued here. Of a batch that was not accepted as a whole,
//! the session remembers which readings the broker has, so that they are not sent again with the rest. It
//! also remembers the packet identifiers of messages whose acknowledgement has not come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::connection::{MqttConnection, ONLINE};
use super::messages::{ItemId, MqttMessage, MqttMessages};
use super::packet::{Incoming, PublishPacket};
use super::reason::{BrokerError, NO_SUBSCRIBER};
use crate::domain::model::interval_set::IntervalSet;
use crate::domain::policy::breaker::Cause;
use crate::upload::SinkRefusal;

/// The most messages that may be unacknowledged at a time, if the broker allows as many. With a round-trip
/// time of 100 ms this is enough for 10,000 messages per second. The messages take no extra memory, because
/// the batch holds them.
const WINDOW: u16 = 1000;
/// The packet identifiers in use: enough for a full window beside as many of an earlier connection.
const NUMBERS: u16 = 2 * WINDOW;
/// The packet identifier of the message that says that the device is online.
const ANNOUNCEMENT: u16 = NUMBERS + 1;
/// The most readings that are remembered as accepted. Readings beyond that may be sent twice.
const TAKEN_MAX: u64 = 1 << 18;

/// What is known of unfinished batches. It outlives a connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    epoch: u64,
    readings: IntervalSet,
    events: IntervalSet,
    /// Whether messages of the last batch had no subscriber.
    unheard: bool,
    /// The packet identifiers of messages that were sent and not acknowledged. The key is the item and the
    /// index of the message among those of the item. The protocol requires that a repeat uses the same
    /// identifier.
    open: BTreeMap<(ItemId, usize), u16>,
}

impl Session {
    /// Forgets the readings of an earlier epoch, because the same numbers name other readings in a new one.
    pub(super) fn enter(&mut self, epoch: u64) {
        if self.epoch != epoch {
            *self = Self { epoch, unheard: self.unheard, ..Self::default() };
        }
    }

    /// Records whether messages had no subscriber. Returns true if they have none now and had one before.
    pub(super) fn is_unheard_now(&mut self, unheard: bool) -> bool {
        !std::mem::replace(&mut self.unheard, unheard) && unheard
    }

    fn has(&self, item: ItemId) -> bool {
        match item {
            ItemId::Event(position) => self.events.contains(position),
            ItemId::Reading(seq) => self.readings.contains(seq),
        }
    }

    fn took(&mut self, item: ItemId) {
        let (set, number) = match item {
            ItemId::Event(position) => (&mut self.events, position),
            ItemId::Reading(seq) => (&mut self.readings, seq),
        };
        if set.count() < TAKEN_MAX {
            set.insert(number, number);
        }
    }

    /// Forgets readings and events that the log will not offer again.
    pub(super) fn accepted(&mut self, readings: &[(u64, u64)], last_event: Option<u64>) {
        for (first, last) in readings {
            self.readings.remove(*first, *last);
        }
        if let Some(last) = last_event {
            self.events.remove(0, last);
        }
        self.open.clear();
    }
}

pub(super) fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    // If a panic left something undone, it is only sent again.
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The delivery of one batch. When it is dropped before it has ended, it saves in the session what is
/// known.
pub(super) struct Flight<'a> {
    messages: &'a MqttMessages,
    session: &'a Mutex<Session>,
    states: Vec<State>,
    /// The index of each message among those of its reading or event.
    parts: Vec<usize>,
    next: usize,
    free: VecDeque<u16>,
    /// The index of each message that is under way, by its packet identifier.
    under_way: BTreeMap<u16, usize>,
    /// The packet identifiers of an earlier connection that repeats must use.
    reserved: BTreeMap<(ItemId, usize), u16>,
    announcing: bool,
    /// The gravest refusal of any message.
    refusal: Option<SinkRefusal>,
    /// The number of messages with readings that had no subscriber, and the index of one of them.
    unheard: (u64, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    ToSend,
    UnderWay(u16),
    Taken,
    Refused,
}

impl<'a> Flight<'a> {
    pub(super) fn new(messages: &'a MqttMessages, session: &'a Mutex<Session>) -> Self {
        let known = lock(session);
        let state = |message: &MqttMessage| match known.has(message.of) {
            true => State::Taken,
            false => State::ToSend,
        };
        let runs = messages.list.chunk_by(|a, b| a.of == b.of);
        Self {
            messages,
            session,
            states: messages.list.iter().map(state).collect(),
            parts: runs.flat_map(|run| 0..run.len()).collect(),
            next: 0,
            free: (1..=NUMBERS).collect(),
            under_way: BTreeMap::new(),
            reserved: BTreeMap::new(),
            announcing: false,
            refusal: None,
            unheard: (0, 0),
        }
    }

    /// The number of messages with readings that had no subscriber, and the topic of one of them.
    pub(super) fn unheard(&self) -> Option<(u64, &'a str)> {
        let (count, at) = self.unheard;
        (count > 0).then(|| (count, self.messages.topic(&self.messages.list[at])))
    }

    /// Whether the broker has every message already.
    pub(super) fn is_over(&self) -> bool {
        self.states.iter().all(|state| *state == State::Taken)
    }

    /// Sends all messages that the broker does not have. If the connection fails, the remaining ones stay
    /// unsent. A refusal of a single message is returned after all other messages have been acknowledged.
    pub(super) async fn run(
        &mut self,
        connection: &mut MqttConnection,
        announce: bool,
    ) -> Result<(), SinkRefusal> {
        self.reserve(connection.terms().session_present);
        if announce {
            self.announce(connection);
        }
        loop {
            self.send(connection);
            if self.is_done() {
                return self.refusal.take().map_or(Ok(()), Err);
            }
            if let Err(lost) = self.exchange(connection).await {
                // Some brokers close the connection after they refuse a message; then the refusal is the
                // better error.
                return Err(self.refusal.take().unwrap_or(lost));
            }
        }
    }

    async fn exchange(&mut self, connection: &mut MqttConnection) -> Result<(), SinkRefusal> {
        connection.exchange().await?;
        while let Some(incoming) = connection.received()? {
            if let Incoming::Acknowledged { id, reason } = incoming {
                self.acknowledged(connection, id, reason);
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let all_sent = self.next == self.states.len() || !self.goes_on();
        all_sent && self.under_way.is_empty() && !self.announcing
    }

    /// Restores the packet identifiers of unacknowledged messages. A broker that has no session does not
    /// expect them.
    fn reserve(&mut self, session_present: bool) {
        let mut open = std::mem::take(&mut lock(self.session).open);
        if !session_present {
            return;
        }
        for (message, part) in self.messages.list.iter().zip(&self.parts) {
            let key = (message.of, *part);
            self.reserved.extend(open.remove(&key).map(|id| (key, id)));
        }
        let reserved: Vec<u16> = self.reserved.values().copied().collect();
        self.free.retain(|id| !reserved.contains(id));
    }

    fn announce(&mut self, connection: &mut MqttConnection) {
        let Some(topic) = connection.status_topic().map(str::to_owned) else { return };
        let payload = Bytes::from_static(ONLINE.as_bytes());
        let (topic, payload) = (topic.as_str(), &payload);
        let online =
            PublishPacket { id: ANNOUNCEMENT, repeated: false, retain: true, topic, payload };
        self.announcing = connection.publish(online).is_ok();
    }

    fn send(&mut self, connection: &mut MqttConnection) {
        let window = usize::from(connection.terms().window.clamp(1, WINDOW));
        while self.next < self.states.len() && connection.has_room() && self.goes_on() {
            if self.states[self.next] == State::ToSend {
                let under_way = self.under_way.len() + usize::from(self.announcing);
                if under_way >= window || !self.send_next(connection) {
                    return;
                }
            }
            self.next += 1;
        }
    }

    /// Whether more messages may be sent. A refusal of a single message does not hold up those behind it;
    /// any other refusal does.
    fn goes_on(&self) -> bool {
        matches!(self.refusal, None | Some(SinkRefusal::Rejected { .. }))
    }

    /// Sends the next message. False if no packet identifier is free.
    fn send_next(&mut self, connection: &mut MqttConnection) -> bool {
        let message = &self.messages.list[self.next];
        let old = self.reserved.remove(&(message.of, self.parts[self.next]));
        let Some(id) = old.or_else(|| self.free.pop_front()) else { return false };
        let topic = self.messages.topic(message);
        let publish = PublishPacket {
            id,
            repeated: old.is_some(),
            retain: false,
            topic,
            payload: &message.payload,
        };
        match connection.publish(publish) {
            Ok(()) => {
                self.states[self.next] = State::UnderWay(id);
                self.under_way.insert(id, self.next);
            }
            Err(size) => {
                self.free.push_back(id);
                self.states[self.next] = State::Refused;
                let topic = topic.to_owned();
                self.refused(BrokerError::TooLarge { topic, size: Some(size) }.into());
            }
        }
        true
    }

    fn acknowledged(&mut self, connection: &MqttConnection, id: u16, code: u8) {
        if id == ANNOUNCEMENT && self.announcing {
            self.announcing = false;
            let topic = connection.status_topic().unwrap_or_default();
            if let Some(error) = BrokerError::of_message(topic, code) {
                self.refused(error.into());
            }
        }
        // An acknowledgement of a message that is not under way is ignored.
        let Some(at) = self.under_way.remove(&id) else { return };
        self.free.push_back(id);
        let of_reading = matches!(self.messages.list[at].of, ItemId::Reading(_));
        if of_reading && code == NO_SUBSCRIBER {
            self.unheard = (self.unheard.0 + 1, at);
        }
        match BrokerError::of_message(self.messages.topic(&self.messages.list[at]), code) {
            None => self.states[at] = State::Taken,
            Some(error) => {
                self.states[at] = State::Refused;
                self.refused(error.into());
            }
        }
    }

    fn refused(&mut self, refusal: SinkRefusal) {
        let weight = |refusal: &SinkRefusal| match refusal {
            SinkRefusal::Rejected { .. } => 1,
            SinkRefusal::Retry { cause: Cause::Misconfigured, .. } => 3,
            SinkRefusal::Retry { .. } => 2,
        };
        if self.refusal.as_ref().map_or(0, weight) < weight(&refusal) {
            self.refusal = Some(refusal);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut session = lock(self.session);
        session.open.append(&mut self.reserved);
        let mut at = 0;
        for run in self.messages.list.chunk_by(|a, b| a.of == b.of) {
            let states = &self.states[at..at + run.len()];
            if states.iter().all(|state| *state == State::Taken) {
                session.took(run[0].of);
            }
            for (part, state) in states.iter().enumerate() {
                if let State::UnderWay(id) = state {
                    session.open.insert((run[0].of, part), *id);
                }
            }
            at += run.len();
        }
    }
}

#[cfg(test)]
mod tests;
