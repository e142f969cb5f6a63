//! Serves the connections of the local port, and bounds their number, time and memory.
//!
//! Admission is left to `door`, the answers to `routes`.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::door::Door;
use super::{pace, routes};
use crate::config::Http;
use crate::status::board::StatusBoard;
use crate::status::metrics::Metrics;
use crate::supervisor::Stop;
use crate::supervisor::heartbeat::Heartbeat;
use crate::telemetry::events::{ClientRefusal, LocalPortOpened, LocalPortRefuses, Report};

/// The time for a request's head, and so for an idle connection too. A head is one packet.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// The lifetime of a connection: even a busy client has to connect again after this time.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);
/// The time after that in which the client can still receive the answer to its last request.
const LAST_ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// The size of the largest head, which is hyper's smallest buffer.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The pause between attempts to listen.
const BIND_PAUSE: Duration = Duration::from_secs(10);
/// The pause after a failed accept. If the process is out of file descriptors, trying again at once would
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("failed to listen on `{address}`; {}", next_step(source))]
    Bind { address: SocketAddr, source: io::Error },
}

fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens on it; change `http.listen`",
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this board has that address; change `http.listen`"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are privileged; change `http.listen` to a higher one"
        }
        _ => "change `http.listen`",
    }
}

/// The listener of the local port. It outlives a crashed actor, so that the next run of the actor keeps the
/// same address and the clients in its queue.
#[derive(Debug)]
pub struct LocalPort {
    listener: TcpListener,
    address: SocketAddr,
    connections_max: usize,
    door: Door,
}

impl LocalPort {
    /// Starts to listen on `address`. The error says what a person can do.
    pub async fn bind(address: SocketAddr, http: &Http) -> Result<Self, HttpError> {
        let failed = |source| HttpError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        LocalPortOpened { address }.report();
        let door = Door::new(http);
        Ok(Self { listener, address, connections_max: http.connections_max, door })
    }

    /// Binds as soon as the address is available: an interface may get its address late, and another
    /// program that listens on it may end. Returns `None` if the stop is requested first.
    pub async fn bind_when_free(
        address: SocketAddr,
        http: &Http,
        stop: &mut Stop,
        heartbeat: &mut Heartbeat,
    ) -> Option<Self> {
        loop {
            if let Ok(port) = Self::bind(address, http).await {
                return Some(port);
            }
            let pause = sleep(BIND_PAUSE);
            tokio::pin!(pause);
            loop {
                // All arms are cancel-safe.
                tokio::select! {
                    () = &mut pause => break,
                    () = stop.requested() => return None,
                    () = heartbeat.answer() => {}
                }
            }
        }
    }

    /// The address it listens on; if port 0 was requested, with the port that the kernel chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the stop is requested. Answers that are being sent then are cut off: each is short and
    /// complete when it is sent, so only a client that does not read loses one.
    pub async fn run(
        self: Arc<Self>,
        board: StatusBoard,
        metrics: Metrics,
        mut stop: Stop,
        mut heartbeat: Heartbeat,
    ) -> Result<(), HttpError> {
        let host = Host { port: Arc::clone(&self), board, metrics };
        let mut connections = Connections::new(host, self.connections_max);
        loop {
            // All arms are cancel-safe: a connection that is not accepted stays in the kernel's queue, and
            // a connection whose end was missed is joined the next time.
            tokio::select! {
                () = stop.requested() => break,
                () = heartbeat.answer() => self.door.refusals.tell(Instant::now()),
                (stream, peer) = self.accept() => connections.add(stream, peer),
                // A panic was reported by the panic hook, and costs only the one connection.
                Some(_) = connections.tasks.join_next() => {}
            }
        }
        self.door.refusals.tell_rest(Instant::now());
        Ok(())
    }

    async fn accept(&self) -> (TcpStream, IpAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => return (stream, from.ip().to_canonical()),
                Err(error) => LocalPortRefuses { address: self.address, error: &error }.report(),
            }
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// The parts that a connection needs for its answers.
#[derive(Clone)]
struct Host {
    port: Arc<LocalPort>,
    board: StatusBoard,
    metrics: Metrics,
}

impl Host {
    fn turn_away(&self, why: ClientRefusal, peer: IpAddr) {
        self.port.door.refusals.add(why, peer);
    }
}

/// The open connections, the oldest first.
///
/// When all places are taken, a new connection replaces another one. If the new one were refused instead, a
/// few silent clients could lock the technician out for as long as they like. Answers take milliseconds, so
/// the connection that is closed is almost always idle.
struct Connections {
    host: Host,
    tasks: JoinSet<()>,
    places: Vec<(IpAddr, AbortHandle)>,
    places_max: usize,
}

impl Connections {
    fn new(host: Host, places_max: usize) -> Self {
        assert!(places_max > 0, "the configuration allows at least one connection");
        Self { host, tasks: JoinSet::new(), places: Vec::new(), places_max }
    }

    fn add(&mut self, stream: TcpStream, peer: IpAddr) {
        if let Err(why) = self.host.port.door.greet(peer) {
            return self.host.turn_away(why, peer);
        }
        self.places.retain(|(_, place)| !place.is_finished());
        if self.places.len() >= self.places_max {
            let peers: Vec<IpAddr> = self.places.iter().map(|(peer, _)| *peer).collect();
            if let Some(at) = pace::makes_room(&peers) {
                let (peer, place) = self.places.remove(at);
                place.abort();
                self.host.turn_away(ClientRefusal::Crowded, peer);
            }
        }
        let place = self.tasks.spawn(converse(stream, peer, self.host.clone()));
        self.places.push((peer, place));
    }
}

/// Serves one connection from the handshake to its end. An error ends only this connection.
async fn converse(stream: TcpStream, peer: IpAddr, host: Host) {
    let stream = match host.port.door.encrypt(stream).await {
        Ok(stream) => stream,
        Err(why) => return host.turn_away(why, peer),
    };
    let asked = AtomicBool::new(false);
    let (asked, host) = (&asked, &host);
    let answer = service_fn(move |request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        answer(request, peer, host)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        // A board whose clock is not set must not send a date.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    match timeout(CONNECTION_TIME_MAX, connection.as_mut()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.is_parse() => host.turn_away(ClientRefusal::Malformed, peer),
        // A client that was answered before and is silent now is merely idle.
        Ok(Err(error)) if error.is_timeout() && !asked.load(Ordering::Relaxed) => {
            host.turn_away(ClientRefusal::Slow, peer);
        }
        // Any other way of ending a connection is the client's choice and no refusal.
        Ok(Err(_)) => {}
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            drop(timeout(LAST_ANSWER_TIME_MAX, connection).await);
        }
    }
}

/// Answers one request. Its body, if there is one, is never read.
async fn answer(
    request: Request<Incoming>,
    peer: IpAddr,
    host: &Host,
) -> Result<routes::HttpResponse, Infallible> {
    let said = request.headers().get(AUTHORIZATION);
    let admitted = host.port.door.admit(said, peer).await;
    Ok(match admitted {
        Ok(()) => {
            routes::answer(request.method(), request.uri().path(), &host.board, &host.metrics)
        }
        Err(why) => {
            host.turn_away(why, peer);
            routes::refused(why)
        }
    })
}

#[cfg(test)]
mod tests;
