//! What the daemon says of its local port, and of whom it turns away there.

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

/// The daemon does its work without it.
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

/// Why a client was turned away, or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRefusal {
    /// From no network that is let in.
    Network,
    /// It asked for more than its share.
    Busy,
    /// It made room for another.
    Crowded,
    /// No TLS, another version of it, or no certificate that is known.
    Tls,
    /// It did not come to the point.
    Slow,
    /// What it said is no HTTP, or too long.
    Malformed,
    /// No password, or a wrong one.
    Login,
    /// What `[http]` names cannot be used.
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

/// They are counted one by one where they happen; this is the summary.
#[derive(Debug)]
pub struct ClientsRefused<'a> {
    /// In the order of [`ClientRefusal::ALL`].
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
    /// There is nothing older that could be used instead.
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
