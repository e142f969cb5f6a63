//! Who gets in: by address, by TLS, by password, and how often. It never opens because something is
//! missing: what the configuration asks for and cannot be had lets nobody in.

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

/// The time for agreeing on TLS.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);

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
        // Neither it nor what is signed with it leaves this process.
        let key: Vec<u8> = (0..4).flat_map(|_| Clock::entropy().to_ne_bytes()).collect();
        let door = Self {
            networks: http.allowed_networks.clone(),
            tls: http.tls().map(|tls| (tls.clone(), renewed(&tls))),
            users: http.users_file.clone().map(|file| Users::new(file, &key)),
            pace: Mutex::new(RequestPace::new(Instant::now())),
            refusals: Refusals::default(),
        };
        // What cannot be used is said now, and not when the first client comes.
        drop(door.server_config());
        door.users.iter().for_each(Users::renew);
        door
    }

    /// Whether a connection is taken at all.
    pub(super) fn greet(&self, peer: IpAddr) -> Result<(), ClientRefusal> {
        let allowed = || self.networks.iter().any(|network| network.contains(peer));
        if !(self.networks.is_empty() || peer.is_loopback() || allowed()) {
            return Err(ClientRefusal::Network);
        }
        let handshake = self.tls.as_ref().map_or(0, |_| pace::HANDSHAKE);
        self.grant(peer, pace::CONNECTION + handshake)
    }

    /// The connection, encrypted if it is to be.
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

    /// Whether a request is answered.
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

/// Everything that is wrong with the files that `[http]` names.
pub fn check(http: &Http) -> Vec<SetupError> {
    let tls = http.tls().and_then(|files| read(&files).err());
    let users = http.users_file.as_deref().map(users::check).unwrap_or_default();
    tls.into_iter().chain(users).collect()
}
