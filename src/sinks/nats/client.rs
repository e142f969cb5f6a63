//! A connection to a NATS server, used by one batch at a time.
//!
//! The connection has no task of its own: it answers the server's pings while it is used, and it is dropped
//! when it was idle for too long. Nothing is queued here, because messages that were not acknowledged are
//! still in the log.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::answers::ServerError;
use super::config::NatsConfig;
use super::login::NatsLogin;
use super::wire::{Info, NatsMessage, Nonsense, Operation, PublishCommand, parse};
use crate::clock::Clock;
use crate::config::TlsFiles;
use crate::credentials::SetupError;
use crate::domain::policy::breaker::Cause;
use crate::transport::link::{Address, Io};
use crate::transport::tls::{self, TlsFault};
use crate::upload::{CHECK_SETTINGS, Class, DeliveryError, SinkRefusal, Wire};

/// The schemes and their usual port. A server may demand TLS with either; the scheme `tls` insists on it.
const SCHEMES: [(&str, u16); 2] = [("nats", 4222), (ENCRYPTED, 4222)];
const ENCRYPTED: &str = "tls";
/// The idle time after which a connection is not used again. Most routers forget it soon after, and the
/// server's pings (every two minutes) are not answered while nothing is sent.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// The number of bytes that one read asks for.
const READ_BYTES: usize = 16 << 10;
/// The id of the subscription to answers.
const ANSWERS: &str = "1";
/// The id of the subscription by which a stream delivers the messages that it holds.
pub(super) const DELIVERIES: &str = "2";

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Refused(#[from] SinkRefusal),
    #[error("the server at `{0}` offers no TLS")]
    NoTls(String),
    #[error(
        "the server sent no challenge for the key in `creds_file` to sign; it takes no such login"
    )]
    NoChallenge,
    #[error("the server is too old: it knows no message headers")]
    NoHeaders,
    #[error("lost the connection")]
    Lost(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("what answers does not speak NATS")]
    Nonsense,
    #[error(transparent)]
    Said(ServerError),
}

impl From<Nonsense> for Failure {
    fn from(_: Nonsense) -> Self {
        Self::Nonsense
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::Refused(error.into())
    }
}

impl Failure {
    /// Converts the failure. `files` are the TLS files that the server was shown.
    pub(super) fn into_refusal(self, files: &TlsFiles) -> SinkRefusal {
        // In TLS 1.3 a server rejects the client certificate only after the handshake.
        if let Self::Lost(error) = &self {
            if let Some(fault) = TlsFault::behind(error, files) {
                return fault.into();
            }
        }
        match self {
            Self::Refused(refusal) => refusal,
            failure => failure.into(),
        }
    }
}

impl DeliveryError for Failure {
    fn class(&self) -> Class {
        match self {
            Self::Refused(refusal) => refusal.class(),
            Self::Said(error) => error.class(),
            Self::NoTls(_) | Self::NoChallenge | Self::NoHeaders => {
                Class::retry(Cause::Misconfigured)
            }
            Self::Lost(_) | Self::Closed | Self::Nonsense => Class::retry(Cause::LinkDown),
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason().remedy(),
            Self::Said(error) => error.remedy(),
            Self::NoTls(_) => "let the server offer TLS, or write `nats:` in `url`",
            Self::NoChallenge => "log in with `token_file` or `username` in place of `creds_file`",
            _ => CHECK_SETTINGS,
        }
    }
}

pub(super) struct NatsConnection {
    stream: Box<dyn Io>,
    /// The bytes that were read. Those before `from` have been parsed.
    read: Vec<u8>,
    from: usize,
    /// The longest message in bytes that the server accepts.
    pub(super) max_payload: usize,
    /// The prefix of the subject of every answer.
    inbox: String,
    /// The number of questions asked so far. Each has its own number, so that a duplicate answer is not
    /// taken for the answer to a later question.
    asked: u64,
    used: Instant,
}

impl std::fmt::Debug for NatsConnection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NatsConnection").field("inbox", &self.inbox).finish_non_exhaustive()
    }
}

/// The content of CONNECT.
#[derive(Serialize)]
struct Connect<'a> {
    #[serde(flatten)]
    login: &'a NatsLogin,
    tls_required: bool,
    name: &'a str,
    version: &'a str,
    lang: &'a str,
    protocol: u8,
    verbose: bool,
    pedantic: bool,
    headers: bool,
    /// A message without a subscriber is answered at once with status 503, instead of never.
    no_responders: bool,
}

impl NatsConnection {
    pub(super) async fn open(url: &str, config: &NatsConfig, wire: &Wire) -> Result<Self, Failure> {
        let address = Address::of(url, &SCHEMES)?;
        let mut connection = Self::over(Box::new(address.dial(wire).await?));
        let info = connection.info().await?;
        if !info.headers {
            return Err(Failure::NoHeaders);
        }
        if address.scheme == ENCRYPTED && !info.tls_required {
            return Err(Failure::NoTls(address.to_string()));
        }
        // A server that demands TLS gets it with either scheme; nothing secret has been sent before.
        if info.tls_required {
            connection = connection.encrypted(&address, &config.tls).await?;
        }
        connection.max_payload = info.max_payload;
        let mut login = NatsLogin::read(config)?;
        if !login.sign(info.nonce.as_deref()) {
            return Err(Failure::NoChallenge);
        }
        connection.introduce(&login, info.tls_required).await?;
        Ok(connection)
    }

    fn over(stream: Box<dyn Io>) -> Self {
        Self {
            stream,
            read: Vec::new(),
            from: 0,
            max_payload: 0,
            inbox: format!("_INBOX.{:016x}.", Clock::entropy()),
            asked: 0,
            used: Instant::now(),
        }
    }

