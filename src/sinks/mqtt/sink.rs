//! Delivers to a broker. The connection of a batch is kept for the next one and rests between the two.
//! `flight.rs` sends the messages; retries are left to `upload/stack`.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

use outstation_codec::Batch;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::config::{MqttConfig, Payload};
use super::connection::{KEEP_ALIVE, MqttConnection, OFFLINE};
use super::flight::{Flight, Session, lock};
use super::messages::MqttMessages;
use super::packet::ConnectPacket;
use super::topic;
use crate::credentials::SetupError;
use crate::credentials::file::{FileKind, NamedFile};
use crate::domain::model::endpoint::Endpoint;
use crate::domain::model::template::TemplateNames;
use crate::sinks::kind::SinkContext;
use crate::telemetry::events::{MessagesUnheard, Report as _};
use crate::transport::link::{Address, Io};
use crate::transport::tls;
use crate::upload::{Deliver, Receipt, SinkRefusal, Unencoded, Wire};

/// The schemes and their usual ports.
const SCHEMES: [(&str, u16); 2] = [("mqtt", 1883), (ENCRYPTED, 8883)];
const ENCRYPTED: &str = "mqtts";
/// The size in bytes of a reading with one or two channels as JSON, with its topic.
const JSON_BYTES_PER_READING: u64 = 180;
/// The size in bytes of the bare values of such a reading, each with its topic.
const VALUE_BYTES_PER_READING: u64 = 80;

#[derive(Debug)]
pub(crate) struct MqttSink {
    config: MqttConfig,
    /// The name of the sink.
    name: String,
    url: String,
    wire: Wire,
    session: Mutex<Session>,
    resting: Mutex<Option<Resting>>,
}

/// A connection between two batches. Dropping it ends the connection.
#[derive(Debug)]
struct Resting {
    wanted: oneshot::Sender<()>,
    task: JoinHandle<Option<MqttConnection>>,
}

impl MqttSink {
    pub(crate) fn new(config: &MqttConfig, endpoint: &Endpoint, context: &SinkContext) -> Self {
        Self {
            config: config.clone(),
            name: context.sink.clone(),
            url: endpoint.url.clone(),
            wire: context.wire.clone(),
            session: Mutex::default(),
            resting: Mutex::default(),
        }
    }

    /// Checks the files that the sink needs. An error means that the sink could never send anything.
    pub(crate) fn check(config: &MqttConfig) -> Result<(), SetupError> {
        password(config)?;
        tls::client_config(&config.tls).map(drop)
    }
}

impl Deliver for MqttSink {
    async fn deliver(&self, batch: &Batch) -> Result<Receipt, SinkRefusal> {
        let messages = MqttMessages::of(batch, &self.config).map_err(Unencoded::new)?;
        lock(&self.session).enter(batch.epoch);
        let mut flight = Flight::new(&messages, &self.session);
        let landed = match flight.is_over() {
            true => Ok(()),
            false => self.fly(&mut flight, &batch.device).await,
        };
        let unheard = flight.unheard();
        drop(flight);
        self.report(unheard, landed.is_ok());
        landed?;
        let last_event = batch.events.last().map(|record| record.position);
        lock(&self.session).accepted(&batch.ranges(), last_event);
        Ok(Receipt { bytes: messages.bytes() })
    }
}

impl MqttSink {
    fn report(&self, unheard: Option<(u64, &str)>, landed: bool) {
        // The rest of a failed batch is offered again, so a failure without unheard messages changes
        // nothing.
        let begins =
            (landed || unheard.is_some()) && lock(&self.session).is_unheard_now(unheard.is_some());
        if let Some((count, topic)) = unheard {
            MessagesUnheard { sink: &self.name, topic, count, begins }.report();
        }
    }

    /// Sends the messages over the resting connection or a new one. A connection that fails, or is dropped
    /// midway, is not used again.
    async fn fly(&self, flight: &mut Flight<'_>, device: &str) -> Result<(), SinkRefusal> {
        let (mut connection, is_new) = match self.rested().await {
            Some(connection) => (connection, false),
            None => (self.connect(device).await?, true),
        };
        let landed = flight.run(&mut connection, is_new).await;
        if connection.is_sound() {
            self.rest(connection);
        }
        landed
    }

    /// The connection of the previous batch, if it still exists.
    async fn rested(&self) -> Option<MqttConnection> {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        // Sending fails if the task has ended; the result of the task says why.
        let _ = resting.wanted.send(());
        match resting.task.await {
            Ok(connection) => connection,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(_) => None,
        }
    }

    fn rest(&self, connection: MqttConnection) {
        let (wanted, when_wanted) = oneshot::channel();
        #[expect(
            clippy::disallowed_methods,
            reason = "pings are due while nobody calls; the next call awaits the task, panic and all"
        )]
        let task = tokio::spawn(connection.rest(when_wanted));
        let resting = Resting { wanted, task };
        *self.resting.lock().unwrap_or_else(PoisonError::into_inner) = Some(resting);
    }

    async fn connect(&self, device: &str) -> Result<MqttConnection, SinkRefusal> {
        let (hello, files) = (self.hello(device)?, &self.config.tls);
        let address = Address::of(&self.url, &SCHEMES)?;
        let io: Box<dyn Io> = match address.scheme == ENCRYPTED {
            true => {
                let config = tls::client_config(files)?;
                let plain = address.dial(&self.wire).await?;
                address.encrypt(plain, config, files).await?
            }
            false => Box::new(address.dial(&self.wire).await?),
        };
        MqttConnection::open(io, &self.config, &hello).await
    }

    fn hello(&self, device: &str) -> Result<ConnectPacket, SetupError> {
        let config = &self.config;
        let names = TemplateNames { device, ..TemplateNames::default() };
        let login =
            config.username.as_ref().map(|username| Ok((username.clone(), password(config)?)));
        Ok(ConnectPacket {
            client_id: match &config.client_id {
                Some(id) => id.clone(),
                None => format!("outstation-{device}-{}", self.name),
            },
            keep_alive_s: u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX),
            login: login.transpose()?,
            will: config.status_topic.as_ref().map(|topic| (topic::topic(topic, names), OFFLINE)),
        })
    }
}

/// The password, which is empty if no file is configured.
fn password(config: &MqttConfig) -> Result<String, SetupError> {
    let file =
        config.password_file.as_deref().map(|path| NamedFile::secret(FileKind::Password, path));
    file.map_or_else(|| Ok(String::new()), NamedFile::password)
}

/// The size in bytes of a reading with one or two channels.
pub(crate) fn bytes_per_reading(config: &MqttConfig) -> u64 {
    match config.payload {
        Payload::Json => JSON_BYTES_PER_READING,
        Payload::Value => VALUE_BYTES_PER_READING,
    }
}
