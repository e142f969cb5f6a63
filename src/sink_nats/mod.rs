//! The `nats` sink: one JetStream message per reading.
//!
//! ```text
//!  batch ─▶ messages, each with its own id ─▶ connection ─▶ stream: stores it, or knows the id already
//!  receipt ◀── every message is acknowledged ◀──────────────┘
//! ```
//!
//! The id of a message is (device, epoch, seq), not that of the batch: after a crash the same readings
//! may be cut into other batches, and what is stored once must be known whatever it comes with.

use std::time::Duration;

use tokio::sync::Mutex;

use self::answers::{Stored, Unstored, Verdict, verdict};
use self::client::{Connection, Failure};
use self::doubt::{Doubt, Found, What, life};
use self::login::Login;
use self::streams::why_nobody_takes;
use self::subject::Subjects;
use self::wire::Publish;
use crate::config::NatsSink as NatsConfig;
use crate::domain::batch::Batch;
use crate::domain::endpoint::Endpoint;
use crate::domain::event_line::EventLine;
use crate::upload::json::Lines;
use crate::upload::{Deliver, Receipt, Refusal, SetupError, Wire, tls};

mod answers;
mod client;
mod doubt;
mod login;
mod streams;
mod subject;
mod wire;

/// What a reading of one or two channels takes with its subject and id.
pub(super) const BYTES_PER_READING: u64 = 256;
/// Messages sent and not yet acknowledged: what a link of 0.6 s carries at 7,000 readings/s, and well
/// below the 10,000 at which a server (from 2.11) turns messages away.
const UNANSWERED_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct NatsSink {
    url: String,
    config: NatsConfig,
    wire: Wire,
    /// To explain a refusal: what is left of an attempt will do.
    patience: Duration,
    state: Mutex<State>,
}

/// Taken by the batch that is sent: if that is dropped midway, its connection goes with it, and what
/// became of it is in doubt.
#[derive(Debug)]
struct State {
    idle: Option<Connection>,
    doubt: Doubt,
}

impl NatsSink {
    /// An attempt ends after `timeout`.
    pub(crate) fn new(
        config: &NatsConfig,
        timeout: Duration,
        endpoint: &Endpoint,
        wire: &Wire,
    ) -> Self {
        Self {
            url: endpoint.url.clone(),
            config: config.clone(),
            wire: wire.clone(),
            patience: timeout / 4,
            state: Mutex::new(State { idle: None, doubt: Doubt::new(timeout) }),
        }
    }

    /// What would keep this sink from ever sending.
    pub(crate) fn check(config: &NatsConfig) -> Result<(), SetupError> {
        Login::read(config)?;
        tls::client_config(&config.tls).map(drop)
    }
}

impl Deliver for NatsSink {
    async fn deliver(&self, batch: &Batch) -> Result<Receipt, Refusal> {
        let mut state = self.state.lock().await;
        let refusal = |failure: Failure| failure.into_refusal(&self.config.tls);
        let mut connection = self.connection(state.idle.take()).await.map_err(refusal)?;
        let result = self.exchange(&mut connection, &mut state.doubt, batch).await;
        // One that failed, or was dropped midway, is not used again.
        let result = result.map_err(refusal)?;
        state.idle = Some(connection);
        result
    }
}

impl NatsSink {
    async fn connection(&self, idle: Option<Connection>) -> Result<Connection, Failure> {
        if let Some(mut idle) = idle {
            if idle.is_alive().await {
                return Ok(idle);
            }
        }
        Connection::open(&self.url, &self.config, &self.wire).await
    }

