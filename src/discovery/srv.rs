//! Looks up SRV records in the DNS (RFC 2782), at the name servers in `/etc/resolv.conf`.
//!
//! It sends one question and reads one answer. The further parts of a full resolver (caches, search lists,
//! DNSSEC) are not needed here, and would weigh more than the rest of the uploader.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::clock::Clock;

const CONFIG: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// The number of name servers that are asked, and how often each is asked, as in other resolvers (`MAXNS`,
/// `attempts`).
const SERVERS_MAX: usize = 3;
const ATTEMPTS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(3);
/// The size of a datagram that a server may send by default (RFC 1035); a longer answer comes over TCP.
const DATAGRAM_BYTES: usize = 512;
/// The largest number of targets that are kept: more than any service has, and fewer than a name server may
/// send.
const TARGETS_MAX: usize = 64;

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub priority: u16,
    pub weight: u16,
    pub host: String,
    pub port: u16,
}

/// The targets of a service, and the time for which they are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceRecords {
    pub targets: Vec<Target>,
    pub ttl: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    #[error("failed to read `{CONFIG}`")]
    Config(#[source] std::io::Error),
    #[error("`{CONFIG}` names no name server")]
    NoServer,
    #[error("`{0}` is no domain name")]
    Name(String),
    #[error("failed to ask the name server {server}")]
    Unanswered { server: SocketAddr, source: std::io::Error },
    #[error("the name server {server} answered {code:?}")]
    Refused { server: SocketAddr, code: RCODE },
    #[error("the name server {server} answered something else than it was asked")]
    Malformed { server: SocketAddr },
    #[error("the DNS has no SRV record for `{0}`")]
    Absent(String),
}

/// The name servers of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
}

impl Resolver {
    /// Reads the name servers from `/etc/resolv.conf`. The caller does this for every lookup, because a
    /// board may move between networks.
    pub(crate) fn of_system() -> Result<Self, LookupError> {
        let text = std::fs::read(Path::new(CONFIG)).map_err(LookupError::Config)?;
        let config = resolv_conf::Config::parse(&text).map_err(|error| {
            LookupError::Config(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        })?;
        let addresses = config.nameservers.iter().take(SERVERS_MAX);
        let servers: Vec<SocketAddr> =
            addresses.map(|address| SocketAddr::new(address.into(), PORT)).collect();
        if servers.is_empty() { Err(LookupError::NoServer) } else { Ok(Self { servers }) }
    }

    /// Asks each server up to twice, until one answers. That there is no such record is an answer, too.
    pub(crate) async fn lookup(&self, service: &str) -> Result<ServiceRecords, LookupError> {
        let mut last = LookupError::NoServer;
        for server in std::iter::repeat_n(&self.servers, ATTEMPTS).flatten() {
            match ask(*server, service).await {
                Err(
                    error @ (LookupError::Unanswered { .. }
                    | LookupError::Refused { .. }
                    | LookupError::Malformed { .. }),
                ) => last = error,
                answered => return answered,
            }
        }
        Err(last)
    }
}

async fn ask(server: SocketAddr, service: &str) -> Result<ServiceRecords, LookupError> {
    let id = u16::try_from(Clock::entropy() & 0xFFFF).unwrap_or_default();
    let question = question(id, service).ok_or_else(|| LookupError::Name(service.to_owned()))?;
    let late = |_| std::io::ErrorKind::TimedOut.into();
    let unanswered = |source| LookupError::Unanswered { server, source };
    let datagram = timeout(PATIENCE, over_udp(server, &question, id)).await;
    let mut answer = datagram.map_err(late).and_then(|answer| answer).map_err(unanswered)?;
    if Packet::parse(&answer).is_ok_and(|packet| packet.has_flags(PacketFlag::TRUNCATION)) {
        let stream = timeout(PATIENCE, over_tcp(server, &question)).await;
        answer = stream.map_err(late).and_then(|answer| answer).map_err(unanswered)?;
    }
    read(&answer, server, service, id)
}

fn question(id: u16, service: &str) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(service).ok()?;
    packet.questions.push(Question::new(name, TYPE::SRV.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().ok()
}

/// Waits for the answer with the id of the question; other datagrams are strays or forged.
async fn over_udp(server: SocketAddr, question: &[u8], id: u16) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = [0; DATAGRAM_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if buffer[..length].starts_with(&id.to_be_bytes()) {
            return Ok(buffer[..length].to_vec());
        }
    }
}

/// Asks over TCP, with a length before question and answer (RFC 7766).
async fn over_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(question).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

fn read(
    answer: &[u8],
    server: SocketAddr,
    service: &str,
    id: u16,
) -> Result<ServiceRecords, LookupError> {
    let malformed = || LookupError::Malformed { server };
    let packet = Packet::parse(answer).map_err(|_| malformed())?;
    let asked = packet.questions.first().is_some_and(|question| is(&question.qname, service));
    if packet.id() != id || !asked {
        return Err(malformed());
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Err(LookupError::Absent(service.to_owned())),
        code => return Err(LookupError::Refused { server, code }),
    }
    let mut ttl = u32::MAX;
    let mut targets = Vec::new();
    for record in packet.answers.iter().take(TARGETS_MAX) {
        // A name may be an alias (CNAME): the records of its target are in the same answer.
        let RData::SRV(srv) = &record.rdata else { continue };
        ttl = ttl.min(record.ttl);
        let host = srv.target.to_string();
        // A single dot as the target means that the service does not exist there (RFC 2782).
        if is_host(&host) && srv.port > 0 {
            let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
            targets.push(Target { priority, weight, host, port });
        }
    }
    if targets.is_empty() {
        return Err(LookupError::Absent(service.to_owned()));
    }
    Ok(ServiceRecords { targets, ttl: Duration::from_secs(ttl.into()) })
}

fn is(name: &Name<'_>, text: &str) -> bool {
    name.to_string().trim_end_matches('.').eq_ignore_ascii_case(text.trim_end_matches('.'))
}

/// Whether a host can be put into a URL without ending its host part.
fn is_host(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.trim_matches('.').is_empty() && host.bytes().all(plain)
}

#[cfg(test)]
mod tests;