    async fn encrypted(self, address: &Address, files: &TlsFiles) -> Result<Self, Failure> {
        // Bytes that arrived unencrypted before the handshake must not be trusted.
        if self.from < self.read.len() {
            return Err(Failure::Nonsense);
        }
        let config = tls::client_config(files)?;
        Ok(Self::over(address.encrypt(self.stream, config, files).await?))
    }

    async fn info(&mut self) -> Result<Info, Failure> {
        loop {
            if let Some((operation, used)) = parse(&self.read[self.from..])? {
                let Operation::Info(info) = operation else { return Err(Failure::Nonsense) };
                self.from += used;
                return Ok(*info);
            }
            self.fill().await?;
        }
    }

    /// Logs in, subscribes to answers, and waits until the server has processed all of that.
    async fn introduce(&mut self, login: &NatsLogin, tls_required: bool) -> Result<(), Failure> {
        let connect = Connect {
            login,
            tls_required,
            name: "outstation",
            version: env!("CARGO_PKG_VERSION"),
            lang: "rust",
            protocol: 1,
            verbose: false,
            pedantic: false,
            headers: true,
            no_responders: true,
        };
        let connect = serde_json::to_string(&connect).map_err(io::Error::from)?;
        let inbox = &self.inbox;
        let hello = format!("CONNECT {connect}\r\nSUB {inbox}* {ANSWERS}\r\nPING\r\n");
        self.stream.write_all(hello.as_bytes()).await?;
        self.stream.flush().await?;
        let mut welcome = false;
        while !welcome {
            welcome = self.hear(|_| {}).await?;
        }
        Ok(())
    }

    /// Whether the connection can be used again. Reads what has arrived: the server may have closed the
    /// connection or sent a ping.
    pub(super) async fn is_alive(&mut self) -> bool {
        if self.used.elapsed() >= IDLE_MAX {
            return false;
        }
        loop {
            // The future is polled once: it takes what has arrived and does not wait.
            match timeout(Duration::ZERO, self.fill()).await {
                Err(_) => return true,
                Ok(Ok(())) if self.hear_what_came(&mut |_| {}).await.is_ok() => {}
                Ok(_) => return false,
            }
        }
    }

    /// The subject for the answer to the question with this number.
    pub(super) fn reply(&self, number: u64) -> String {
        format!("{}{number}", self.inbox)
    }

    /// Reserves numbers for `count` questions and returns the first.
    pub(super) fn numbers(&mut self, count: usize) -> u64 {
        let first = self.asked;
        self.asked += count as u64;
        first
    }

    /// The number of the question that a message answers. `None` if the message is no answer.
    pub(super) fn answers(inbox: &str, message: &NatsMessage<'_>) -> Option<u64> {
        message.subject.strip_prefix(inbox)?.parse().ok()
    }

    pub(super) fn inbox(&self) -> &str {
        &self.inbox
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        self.used = Instant::now();
        Ok(())
    }

    /// The subject to which a stream can deliver.
    pub(super) fn deliveries(&self) -> String {
        format!("{}-deliveries", self.inbox.trim_end_matches('.'))
    }

    /// Asks one question. Returns the body of the answer, or `None` if nothing on the server answers that
    /// subject. Other messages that arrive meanwhile are passed to `listen`.
    pub(super) async fn ask(
        &mut self,
        subject: &str,
        body: &[u8],
        mut listen: impl FnMut(&NatsMessage<'_>),
    ) -> Result<Option<Vec<u8>>, Failure> {
        let number = self.numbers(1);
        let mut out = Vec::new();
        PublishCommand { subject, reply: &self.reply(number), headers: &[], body }.write(&mut out);
        self.write(&out).await?;
        let (inbox, mut answer) = (self.inbox.clone(), None);
        while answer.is_none() {
            self.hear(|message| {
                if Self::answers(&inbox, message) == Some(number) {
                    let nobody = message.status() == Some(503);
                    answer = Some((!nobody).then(|| message.body.to_vec()));
                } else {
                    listen(message);
                }
            })
            .await?;
        }
        Ok(answer.flatten())
    }

    /// Reads once and passes the messages to `listen`. Returns true if a PONG was among the operations.
    pub(super) async fn hear(
        &mut self,
        mut listen: impl FnMut(&NatsMessage<'_>),
    ) -> Result<bool, Failure> {
        self.fill().await?;
        self.hear_what_came(&mut listen).await
    }

    async fn hear_what_came(
        &mut self,
        listen: &mut impl FnMut(&NatsMessage<'_>),
    ) -> Result<bool, Failure> {
        let (mut pings, mut pong) = (0, false);
        while let Some((operation, used)) = parse(&self.read[self.from..])? {
            // Skip the operation before it is handled, so that an error is not reported twice.
            self.from += used;
            match operation {
                Operation::Message(message) => listen(&message),
                Operation::Error(words) => return Err(Failure::Said(ServerError::parse(words))),
                Operation::Ping => pings += 1,
                Operation::Pong => pong = true,
                // INFO may name the servers of a cluster, but the endpoints are configured.
                Operation::Info(_) | Operation::Ok => {}
            }
        }
        if pings > 0 {
            self.stream.write_all(&b"PONG\r\n".repeat(pings)).await?;
            self.stream.flush().await?;
        }
        Ok(pong)
    }

    /// Reads once, at least one byte. Cancel-safe: bytes that were read are kept.
    async fn fill(&mut self) -> Result<(), Failure> {
        self.read.drain(..self.from);
        self.from = 0;
        self.read.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(Failure::Closed),
            _ => Ok(()),
        }
    }
}
