//! A hostile network: between the daemon and its upstream, a proxy that delays, throttles, cuts,
//! half-closes, swallows and replays, by a plan for each connection.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What one connection goes through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) requests: Flow,
    pub(crate) answers: Flow,
}

/// What one direction of it goes through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    /// Bytes that pass at once, and the pause before each such piece.
    pub(crate) piece: usize,
    pub(crate) pause: Duration,
    /// After so many bytes.
    pub(crate) end: Option<(usize, End)>,
}

impl Default for Flow {
    fn default() -> Self {
        Self { piece: 16 << 10, pause: Duration::ZERO, end: None }
    }
}

impl Flow {
    pub(crate) fn ending(after: usize, end: End) -> Self {
        Self { end: Some((after, end)), ..Self::default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both directions are closed.
    Cut,
    /// Nothing more comes in this direction, and the other goes on.
    HalfClose,
    /// Nothing more comes, and nobody says so.
    Swallow,
}

#[derive(Debug)]
struct Shared {
    server: String,
    calm: bool,
    closed: bool,
    /// The connections there are, by number.
    near: BTreeMap<usize, TcpStream>,
    connections: usize,
    /// What clients sent, by connection.
    sent: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) address: String,
    shared: Arc<Mutex<Shared>>,
}

impl Proxy {
    /// Asks `plan` what each connection, from the first on, goes through.
    pub(crate) fn start(
        server: &str,
        mut plan: impl FnMut(usize) -> Plan + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("an address").to_string();
        let server = server.to_owned();
        let shared = Shared {
            server,
            calm: false,
            closed: false,
            near: BTreeMap::new(),
            connections: 0,
            sent: Vec::new(),
        };
        let proxy = Self { address, shared: Arc::new(Mutex::new(shared)) };
        let service = proxy.clone();
        // They end with the test process; nothing waits for them.
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let number = service.connections();
                let plan = if service.lock().calm { Plan::default() } else { plan(number) };
                service.join(near, plan);
            }
        });
        proxy
    }

    /// From the next connection on everything passes.
    pub(crate) fn calm(&self) {
        self.lock().calm = true;
    }

    /// Cuts every connection there is.
    pub(crate) fn cut(&self) {
        for near in self.lock().near.values() {
            drop(near.shutdown(Shutdown::Both));
        }
    }

    /// Cuts every connection there is and lets none through: nothing more is heard of the server.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.cut();
    }

    pub(crate) fn open(&self) {
        self.lock().closed = false;
    }

    /// How many there were.
    pub(crate) fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Sends what clients have sent on every connection once more, the last first.
    pub(crate) fn replay(&self) -> usize {
        let (server, sent) = {
            let shared = self.lock();
            (shared.server.clone(), shared.sent.clone())
        };
        for bytes in sent.iter().rev() {
            let mut far = TcpStream::connect(&server).expect("connect");
            // A server that has enough hangs up, which is its right.
            drop(far.write_all(bytes));
            drop(far.shutdown(Shutdown::Write));
            drop(far.read_to_end(&mut Vec::new()));
        }
        sent.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, near: TcpStream, plan: Plan) {
        let twice = |stream: &TcpStream| stream.try_clone().expect("clone a socket");
        let (number, server) = {
            let mut shared = self.lock();
            let number = shared.connections;
            shared.connections += 1;
            shared.sent.push(Vec::new());
            if shared.closed {
                return;
            }
            shared.near.insert(number, twice(&near));
            (number, shared.server.clone())
        };
        // A server that is away is the other failure of a network.
        let Ok(far) = TcpStream::connect(server) else { return self.left(number) };
        let (near_again, far_again) = (twice(&near), twice(&far));
        let (proxy, proxy_too) = (self.clone(), self.clone());
        let tap = move |bytes: &[u8]| proxy.lock().sent[number].extend_from_slice(bytes);
        std::thread::spawn(move || pump(near, far, plan.requests, tap));
        std::thread::spawn(move || {
            pump(far_again, near_again, plan.answers, |_| ());
            proxy_too.left(number);
        });
    }

    fn left(&self, number: usize) {
        self.lock().near.remove(&number);
    }
}

/// From one side to the other until one is gone or the plan ends it.
fn pump(mut from: TcpStream, mut to: TcpStream, flow: Flow, tap: impl Fn(&[u8])) {
    let mut left = flow.end.map_or(usize::MAX, |(after, _)| after);
    let mut buffer = vec![0; flow.piece];
    while left > 0 {
        let size = flow.piece.min(left);
        let count = match from.read(&mut buffer[..size]) {
            Ok(0) | Err(_) => return drop(to.shutdown(Shutdown::Write)),
            Ok(count) => count,
        };
        std::thread::sleep(flow.pause);
        tap(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            return drop(from.shutdown(Shutdown::Read));
        }
        left -= count;
    }
    match flow.end.map(|(_, end)| end) {
        Some(End::HalfClose) => drop(to.shutdown(Shutdown::Write)),
        Some(End::Swallow) => {}
        Some(End::Cut) | None => {
            // What comes first is waited for, so that a cut of nothing hits an answer under way.
            drop(from.read(&mut buffer[..1]));
            drop(to.shutdown(Shutdown::Both));
            return drop(from.shutdown(Shutdown::Both));
        }
    }
    // Taken in and lost.
    while matches!(from.read(&mut buffer), Ok(1..)) {}
}
