//! `[http]`: where the local port listens, and whom it lets in.
//!
//! The keys are named as in the web configuration of Prometheus' own exporters; the users stand in a
//! file of their own, as `htpasswd` writes it, because hashes are secrets and this file is printed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::credential::secret_file;
use super::network::{Network, networks};
use crate::config::reader::keys::{Key, key};
use crate::config::reader::kind::{Kind, Refusal, boolean, integer, listen};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;

/// The local port for health, metrics and status.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// `None`: there is no local port.
    pub listen: Option<SocketAddr>,
    pub connections_max: usize,
    /// Told to the local network by multicast DNS.
    pub announce: bool,
    /// Besides the board itself. Empty: everybody.
    pub allowed_networks: Vec<Network>,
    /// `None`: it speaks plain HTTP.
    pub tls: Option<ServerTls>,
    /// Lines `name:hash`. `None`: nobody is asked for a password.
    pub users_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Only clients for which this authority vouches are let in.
    pub client_ca_file: Option<PathBuf>,
}

impl ServerTls {
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let Self { cert_file, key_file, client_ca_file } = self;
        [cert_file, key_file].into_iter().chain(client_ca_file).map(PathBuf::as_path)
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Some((Ipv4Addr::LOCALHOST, 9437).into()),
            connections_max: 16,
            announce: false,
            allowed_networks: Vec::new(),
            tls: None,
            users_file: None,
        }
    }
}

impl Http {
    #[rustfmt::skip]
    pub(in crate::config) const KEYS: &[Key] = &[
        key("http.listen", "\"127.0.0.1:9437\"", "address of health, metrics and status, or \"off\""),
        key("http.connections_max", "16", "connections served at once; with more, one of whoever has most is closed"),
        key("http.allowed_networks", "every address is let in", "networks that are let in, besides the board itself"),
        key("http.cert_file", "it speaks plain HTTP", "file of its certificate in PEM; with it, it speaks HTTPS alone"),
        key("http.key_file", "it speaks plain HTTP", "file of the certificate's private key, in PEM"),
        key("http.client_ca_file", "clients show no certificate", "file of the authorities whose clients are let in, in PEM"),
        key("http.users_file", "nobody is asked for a password", "file of lines `name:hash`, as `htpasswd -nBC 10 NAME` prints them"),
        key("http.announce", "false", "tell the local network of it by multicast DNS, for `outstation discover`"),
    ];

    pub(in crate::config) fn read(from: &Section<'_>) -> Self {
        let default = Self::default();
        let needs =
            [("cert_file", "key_file"), ("key_file", "cert_file"), ("client_ca_file", "cert_file")];
        for (key, needed) in needs.into_iter().filter(|(_, needed)| !from.has(needed)) {
            from.refuse(&[key], &format!("a local port without {needed}"), needed);
        }
        let identity = from
            .optional("cert_file", &secret_file())
            .zip(from.optional("key_file", &secret_file()));
        let client_ca_file = from.optional("client_ca_file", &secret_file());
        Self {
            listen: from.or("listen", default.listen, &listen()),
            connections_max: from.or("connections_max", default.connections_max, &integer(1..=256)),
            announce: from.or("announce", default.announce, &announce()),
            allowed_networks: from.or("allowed_networks", Vec::new(), &networks()),
            tls: identity.map(|(cert_file, key_file)| ServerTls {
                cert_file,
                key_file,
                client_ca_file,
            }),
            users_file: from.optional("users_file", &secret_file()),
        }
    }

    pub(in crate::config) fn print(&self, to: &mut Printer) {
        to.section("[http]");
        match self.listen {
            Some(address) => to.text("listen", address),
            None => to.text("listen", "off"),
        }
        to.bare("connections_max", self.connections_max);
        to.bare("announce", self.announce);
        match self.allowed_networks.as_slice() {
            [] => to.unset("allowed_networks", "every address is let in"),
            networks => {
                let networks: Vec<_> = networks.iter().map(Network::to_string).collect();
                to.list("allowed_networks", &networks);
            }
        }
        let tls = self.tls.as_ref();
        let clients = tls.and_then(|tls| tls.client_ca_file.as_deref());
        to.file("cert_file", tls.map(|tls| &*tls.cert_file), "it speaks plain HTTP");
        to.file("key_file", tls.map(|tls| &*tls.key_file), "it speaks plain HTTP");
        to.file("client_ca_file", clients, "clients show no certificate");
        to.file("users_file", self.users_file.as_deref(), "nobody is asked for a password");
    }
}

fn announce() -> Kind<bool> {
    let Kind { allowed, read } = boolean();
    let read = move |value: &DeValue<'_>| match read(value)? {
        true if !cfg!(feature = "mdns") => Err(Refusal::left_out("true", "mdns")),
        announce => Ok(announce),
    };
    Kind { allowed, read: Box::new(read) }
}
