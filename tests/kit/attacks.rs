//! What somebody on the network may do to a local port.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};

/// Many connections that say the same.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    connections: usize,
    says: Vec<u8>,
    /// One of these counts it.
    reasons: &'static [&'static str],
}

impl Attack {
    /// Connections that hear nothing and say what they like, as many as are let in.
    pub(crate) fn begin(&self, target: SocketAddr) -> Vec<TcpStream> {
        (0..self.connections).filter_map(|_| self.connect(target)).collect()
    }

    fn connect(&self, target: SocketAddr) -> Option<TcpStream> {
        // A full queue drops who comes; knocking again is faster than waiting for TCP to do so.
        let knock = || TcpStream::connect_timeout(&target, Duration::from_millis(100)).ok();
        let mut stream = std::iter::repeat_with(knock).take(20).flatten().next()?;
        stream.set_write_timeout(Some(Duration::from_millis(200))).expect("set a timeout");
        // Whether it is heard is the other side's choice.
        drop(stream.write_all(&self.says));
        Some(stream)
    }

    /// How often the daemon says, in its metrics, that it turned such clients away.
    pub(crate) fn counted(&self, metrics: &str) -> u64 {
        self.reasons.iter().map(|reason| refused(metrics, reason)).sum()
    }
}

fn attack(
    name: &'static str,
    connections: usize,
    says: &[u8],
    reasons: &'static [&'static str],
) -> Attack {
    Attack { name, connections, says: says.to_vec(), reasons }
}

fn crowd() -> Attack {
    attack("1,000 that say nothing", 1000, b"", &["crowded", "busy"])
}

/// On a port that speaks HTTP.
pub(crate) fn unencrypted() -> Vec<Attack> {
    let random: Vec<u8> = {
        let mut rng = fastrand::Rng::with_seed(7);
        (0..64 << 10).map(|_| rng.u8(..)).collect()
    };
    let headers = [b"GET / HTTP/1.1\r\n".to_vec(), b"x-more: of it\r\n".repeat(1 << 16)].concat();
    let url = [b"GET /".to_vec(), vec![b'a'; 1 << 20], b" HTTP/1.1\r\n\r\n".to_vec()].concat();
    let pages = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2000);
    let mixed = [&pages[..64], &random].concat();
    vec![
        crowd(),
        attack("slow heads", 16, b"GET /health HT", &["slow"]),
        attack("300 slow heads", 300, b"GET /health HT", &["crowded", "busy"]),
        attack("endless headers", 30, &headers, &["malformed", "busy"]),
        attack("huge addresses", 30, &url, &["malformed", "busy"]),
        attack("garbage", 50, &random, &["malformed", "busy"]),
        attack("garbage after requests", 50, &mixed, &["malformed", "busy"]),
        attack("pages nobody reads", 30, &pages, &["busy", "crowded", "login"]),
    ]
}

/// On one that asks for a password.
pub(crate) fn guesses() -> Attack {
    let wrong = BASE64_STANDARD.encode("prometheus:guess");
    let wrong = format!("GET / HTTP/1.1\r\nhost: x\r\nauthorization: Basic {wrong}\r\n\r\n");
    attack("wrong passwords", 200, wrong.as_bytes(), &["login", "crowded", "busy"])
}

/// On one that speaks TLS.
pub(crate) fn encrypted() -> Vec<Attack> {
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[7; 40]].concat();
    let mut record = b"\x16\x03\x03\x40\x00".to_vec();
    record.extend([1; 0x4000]);
    vec![
        crowd(),
        attack("half a handshake", 16, &hello, &["slow"]),
        attack("300 halves of a handshake", 300, &hello, &["crowded", "busy"]),
        attack("records of nothing", 50, &record.repeat(64), &["tls", "busy"]),
        attack("no TLS", 50, b"GET / HTTP/1.1\r\n\r\n", &["tls", "busy"]),
    ]
}

/// How many clients were turned away for this reason.
pub(crate) fn refused(page: &str, reason: &str) -> u64 {
    let name = format!("outstation_http_refused_total{{reason=\"{reason}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&name));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {page}"))
}
