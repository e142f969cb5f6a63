//! The events about the local port, and about the clients that it turns away.

use std::net::IpAddr;

use tracing::{error, info, warn};

use super::Report;
use super::message_ids;
use crate::error_chain::error_chain;
use crate::telemetry::metric_names::HTTP_REFUSED;

#[derive(Debug)]
pub struct LocalPortOpened {
    pub address: std::net::SocketAddr,
}

impl Report for LocalPortOpened {
    fn report(&self) {
        info!(
            message_id = message_ids::LOCAL_PORT_OPENED,
            address = %self.address,
            "local port listens"
        );
    }
}

#[derive(Debug)]
pub struct LocalPortRefuses<'a> {
    pub address: std::net::SocketAddr,
    pub error: &'a std::io::Error,
}

impl Report for LocalPortRefuses<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::LOCAL_PORT_REFUSES,
            address = %self.address,
            reason = %self.error,
            "local port cannot take a connection, retrying"
        );
    }
}

#[derive(Debug)]
pub struct LocalPortAbsent<'a> {
    pub error: &'a (dyn std::error::Error + 'static),
}

impl Report for LocalPortAbsent<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::LOCAL_PORT_ABSENT,
            reason = error_chain(self.error),
            "local port not open, retrying; readings are recorded meanwhile"
        );
    }
}

#[derive(Debug)]
pub struct LocalPortAnnounced<'a> {
    pub device: &'a str,
}

impl Report for LocalPortAnnounced<'_> {
    fn report(&self) {
        info!(
            message_id = message_ids::LOCAL_PORT_ANNOUNCED,
            device = self.device,
            "local port is announced on the local network"
        );
    }
}

/// The local port could not be announced. The daemon works without an announcement.
#[derive(Debug)]
pub struct LocalPortUnannounced<'a> {
    pub error: &'a (dyn std::error::Error + 'static),
}

impl Report for LocalPortUnannounced<'_> {
    fn report(&self) {
        warn!(
            message_id = message_ids::LOCAL_PORT_UNANNOUNCED,
            reason = error_chain(self.error),
            "local port is not announced on the local network, retrying"
        );
    }
}

/// The reason why a client was turned away or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRefusal {
    /// The client's address is in none of the networks that `[http]` allows.
    Network,
    /// The client's address, or all addresses together, asked for more than one second allows.
    Busy,
    /// The client was cut off to make room for another.
    Crowded,
    /// The client uses no TLS, another version of it, or no known certificate.
    Tls,
    /// The client did not complete its handshake or request in time.
    Slow,
    /// The request is not HTTP, or too long.
    Malformed,
    /// The client gave no password or a wrong one.
    Login,
    /// A file that `[http]` names cannot be used.
    Setup,
}

impl ClientRefusal {
    pub const ALL: [Self; 8] = [
        Self::Network,
        Self::Busy,
        Self::Crowded,
        Self::Tls,
        Self::Slow,
        Self::Malformed,
        Self::Login,
        Self::Setup,
    ];

    pub fn reason(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Busy => "busy",
            Self::Crowded => "crowded",
            Self::Tls => "tls",
            Self::Slow => "slow",
            Self::Malformed => "malformed",
            Self::Login => "login",
            Self::Setup => "setup",
        }
    }

    pub fn count(self) {
        metrics::counter!(HTTP_REFUSED, "reason" => self.reason()).increment(1);
    }
}

/// A summary of the clients that were turned away. Each of them is counted in the metrics when it happens.
#[derive(Debug)]
pub struct ClientsRefused<'a> {
    /// The number of clients per reason, in the order of [`ClientRefusal::ALL`].
    pub counts: &'a [u64; ClientRefusal::ALL.len()],
    pub last: IpAddr,
}

impl Report for ClientsRefused<'_> {
    fn report(&self) {
        let counted = ClientRefusal::ALL.iter().zip(self.counts).filter(|(_, count)| **count > 0);
        let reasons: Vec<String> =
            counted.map(|(why, count)| format!("{} {count}", why.reason())).collect();
        warn!(
            message_id = message_ids::CLIENTS_REFUSED,
            count = self.counts.iter().sum::<u64>(),
            address = %self.last,
            "local port turned clients away ({}), the last from {}",
            reasons.join(", "),
            self.last
        );
    }
}

#[derive(Debug)]
pub struct LocalPortFilesUnusable<'a> {
    pub error: &'a str,
    /// Whether there is no older content to use instead, so that no client is let in.
    pub locked: bool,
}

impl Report for LocalPortFilesUnusable<'_> {
    fn report(&self) {
        let meanwhile =
            if self.locked { "nobody is let in" } else { "what was there before holds" };
        error!(
            message_id = message_ids::LOCAL_PORT_FILES_UNUSABLE,
            reason = self.error,
            "local port cannot use a file of [http], and {meanwhile}: {}",
            self.error
        );
    }
}
