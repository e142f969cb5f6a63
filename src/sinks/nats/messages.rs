//! Encodes a batch as NATS messages, without those that are known to be in the stream.

use outstation_codec::Batch;

use super::client::NatsConnection;
use super::config::NatsConfig;
use super::in_doubt::{FoundMessages, What, life};
use super::subject::Subjects;
use super::wire::PublishCommand;
use crate::domain::model::event_line::EventLine;
use crate::encoding::json::JsonLines;
use crate::upload::{Class, DeliveryError, Rejection, SinkRefusal, Unencoded};

/// The messages of a batch as they are sent.
#[derive(Debug)]
pub(super) struct NatsMessages {
    pub(super) bytes: Vec<u8>,
    /// The end of each message in `bytes`.
    pub(super) ends: Vec<usize>,
    /// The number of the answer to the first message.
    pub(super) first: u64,
}

impl NatsMessages {
    /// Encodes a batch without the messages that are in the stream already.
    pub(super) fn of(
        batch: &Batch,
        config: &NatsConfig,
        connection: &mut NatsConnection,
        there: &FoundMessages,
    ) -> Result<Self, SinkRefusal> {
        let count = batch.events.len() + usize::try_from(batch.readings()).unwrap_or(usize::MAX);
        let first = connection.numbers(count);
        let mut encoder = Encoder {
            messages: Self { bytes: Vec::new(), ends: Vec::new(), first },
            life: life(batch),
            stream: config.stream.as_deref(),
            connection,
            there,
            longest: 0,
        };
        let mut subjects = Subjects::new(&config.subject, &batch.device);
        // Events come first: the start of an epoch or the description of a sensor, then its readings.
        let subject = subjects.of_events();
        for record in &batch.events {
            encoder.add(What::Event(record.position), &subject, |body| {
                // Writing into memory does not fail.
                drop(serde_json::to_writer(body, &EventLine::of(batch, record)));
            });
        }
        let lines = JsonLines::of_batch(batch);
        let encoded = batch.for_each(|dated| {
            let subject = subjects.of_sensor(dated.reading.sensor, dated.sensor);
            encoder.add(What::Reading(dated.reading.seq), subject, |body| lines.add(body, &dated));
        });
        encoded.map_err(Unencoded::new)?;
        let (longest, most) = (encoder.longest, encoder.connection.max_payload);
        if longest > most {
            // Smaller batches would not help, and the server would close the connection.
            return Err(TooLong { longest, most }.into());
        }
        Ok(encoder.messages)
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "a message of {longest} bytes, where the server takes {most}; raise max_payload of nats-server"
)]
struct TooLong {
    longest: usize,
    most: usize,
}

impl DeliveryError for TooLong {
    fn class(&self) -> Class {
        Class::Rejected(Rejection::Content)
    }
}

struct Encoder<'a> {
    messages: NatsMessages,
    life: String,
    stream: Option<&'a str>,
    connection: &'a NatsConnection,
    there: &'a FoundMessages,
    longest: usize,
}

impl Encoder<'_> {
    fn add(&mut self, what: What, subject: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if self.there.has(&self.life, what) {
            return;
        }
        let (id, mut body) = (what.id(&self.life), Vec::new());
        write(&mut body);
        let messages = &mut self.messages;
        let reply = self.connection.reply(messages.first + messages.ends.len() as u64);
        let all =
            [("Nats-Msg-Id", &*id), ("Nats-Expected-Stream", self.stream.unwrap_or_default())];
        let headers = if self.stream.is_some() { &all[..] } else { &all[..1] };
        let publish =
            PublishCommand { subject, reply: &reply, headers, body: body.trim_ascii_end() };
        self.longest = self.longest.max(publish.write(&mut messages.bytes));
        messages.ends.push(messages.bytes.len());
    }
}
