//! Connections of the local port, and what their clients may take: places, time and memory.
//!
//! What is answered is left to `routes`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::routes;
use crate::supervisor::Stop;
use crate::supervisor::pulse::Pulse;
use crate::telemetry::board::StatusBoard;
use crate::telemetry::events::{LocalPortOpened, LocalPortRefuses, Report};
use crate::telemetry::metrics::Metrics;

/// The time for a request's head, and so for an idle connection too. A head is one packet.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// However busy a client is, it connects anew now and then.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);
/// After that, the time to take the answer under way.
const LAST_ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// The largest head; hyper's smallest buffer.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Between attempts to listen.
const BIND_PAUSE: Duration = Duration::from_secs(10);
/// Out of file descriptors: trying again at once would spin.
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

/// The listener. It outlives a crashed actor, so that its successor takes up the same address and
/// the clients in its queue.
#[derive(Debug)]
pub struct LocalPort {
    listener: TcpListener,
    address: SocketAddr,
    connections_max: usize,
}

impl LocalPort {
    pub async fn bind(address: SocketAddr, connections_max: usize) -> Result<Self, HttpError> {
        let failed = |source| HttpError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        LocalPortOpened { address }.report();
        Ok(Self { listener, address, connections_max })
    }

    /// Binds as soon as the address can be had: an interface may get its address late, another
    /// program may go away. None when stopped before that.
    pub async fn bind_when_free(
        address: SocketAddr,
        connections_max: usize,
        stop: &mut Stop,
        pulse: &mut Pulse,
    ) -> Option<Self> {
        loop {
            if let Ok(port) = Self::bind(address, connections_max).await {
                return Some(port);
            }
            let pause = sleep(BIND_PAUSE);
            tokio::pin!(pause);
            loop {
                // All arms are cancel-safe.
                tokio::select! {
                    () = &mut pause => break,
                    () = stop.requested() => return None,
                    () = pulse.called() => {}
                }
            }
        }
    }

    /// Where it listens; with port 0 asked for, the one the kernel chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until stopped. What is being said then is cut off: answers are short and whole at
    /// once, so only a client that does not read is cut.
    pub async fn run(
        self: Arc<Self>,
        board: StatusBoard,
        metrics: Metrics,
        mut stop: Stop,
        mut pulse: Pulse,
    ) -> Result<(), HttpError> {
        let mut connections = Connections::new(self.connections_max);
        loop {
            // All arms are cancel-safe: a connection not taken stays in the kernel's queue, one
            // whose end was not noted is noted the next time.
            tokio::select! {
                () = stop.requested() => return Ok(()),
                () = pulse.called() => {}
                stream = self.accept() => connections.add(stream, &board, &metrics),
                // A panic was told by the panic hook, and one answer is not the port.
                Some(_) = connections.tasks.join_next() => {}
            }
        }
    }

    async fn accept(&self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => LocalPortRefuses { address: self.address, error: &error }.report(),
            }
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// The connections being served, oldest first.
///
/// When all places are taken a newcomer gets the oldest one's. Refusing the newcomer instead would
/// let a handful of clients that say nothing lock the technician out for as long as they like.
/// Answers take milliseconds, so the oldest connection is almost always an idle one.
struct Connections {
    tasks: JoinSet<()>,
    places: VecDeque<AbortHandle>,
    places_max: usize,
}

impl Connections {
    fn new(places_max: usize) -> Self {
        assert!(places_max > 0, "the configuration allows at least one connection");
        Self { tasks: JoinSet::new(), places: VecDeque::new(), places_max }
    }

    fn add(&mut self, stream: TcpStream, board: &StatusBoard, metrics: &Metrics) {
        self.places.retain(|place| !place.is_finished());
        if self.places.len() >= self.places_max {
            let oldest = self.places.pop_front();
            oldest.iter().for_each(AbortHandle::abort);
        }
        let place = self.tasks.spawn(converse(stream, board.clone(), metrics.clone()));
        self.places.push_back(place);
    }
}

async fn converse(stream: TcpStream, board: StatusBoard, metrics: Metrics) {
    let answer = service_fn(move |request: Request<Incoming>| {
        // The body, if there is one, is never read.
        let answer = routes::answer(request.method(), request.uri().path(), &board, &metrics);
        ready(Ok::<_, Infallible>(answer))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        // A board whose clock is not set must not claim a date.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    // How a client ends its connection is its own business: both results are dropped.
    if timeout(CONNECTION_TIME_MAX, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        drop(timeout(LAST_ANSWER_TIME_MAX, connection).await);
    }
}

#[cfg(test)]
mod tests;
