//! The `nats` sink: one JetStream message per reading.
//!
//! ```text
//!  batch ─▶ messages, each with its own id ─▶ connection ─▶ stream: stores it, or knows the id already
//!  receipt ◀── every message is acknowledged ◀──────────────┘
//! ```
//!
//! `messages` makes them (to where says `subject`), `flight` sends and counts answers, `client` is the
//! connection, with `login` and the text protocol in `wire`; `answers` says what refusals mean,
//! `streams` asks which stream there is, and `doubt` what it has after an interruption.
//!
//! The id of a message is (device, epoch, seq), not that of the batch: after a crash the same readings
//! may be cut into other batches, and what is stored once must be known whatever it comes with.

use std::time::Duration;

use outstation_codec::Batch;
use tokio::sync::Mutex;

use self::answers::Unstored;
use self::client::{Connection, Failure};
use self::doubt::Doubt;
use self::flight::publish;
use self::login::Login;
use self::messages::Messages;
use self::streams::why_nobody_takes;
use self::subject::Subjects;
use crate::config::NatsSink as NatsConfig;
use crate::credentials::SetupError;
use crate::domain::model::endpoint::Endpoint;
use crate::transport::tls;
use crate::upload::{Deliver, Receipt, Refusal, Wire};

mod answers;
mod client;
mod doubt;
mod flight;
mod login;
mod messages;
mod streams;
mod subject;
mod wire;

/// What a reading of one or two channels takes with its subject and id.
pub(super) const BYTES_PER_READING: u64 = 256;

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
            Some(Unstored::Refused(error)) => Err(error.into()),
            Some(Unstored::NoStream) => {
                Err(why_nobody_takes(connection, &subjects, self.patience).await?.into())
            }
        })
    }
}
