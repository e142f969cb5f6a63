//! An HTTP server that misbehaves by script, and keeps every request it was sent.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::wait::eventually;

/// What becomes of one request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// These bytes, then the connection is closed.
    Say(String),
    /// Not a word, until the asker goes away.
    Hang,
    /// A 503 whose body never ends.
    Endless,
    /// The connection is closed after the request was read.
    Close,
    /// The request goes to this address, and its answer back.
    Forward(String),
    /// The same, but the connection is cut before the answer.
    ForwardAndCut(String),
}

/// An answer with these header lines, each ended by `\r\n`, and a body.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Act {
    let length = body.len();
    Act::Say(format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// When it was read to its end.
    pub(crate) at: Instant,
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            from.read_line(&mut header)?;
            let Some((name, value)) = header.split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let line = line.trim().to_owned();
        let mut request = Self { at: Instant::now(), line, headers, body: Vec::new() };
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        request.body.resize(length.unwrap_or(0), 0);
        from.read_exact(&mut request.body)?;
        request.at = Instant::now();
        Ok(Some(request))
    }

    /// Sends it on as it is; the whole answer.
    fn forward(&self, address: &str) -> io::Result<Vec<u8>> {
        let mut head = format!("{}\r\nconnection: close\r\n", self.line);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(&self.body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

#[derive(Debug, Default)]
struct Shared {
    script: VecDeque<Act>,
    requests: Vec<Request>,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: String,
    shared: Arc<Mutex<Shared>>,
}

impl Upstream {
    /// Acts once each, the last one for ever.
    pub(crate) fn start(script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("an address").to_string();
        let script = script.into_iter().collect();
        let shared = Arc::new(Mutex::new(Shared { script, requests: Vec::new() }));
        let service = Arc::clone(&shared);
        // They end with the test process; nothing waits for them.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let service = Arc::clone(&service);
                std::thread::spawn(move || converse(stream, &service));
            }
        });
        Self { address, shared }
    }

    /// From the next request on.
    pub(crate) fn turn_to(&self, act: Act) {
        lock(&self.shared).script = VecDeque::from([act]);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        lock(&self.shared).requests.clone()
    }

    /// Waits until so many requests have come.
    pub(crate) fn asked(&self, count: usize) -> Vec<Request> {
        let what = format!("{count} requests have come");
        eventually(&what, || lock(&self.shared).requests.len(), |seen| *seen >= count);
        self.requests()
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An asker that goes away is what half of the acts are about.
fn converse(stream: TcpStream, shared: &Mutex<Shared>) {
    drop(try_converse(stream, shared));
}

fn try_converse(stream: TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let Some(request) = Request::read(&mut reader)? else { return Ok(()) };
    let act = {
        let mut shared = lock(shared);
        shared.requests.push(request.clone());
        match shared.script.len() {
            0 | 1 => shared.script.front().cloned().unwrap_or(Act::Close),
            _ => shared.script.pop_front().unwrap_or(Act::Close),
        }
    };
    match act {
        Act::Say(bytes) => stream.write_all(bytes.as_bytes()),
        Act::Hang => reader.read_to_end(&mut Vec::new()).map(drop),
        Act::Endless => {
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 1024])?;
            }
        }
        Act::Close => Ok(()),
        Act::Forward(address) => stream.write_all(&request.forward(&address)?),
        Act::ForwardAndCut(address) => request.forward(&address).map(drop),
    }
}
