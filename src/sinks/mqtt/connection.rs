//! A connection to a broker: bytes out and in, pings when there is nothing else to say, and a word of
//! farewell.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

use super::config::{MqttConfig, MqttVersion};
use super::packet::{self, ConnectPacket, Incoming, PublishPacket, Terms};
use super::reason::{BrokerError, NO_QOS_1};
use crate::config::TlsFiles;
use crate::domain::policy::breaker::Cause;
use crate::transport::link::Io;
use crate::transport::tls::TlsFault;
use crate::upload::{Class, DeliveryError, SinkRefusal};

/// A broker that hears nothing for one and a half times this long takes us for dead and sends our
/// will. Most routers remember a silent connection longer.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Not held up by the pipe: more is encoded once so much has left.
const OUT_MAX: usize = 64 << 10;

pub(super) const ONLINE: &str = "online";
pub(super) const OFFLINE: &str = "offline";

/// Taken in by the broker. Dropped, it takes its leave, so that the broker need not send the will.
pub(super) struct MqttConnection {
    io: Box<dyn Io>,
    /// To explain what it has against them.
    tls: TlsFiles,
    version: MqttVersion,
    terms: Terms,
    /// Where the broker was told to say that we are offline.
    status_topic: Option<String>,
    out: BytesMut,
    /// What TLS was given and has not sent.
    unflushed: bool,
    /// Nothing can be sent any more; what the broker said before that is still read.
    deaf: bool,
    input: BytesMut,
    /// Since anything was sent.
    silence: Pin<Box<Sleep>>,
    ping_interval: Duration,
    ping_unanswered: bool,
    /// Whether whole packets were exchanged so far, and no end was seen.
    sound: bool,
}

