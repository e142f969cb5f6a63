//! Decides which clients get in: by address, TLS and password, and by how often they ask.
//!
//! The door never opens because something is missing: while a file that the configuration names could never
//! be used, no client gets in.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::pace::{self, RequestPace};
use super::refusals::Refusals;
use super::renewed::Renewed;
use super::users::{self, Users};
use crate::clock::Clock;
use crate::config::{Http, Network, ServerTls};
use crate::credentials::SetupError;
use crate::credentials::tls::{self, Io, ServerConfig};
use crate::telemetry::events::ClientRefusal;

/// The time that a client has for the TLS handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);

/// The rules by which one local port admits clients.
#[derive(Debug)]
pub(super) struct Door {
    networks: Vec<Network>,
    tls: Option<(ServerTls, Renewed<ServerConfig>)>,
    users: Option<Users>,
    pace: Mutex<RequestPace>,
    pub(super) refusals: Refusals,
}

impl Door {
    pub(super) fn new(http: &Http) -> Self {
        let renewed = |tls: &ServerTls| Renewed::new(tls.paths().map(Into::into).collect());
        // Neither the key nor anything signed with it leaves this process.
        let key: Vec<u8> = (0..4).flat_map(|_| Clock::entropy().to_ne_bytes()).collect();
        let door = Self {
            networks: http.allowed_networks.clone(),
            tls: http.tls().map(|tls| (tls.clone(), renewed(&tls))),
            users: http.users_file.clone().map(|file| Users::new(file, &key)),
            pace: Mutex::new(RequestPace::new(Instant::now())),
            refusals: Refusals::default(),
        };
        // Files that cannot be used are reported now, and not when the first client comes.
        drop(door.server_config());
        door.users.iter().for_each(Users::renew);
        door
    }

    /// Checks whether a new connection from `peer` is accepted at all, and charges its cost to the address.
    pub(super) fn greet(&self, peer: IpAddr) -> Result<(), ClientRefusal> {
        let allowed = || self.networks.iter().any(|network| network.contains(peer));
        if !(self.networks.is_empty() || peer.is_loopback() || allowed()) {
            return Err(ClientRefusal::Network);
        }
        let handshake = self.tls.as_ref().map_or(0, |_| pace::HANDSHAKE);
        self.grant(peer, pace::CONNECTION + handshake)
    }

    /// Returns the connection, encrypted if TLS is configured.
    pub(super) async fn encrypt(&self, stream: TcpStream) -> Result<Box<dyn Io>, ClientRefusal> {
        if self.tls.is_none() {
            return Ok(Box::new(stream));
        }
        let config = self.server_config().ok_or(ClientRefusal::Setup)?;
        match timeout(HANDSHAKE_TIME_MAX, tls::accept(stream, config)).await {
            Ok(Ok(encrypted)) => Ok(Box::new(encrypted)),
            Ok(Err(_)) => Err(ClientRefusal::Tls),
            Err(_) => Err(ClientRefusal::Slow),
        }
    }

    /// Checks whether a request is answered. `said` is its `Authorization` header.
    pub(super) async fn admit(
        &self,
        said: Option<&HeaderValue>,
        peer: IpAddr,
    ) -> Result<(), ClientRefusal> {
        self.grant(peer, pace::REQUEST)?;
        match &self.users {
            None => Ok(()),
            Some(users) => users.admit(said, peer).await,
        }
    }

    fn grant(&self, peer: IpAddr, cost: u32) -> Result<(), ClientRefusal> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.grants(peer, cost, Instant::now()) { Ok(()) } else { Err(ClientRefusal::Busy) }
    }

    fn server_config(&self) -> Option<Arc<ServerConfig>> {
        let (files, config) = self.tls.as_ref()?;
        config.get(|| read(files))
    }
}

fn read(files: &ServerTls) -> Result<ServerConfig, SetupError> {
    tls::server_config(&files.cert_file, &files.key_file, files.client_ca_file.as_deref())
}

/// All faults in the files that `[http]` names.
pub fn check(http: &Http) -> Vec<SetupError> {
    let tls = http.tls().and_then(|files| read(&files).err());
    let users = http.users_file.as_deref().map(users::check).unwrap_or_default();
    tls.into_iter().chain(users).collect()
}
