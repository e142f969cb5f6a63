//! `[http]`: where the local port listens, and which clients it lets in.
//!
//! The keys are named as in the web configuration of Prometheus' own exporters. The users stand in a file
//! of their own, as `htpasswd` writes it, because hashes are secrets and this file is printed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::credential::secret_file;
use super::network::{Network, networks};
use crate::config::reader::field::{collection, default, optional};
use crate::config::reader::syntax::{Refusal, Syntax, boolean, integer, listen};
use crate::config::reader::table::settings;

settings! {
    /// The local port, which answers `/health`, `/ready`, `/metrics` and `/status`.
    pub struct Http {
        /// Address of the local port, or `"off"`. The default serves this board alone; `"0.0.0.0:9437"` serves
        /// the whole network, with the restrictions that follow.
        pub listen: Option<SocketAddr> = default(Some((Ipv4Addr::LOCALHOST, 9437).into()), listen());

        /// Connections served at once. With more, the oldest of the address that has most is closed, so that
        /// one client can neither exhaust the board nor lock others out.
        pub connections_max: usize = default(16, integer(1..=256));

        /// Networks and addresses that are let in; the board itself always is.
        pub allowed_networks: Vec<Network> = collection("every address is let in", networks())
            .example("[\"192.168.1.0/24\", \"fd00::/8\"]");

        /// File of the certificate, in PEM. With certificate and key the port speaks HTTPS alone. A renewed
        /// file is used at once, a renewed credential after a restart.
        pub cert_file: Option<PathBuf> = optional("it speaks plain HTTP", secret_file())
            .only_with(&["key_file"])
            .example("\"credential:http.pem\"");

        /// File of the certificate's private key, in PEM. It must not be readable for everybody.
        pub key_file: Option<PathBuf> = optional("it speaks plain HTTP", secret_file())
            .only_with(&["cert_file"])
            .example("\"credential:http.key\"");

        /// File of authorities, in PEM: only clients that show a certificate of theirs are let in.
        pub client_ca_file: Option<PathBuf> = optional("clients show no certificate", secret_file())
            .only_with(&["cert_file"])
            .example("\"/etc/outstation/clients.pem\"");

        /// File of names and passwords, a line `name:hash` each, as `htpasswd -nBC 10 NAME` prints it: bcrypt
        /// with a cost of at most 12. It must not be readable for everybody. A change holds at once, of a
        /// credential after a restart.
        pub users_file: Option<PathBuf> = optional("no client is asked for a password", secret_file())
            .example("\"credential:http.users\"");

        /// Announce the port on the local network by multicast DNS (`_prometheus-http._tcp`, or
        /// `_prometheus-https._tcp` with TLS), so that `outstation discover` lists this board. It needs a
        /// `listen` that the network can reach, and a program built with the feature `mdns`.
        pub announce: bool = default(false, announce());
    }
}

/// The files with which the local port speaks HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Only clients for which this authority vouches are let in.
    pub client_ca_file: Option<PathBuf>,
}

impl Http {
    /// `None` if it speaks plain HTTP.
    pub(crate) fn tls(&self) -> Option<ServerTls> {
        let (cert_file, key_file) = self.cert_file.clone().zip(self.key_file.clone())?;
        Some(ServerTls { cert_file, key_file, client_ca_file: self.client_ca_file.clone() })
    }
}

impl ServerTls {
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let Self { cert_file, key_file, client_ca_file } = self;
        [cert_file, key_file].into_iter().chain(client_ca_file).map(PathBuf::as_path)
    }
}

fn announce() -> Syntax<bool> {
    let is_left_out = |announce: &bool| *announce && !cfg!(feature = "mdns");
    boolean()
        .refusing(move |announce| is_left_out(announce).then(|| Refusal::left_out("true", "mdns")))
}