    async fn exchange(
        &self,
        connection: &mut Connection,
        doubt: &mut Doubt,
        batch: &Batch,
    ) -> Result<Result<Receipt, Refusal>, Failure> {
        let subjects = Subjects::new(&self.config.subject, &batch.device).all();
        doubt.resolve(connection, batch, &subjects).await?;
        let messages = match Messages::of(batch, &self.config, connection, doubt.found()) {
            Ok(messages) => messages,
            Err(refusal) => return Ok(Err(refusal)),
        };
        doubt.sending();
        let answers = publish(connection, &messages).await?;
        doubt.answered(answers.place);
        Ok(match answers.refusal {
            None => Ok(Receipt { bytes: messages.bytes.len() as u64 }),
            Some(Unstored::Refused(refusal)) => Err(refusal),
            Some(Unstored::NoStream) => {
                Err(why_nobody_takes(connection, &subjects, self.patience).await?)
            }
        })
    }
}

/// A batch as it goes over the wire.
#[derive(Debug)]
struct Messages {
    bytes: Vec<u8>,
    /// Where each message ends.
    ends: Vec<usize>,
    /// The number that the answer to the first one has.
    first: u64,
}

impl Messages {
    /// Without what is known to be there.
    fn of(
        batch: &Batch,
        config: &NatsConfig,
        connection: &mut Connection,
        there: &Found,
    ) -> Result<Self, Refusal> {
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
        // First what happened: the start of an epoch or a sensor's description, then its readings.
        let subject = subjects.of_events();
        for told in &batch.events {
            encoder.add(What::Event(told.position), &subject, |body| {
                // Writing into memory does not fail.
                drop(serde_json::to_writer(body, &EventLine::of(batch, told)));
            });
        }
        let lines = Lines::of_batch(batch);
        let encoded = batch.for_each(|dated| {
            let subject = subjects.of_sensor(dated.reading.sensor, dated.sensor);
            encoder.add(What::Reading(dated.reading.seq), subject, |body| lines.add(body, &dated));
        });
        encoded.map_err(Refusal::unencoded)?;
        let (longest, most) = (encoder.longest, encoder.connection.max_payload);
        if longest > most {
            // Smaller batches would not help, and the server would hang up.
            let detail = format!("a message of {longest} bytes, where the server takes {most}");
            return Err(Refusal::rejected(format!("{detail}; raise max_payload of nats-server")));
        }
        Ok(encoder.messages)
    }
}

struct Encoder<'a> {
    messages: Messages,
    life: String,
    stream: Option<&'a str>,
    connection: &'a Connection,
    there: &'a Found,
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
        let publish = Publish { subject, reply: &reply, headers, body: body.trim_ascii_end() };
        self.longest = self.longest.max(publish.write(&mut messages.bytes));
        messages.ends.push(messages.bytes.len());
    }
}

/// What came back for a batch, each message counted once.
#[derive(Debug)]
struct Answers {
    answered: Vec<bool>,
    count: usize,
    /// The furthest.
    place: Option<(String, u64)>,
    /// The gravest: one that asks to wait comes before one that will never have a message.
    refusal: Option<Unstored>,
}

impl Answers {
    fn note(&mut self, number: usize, verdict: Verdict) {
        let Some(answered) = self.answered.get_mut(number) else { return };
        self.count += usize::from(!*answered);
        *answered = true;
        match verdict {
            Ok(Stored { stream, seq }) => {
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

/// Sends all messages and waits for all answers. No more are sent once one was refused.
async fn publish(connection: &mut Connection, messages: &Messages) -> Result<Answers, Failure> {
    let mut all = messages.ends.len();
    let mut answers = Answers { answered: vec![false; all], count: 0, place: None, refusal: None };
    let (inbox, mut sent) = (connection.inbox().to_owned(), 0);
    while answers.count < all {
        // By half a window at a time: neither a write for each answer nor a pause for want of them.
        if sent < all && sent - answers.count <= UNANSWERED_MAX / 2 {
            let next = all.min(answers.count + UNANSWERED_MAX);
            let start = if sent == 0 { 0 } else { messages.ends[sent - 1] };
            connection.write(&messages.bytes[start..messages.ends[next - 1]]).await?;
            sent = next;
        }
        connection
            .hear(|message| {
                let number = Connection::answers(&inbox, message)
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