impl fmt::Debug for MqttConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MqttConnection").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl MqttConnection {
    pub(super) async fn open(
        io: Box<dyn Io>,
        config: &MqttConfig,
        hello: &ConnectPacket,
    ) -> Result<Self, SinkRefusal> {
        let version = config.version;
        let interval = ping_interval(hello.keep_alive_s);
        let mut connection = Self {
            io,
            tls: config.tls.clone(),
            version,
            terms: Terms::default(),
            status_topic: None,
            out: BytesMut::new(),
            unflushed: false,
            deaf: false,
            input: BytesMut::new(),
            silence: Box::pin(sleep(interval)),
            ping_interval: interval,
            ping_unanswered: false,
            sound: false,
        };
        packet::connect(version, hello, &mut connection.out);
        connection.terms = connection.taken_in().await?;
        if !connection.terms.acknowledges {
            return Err(BrokerError::Connection { version, code: NO_QOS_1 }.into());
        }
        if let Some(seconds) = connection.terms.keep_alive_s {
            connection.ping_interval = ping_interval(seconds);
            connection.spoke();
        }
        connection.status_topic = hello.will.as_ref().map(|(topic, _)| topic.clone());
        connection.sound = true;
        Ok(connection)
    }

    async fn taken_in(&mut self) -> Result<Terms, SinkRefusal> {
        loop {
            self.exchange().await?;
            match self.received()? {
                None => {}
                Some(Incoming::Connected(terms)) => return Ok(terms),
                Some(Incoming::Refused(code)) => {
                    return Err(BrokerError::Connection { version: self.version, code }.into());
                }
                Some(Incoming::Ended(code)) => return Err(BrokerError::of_end(code).into()),
                Some(_) => return Err(self.confused()),
            }
        }
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Where to say that we are online.
    pub(super) fn status_topic(&self) -> Option<&str> {
        self.status_topic.as_deref()
    }

    /// Whether it can be used for another batch.
    pub(super) fn is_sound(&self) -> bool {
        self.sound
    }

    /// Whether there is room for another message.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < OUT_MAX
    }

    /// Puts a message in line, or says how large it is if it is larger than the broker takes.
    pub(super) fn publish(&mut self, message: PublishPacket<'_>) -> Result<(), usize> {
        packet::publish(self.version, message, self.terms.packet_max, &mut self.out)
    }

    /// The next packet of those that have come. What does not make sense, or ends the connection, is
    /// an error.
    pub(super) fn received(&mut self) -> Result<Option<Incoming>, SinkRefusal> {
        match packet::read(self.version, &mut self.input) {
            Ok(Some(Incoming::Ended(code))) if self.sound => {
                self.sound = false;
                Err(BrokerError::of_end(code).into())
            }
            Ok(Some(Incoming::Connected(_) | Incoming::Refused(_))) if self.sound => {
                Err(self.confused())
            }
            Ok(packet) => Ok(packet),
            Err(_) => Err(self.confused()),
        }
    }

    fn confused(&mut self) -> SinkRefusal {
        self.sound = false;
        packet::MalformedPacket.into()
    }

    /// Sends what is in line and reads what has come, until either is done. Cancel-safe.
    pub(super) async fn exchange(&mut self) -> Result<(), SinkRefusal> {
        let done = poll_fn(|context| self.poll_exchange(context)).await;
        done.map_err(|error| {
            // In TLS 1.3 a server says what it has against our certificate after the handshake.
            let untaken = !std::mem::take(&mut self.sound);
            let fault = if untaken { TlsFault::behind(&error, &self.tls) } else { None };
            fault.map_or_else(|| Lost(error).into(), SinkRefusal::from)
        })
    }

    fn poll_exchange(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // First what has come: a broker that takes no more may have said why.
        if self.poll_read(context)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if self.deaf {
            return Poll::Pending;
        }
        while self.silence.as_mut().poll(context).is_ready() {
            if self.ping_unanswered {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no answer to a ping",
                )));
            }
            self.ping_unanswered = true;
            packet::ping(&mut self.out);
            self.spoke();
        }
        match ready!(self.poll_write(context)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => {
                self.deaf = true;
                self.poll_read(context)
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut chunk = [0; 4096];
        let mut chunk = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut chunk))?;
        if chunk.filled().is_empty() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was closed")));
        }
        self.ping_unanswered = false;
        self.input.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(()))
    }

    /// Ready when something was in line and all of it has left.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let count = ready!(Pin::new(&mut self.io).poll_write(context, &self.out))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(count);
            self.unflushed = true;
            self.spoke();
        }
        if !self.unflushed {
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.io).poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn spoke(&mut self) {
        self.silence.as_mut().reset(Instant::now() + self.ping_interval);
    }

    /// Keeps the connection alive until it is wanted; none if it ended meanwhile.
    pub(super) async fn rest(mut self, mut wanted: oneshot::Receiver<()>) -> Option<Self> {
        loop {
            // Both arms are cancel-safe. Nobody left who could want it is as good as being wanted.
            tokio::select! {
                _ = &mut wanted => return Some(self),
                exchanged = self.exchange() => exchanged.ok()?,
            }
            while self.received().ok()?.is_some() {}
        }
    }
}

fn ping_interval(keep_alive_s: u16) -> Duration {
    match keep_alive_s {
        // The broker does not care; the routers between may.
        0 => KEEP_ALIVE,
        seconds => Duration::from_secs(u64::from(seconds)).mul_f32(0.75),
    }
}

impl Drop for MqttConnection {
    /// One attempt without waiting: what does not fit into the socket's buffer is not sent, and the
    /// broker sends the will instead.
    fn drop(&mut self) {
        if !self.sound || self.deaf || !self.out.is_empty() {
            return;
        }
        if let Some(topic) = self.status_topic.take() {
            let payload = Bytes::from_static(OFFLINE.as_bytes());
            let id = u16::MAX;
            let offline = PublishPacket {
                id,
                repeated: false,
                retain: true,
                topic: &topic,
                payload: &payload,
            };
            let _ = self.publish(offline);
        }
        packet::disconnect(&mut self.out);
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(())) = self.poll_write(&mut context) {
            drop(Pin::new(&mut self.io).poll_shutdown(&mut context));
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection to the broker was lost")]
struct Lost(#[source] io::Error);

impl DeliveryError for Lost {
    fn class(&self) -> Class {
        Class::retry(Cause::LinkDown)
    }
}

impl DeliveryError for packet::MalformedPacket {
    fn class(&self) -> Class {
        Class::retry(Cause::LinkDown)
    }
}
