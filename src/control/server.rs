//! The daemon's end of the control socket: it passes one order per connection to the log. Connections,
//! times and sizes are bounded, because any program of this user can connect.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::protocol::{OrderAnswer, REQUEST_BYTES_MAX};
use crate::domain::model::quarantine::QuarantineOrder;
use crate::event_log::{Curator, LogClosed};
use crate::supervisor::Stop;
use crate::supervisor::heartbeat::Heartbeat;
use crate::telemetry::events::Report;
use crate::telemetry::events::quarantine::{ControlAbsent, QuarantineChanged};

/// The largest number of connections. A person gives one order at a time; more clients wait in the kernel's
/// queue.
const CONNECTIONS_MAX: usize = 4;
/// The time for a request, which is one packet.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// The time from connecting to the last byte of the answer, with a commit to a slow card in it.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);
/// The pause after a failed accept. If the process is out of file descriptors, trying again at once would
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The inputs of one run of the actor.
#[derive(Debug)]
pub struct Control {
    pub path: PathBuf,
    pub curator: Curator,
    pub stop: Stop,
    pub heartbeat: Heartbeat,
}

/// Serves until the stop is requested. The daemon works without the socket, too: binding is tried again
/// with each heartbeat, also after another program has removed the file.
pub async fn run(control: Control) -> Result<(), LogClosed> {
    let Control { path, curator, mut stop, mut heartbeat } = control;
    let mut listener = Listening::begin(&path);
    let mut connections = JoinSet::new();
    loop {
        let free = connections.len() < CONNECTIONS_MAX;
        // All arms are cancel-safe: a connection not taken stays in the kernel's queue.
        tokio::select! {
            () = stop.requested() => break,
            () = heartbeat.answer() => listener.renew(&path),
            stream = listener.accept(), if free => {
                drop(connections.spawn(converse(stream, curator.clone())));
            }
            // A panic was reported by the panic hook, and costs only the one connection.
            Some(_) = connections.join_next() => {}
        }
    }
    drop(fs::remove_file(&path));
    Ok(())
}

/// The listening socket; without one, the next heartbeat tries to bind again.
struct Listening {
    listener: Option<UnixListener>,
    reported: bool,
}

impl Listening {
    fn begin(path: &Path) -> Self {
        let mut listening = Self { listener: None, reported: false };
        listening.renew(path);
        listening
    }

    fn renew(&mut self, path: &Path) {
        if self.listener.is_some() && path.exists() {
            return;
        }
        match bind(path) {
            Ok(listener) => *self = Self { listener: Some(listener), reported: false },
            Err(error) => {
                self.listener = None;
                if !std::mem::replace(&mut self.reported, true) {
                    ControlAbsent { path, error: &error }.report();
                }
            }
        }
    }

    async fn accept(&self) -> UnixStream {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    tracing::debug!(%error, "the control socket cannot take a connection")
                }
            }
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// Binds the socket. It replaces a socket that a killed daemon left behind, which is safe because only one
/// daemon has the log. The socket gets its final name after its permissions are set.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    drop(fs::remove_file(&new));
    let listener = UnixListener::bind(&new)?;
    let placed = fs::set_permissions(&new, Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&new, path));
    placed.inspect_err(|_| drop(fs::remove_file(&new)))?;
    Ok(listener)
}

async fn converse(stream: UnixStream, curator: Curator) {
    // It makes no difference to the daemon how a client ends its connection.
    drop(timeout(CONNECTION_TIME_MAX, exchange(stream, curator)).await);
}

async fn exchange(mut stream: UnixStream, curator: Curator) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    let answer = if user == 0 || user == geteuid().as_raw() {
        match request(&mut stream).await {
            Ok(order) => carry_out(order, &curator).await,
            Err(wrong) => OrderAnswer::Error(wrong),
        }
    } else {
        OrderAnswer::Error("only root and the user of the daemon may change the log".to_owned())
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn request(stream: &mut UnixStream) -> Result<QuarantineOrder, String> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(REQUEST_BYTES_MAX));
    let read = timeout(REQUEST_TIME_MAX, reader.read_until(b'\n', &mut line)).await;
    match read {
        Ok(Ok(_)) if line.ends_with(b"\n") => serde_json::from_slice(&line)
            .map_err(|error| format!("the request is no order this daemon knows: {error}")),
        Ok(Ok(_)) => Err("the request is not one line, or too long; name fewer ranges".to_owned()),
        Ok(Err(error)) => Err(format!("the request could not be read: {error}")),
        Err(_) => Err("the request did not come in time".to_owned()),
    }
}

async fn carry_out(order: QuarantineOrder, curator: &Curator) -> OrderAnswer {
    let command = order.command;
    match curator.carry_out(order).await {
        Ok(Ok(done)) => {
            done.iter().for_each(|done| QuarantineChanged { command, done }.report());
            OrderAnswer::Done(done)
        }
        Ok(Err(declined)) => OrderAnswer::Error(declined.to_string()),
        Err(closed) => OrderAnswer::Error(format!("{closed}: the daemon is ending")),
    }
}
