//! Delivers to a stream: resolves what is in doubt, publishes the messages, and waits for every
//! acknowledgement. Retries are left to `upload/stack`.

use std::time::Duration;

use outstation_codec::Batch;
use tokio::sync::Mutex;

use super::answers::Unstored;
use super::client::{Failure, NatsConnection};
use super::config::NatsConfig;
use super::flight::publish;
use super::in_doubt::InDoubt;
use super::login::NatsLogin;
use super::messages::NatsMessages;
use super::streams::why_nobody_takes;
use super::subject::Subjects;
use crate::credentials::SetupError;
use crate::domain::model::endpoint::Endpoint;
use crate::sinks::kind::SinkContext;
use crate::transport::tls;
use crate::upload::{Deliver, Receipt, SinkRefusal, Wire};

/// The size in bytes of a reading with one or two channels, with its subject and id.
pub(super) const BYTES_PER_READING: u64 = 256;

#[derive(Debug)]
pub(crate) struct NatsSink {
    url: String,
    config: NatsConfig,
    wire: Wire,
    /// The time limit for the question that explains a refusal, a part of the time of an attempt.
    patience: Duration,
    state: Mutex<State>,
}

/// The state that one delivery locks. If the delivery is dropped midway, its connection is dropped with it,
/// and what it has sent is in doubt.
#[derive(Debug)]
struct State {
    idle: Option<NatsConnection>,
    in_doubt: InDoubt,
}

impl NatsSink {
    pub(crate) fn new(config: &NatsConfig, endpoint: &Endpoint, context: &SinkContext) -> Self {
        let timeout = context.timeout;
        Self {
            url: endpoint.url.clone(),
            config: config.clone(),
            wire: context.wire.clone(),
            patience: timeout / 4,
            state: Mutex::new(State { idle: None, in_doubt: InDoubt::new(timeout) }),
        }
    }

    /// Checks the files that the sink needs. An error means that the sink could never send anything.
    pub(crate) fn check(config: &NatsConfig) -> Result<(), SetupError> {
        NatsLogin::read(config)?;
        tls::client_config(&config.tls).map(drop)
    }
}

impl Deliver for NatsSink {
    async fn deliver(&self, batch: &Batch) -> Result<Receipt, SinkRefusal> {
        let mut state = self.state.lock().await;
        let refusal = |failure: Failure| failure.into_refusal(&self.config.tls);
        let mut connection = self.connection(state.idle.take()).await.map_err(refusal)?;
        let result = self.exchange(&mut connection, &mut state.in_doubt, batch).await;
        // A connection that failed, or was dropped midway, is not used again.
        let result = result.map_err(refusal)?;
        state.idle = Some(connection);
        result
    }
}

impl NatsSink {
    async fn connection(&self, idle: Option<NatsConnection>) -> Result<NatsConnection, Failure> {
        if let Some(mut idle) = idle {
            if idle.is_alive().await {
                return Ok(idle);
            }
        }
        NatsConnection::open(&self.url, &self.config, &self.wire).await
    }

    async fn exchange(
        &self,
        connection: &mut NatsConnection,
        in_doubt: &mut InDoubt,
        batch: &Batch,
    ) -> Result<Result<Receipt, SinkRefusal>, Failure> {
        let subjects = Subjects::new(&self.config.subject, &batch.device).all();
        in_doubt.resolve(connection, batch, &subjects).await?;
        let messages = match NatsMessages::of(batch, &self.config, connection, in_doubt.found()) {
            Ok(messages) => messages,
            Err(refusal) => return Ok(Err(refusal)),
        };
        in_doubt.sending();
        let answers = publish(connection, &messages).await?;
        in_doubt.answered(answers.place);
        Ok(match answers.refusal {
            None => Ok(Receipt { bytes: messages.bytes.len() as u64 }),
            Some(Unstored::Refused(error)) => Err(error.into()),
            Some(Unstored::NoStream) => {
                Err(why_nobody_takes(connection, &subjects, self.patience).await?.into())
            }
        })
    }
}
