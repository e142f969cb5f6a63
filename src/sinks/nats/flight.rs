//! Sends the messages of one batch: many may be unacknowledged at a time, and each is acknowledged by
//! itself. After an interruption, `in_doubt.rs` finds out which of them arrived.

use super::answers::{PubAck, PublishVerdict, Unstored, verdict};
use super::client::{Failure, NatsConnection};
use super::messages::NatsMessages;

/// The most messages that may be unacknowledged at a time. It is what a link with a round-trip time of 0.6
/// s needs for 7,000 readings per second, and well below the 10,000 at which a server (from 2.11) refuses
/// messages.
const UNANSWERED_MAX: usize = 4096;

/// The answers to a batch, with each message counted once.
#[derive(Debug)]
pub(super) struct Answers {
    answered: Vec<bool>,
    count: usize,
    /// The stream and the highest sequence number that was acknowledged.
    pub(super) place: Option<(String, u64)>,
    /// The gravest refusal. One that is transient takes precedence over a final one.
    pub(super) refusal: Option<Unstored>,
}

impl Answers {
    fn note(&mut self, number: usize, verdict: PublishVerdict) {
        let Some(answered) = self.answered.get_mut(number) else { return };
        self.count += usize::from(!*answered);
        *answered = true;
        match verdict {
            Ok(PubAck { stream, seq }) => {
                if self.place.as_ref().is_none_or(|(_, furthest)| *furthest < seq) {
                    self.place = Some((stream, seq));
                }
            }
            Err(unstored) => {
                if self
                    .refusal
                    .as_ref()
                    .is_none_or(|known| known.is_final() && !unstored.is_final())
                {
                    self.refusal = Some(unstored);
                }
            }
        }
    }
}

/// Sends all messages and waits for all answers. After a refusal no more messages are sent.
pub(super) async fn publish(
    connection: &mut NatsConnection,
    messages: &NatsMessages,
) -> Result<Answers, Failure> {
    let mut all = messages.ends.len();
    let mut answers = Answers { answered: vec![false; all], count: 0, place: None, refusal: None };
    let (inbox, mut sent) = (connection.inbox().to_owned(), 0);
    while answers.count < all {
        // Send half a window at a time: this avoids both a write per answer and a pause for lack of
        // answers.
        if sent < all && sent - answers.count <= UNANSWERED_MAX / 2 {
            let next = all.min(answers.count + UNANSWERED_MAX);
            let start = if sent == 0 { 0 } else { messages.ends[sent - 1] };
            connection.write(&messages.bytes[start..messages.ends[next - 1]]).await?;
            sent = next;
        }
        connection
            .hear(|message| {
                let number = NatsConnection::answers(&inbox, message)
                    .and_then(|number| number.checked_sub(messages.first))
                    .and_then(|number| usize::try_from(number).ok())
                    .filter(|number| *number < sent);
                if let Some(number) = number {
                    answers.note(number, verdict(message));
                }
            })
            .await?;
        if answers.refusal.is_some() {
            all = sent;
        }
    }
    Ok(answers)
}
