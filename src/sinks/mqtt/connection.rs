//! A connection to a broker: it exchanges bytes, sends pings when it is idle, and takes leave when it is
//! dropped. What is published is decided in `flight.rs`.

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

/// The keep-alive time that the broker is given. A broker that receives nothing for one and a half times as
/// long considers the connection dead and publishes the will. Most routers remember a silent connection
/// longer.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// The most bytes that wait to be written, about. More messages are encoded when the socket has accepted
/// some.
const OUT_MAX: usize = 64 << 10;

pub(super) const ONLINE: &str = "online";
pub(super) const OFFLINE: &str = "offline";

/// A connection that the broker has accepted. Dropping it publishes the offline status and disconnects, so
/// that the broker need not send the will.
pub(super) struct MqttConnection {
    io: Box<dyn Io>,
    /// The TLS files of the sink, needed to explain why a server rejects them.
    tls: TlsFiles,
    version: MqttVersion,
    terms: Terms,
    /// The topic of the status message, in which the will says that the device is offline.
    status_topic: Option<String>,
    out: BytesMut,
    /// Whether TLS holds bytes that it has not sent yet.
    unflushed: bool,
    /// Whether writing has failed. Packets that the broker sent before are still read.
    deaf: bool,
    input: BytesMut,
    /// Fires when nothing has been sent for `ping_interval`.
    silence: Pin<Box<Sleep>>,
    ping_interval: Duration,
    ping_unanswered: bool,
    /// Whether the broker has accepted the connection and no error or end has been seen since.
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

    /// The topic in which to publish that the device is online.
    pub(super) fn status_topic(&self) -> Option<&str> {
        self.status_topic.as_deref()
    }

    /// Whether the connection can be used for another batch.
    pub(super) fn is_sound(&self) -> bool {
        self.sound
    }

    /// Whether another message may be queued.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < OUT_MAX
    }

    /// Queues a message. Fails with the size of the packet in bytes if the broker does not accept one that
    /// large.
    pub(super) fn publish(&mut self, message: PublishPacket<'_>) -> Result<(), usize> {
        packet::publish(self.version, message, self.terms.packet_max, &mut self.out)
    }

    /// Returns the next complete packet that was received, if there is one. A packet that is malformed or
    /// ends the connection is an error.
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

    /// Returns as soon as some bytes were read, or all queued bytes were written. Cancel-safe.
    pub(super) async fn exchange(&mut self) -> Result<(), SinkRefusal> {
        let done = poll_fn(|context| self.poll_exchange(context)).await;
        done.map_err(|error| {
            // In TLS 1.3 a server rejects the client certificate only after the handshake.
            let untaken = !std::mem::take(&mut self.sound);
            let fault = if untaken { TlsFault::behind(&error, &self.tls) } else { None };
            fault.map_or_else(|| Lost(error).into(), SinkRefusal::from)
        })
    }

    fn poll_exchange(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Read first: a broker that accepts no more data may have sent the reason.
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

    /// Ready when something was queued and all of it has been sent.
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

    /// Keeps the connection alive until `wanted` resolves. `None` if the connection ends first.
    pub(super) async fn rest(mut self, mut wanted: oneshot::Receiver<()>) -> Option<Self> {
        loop {
            // Both arms are cancel-safe. A dropped sender counts as a request too.
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
        // The broker sets no limit, but routers on the way may.
        0 => KEEP_ALIVE,
        seconds => Duration::from_secs(u64::from(seconds)).mul_f32(0.75),
    }
}

impl Drop for MqttConnection {
    /// Makes one attempt without waiting. Bytes that do not fit into the socket's buffer are not sent, and
    /// then the broker publishes the will instead.
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
