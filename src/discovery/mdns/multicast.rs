//! Multicast DNS with the library `mdns-sd`, which only this file uses. The library has a thread of its
//! own, and sends few queries once it has found something.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use mdns_sd::{IfKind, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};

use super::service::MdnsService;

/// The longest service name. `_outstation-collect` is longer than the 15 characters that IANA registers.
const SERVICE_NAME_MAX: u8 = 30;
/// The interval in seconds at which the library looks for new interfaces; a board rarely gets one.
const INTERFACES_EVERY_S: u32 = 60;
/// The length of a DNS label in bytes.
const INSTANCE_BYTES_MAX: usize = 63;
/// The largest number of services that are kept. A real network has fewer; the bound limits what a hostile
/// sender can fill.
const SERVICES_MAX: usize = 256;
/// The largest number of texts that are kept of a TXT record, each of 255 bytes at most; outstations send
/// three.
const TEXTS_MAX: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum MdnsError {
    #[error("failed to use multicast DNS")]
    Daemon(#[from] mdns_sd::Error),
    #[error("multicast DNS ended")]
    Ended,
    #[error("failed to list the network interfaces")]
    Interfaces(#[source] std::io::Error),
}

/// The library's thread and sockets. Dropping this ends them without waiting.
struct Daemon(ServiceDaemon);

impl Daemon {
    fn start() -> Result<Self, MdnsError> {
        let daemon = Self(ServiceDaemon::new()?);
        daemon.0.set_service_name_len_max(SERVICE_NAME_MAX)?;
        daemon.0.set_ip_check_interval(INTERFACES_EVERY_S)?;
        // The loopback interface is enabled for a collector on the same board.
        daemon.0.enable_interface([IfKind::LoopbackV4, IfKind::LoopbackV6].to_vec())?;
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.shutdown());
    }
}

/// Listens for services of one type.
pub struct Browser {
    _daemon: Daemon,
    news: mdns_sd::Receiver<ServiceEvent>,
    /// The services by their full name.
    services: BTreeMap<String, MdnsService>,
}

impl fmt::Debug for Browser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Browser").field("services", &self.services).finish_non_exhaustive()
    }
}

impl Browser {
    /// Starts to look for a service such as `_outstation-collect._tcp.local`.
    pub fn start(service: &str) -> Result<Self, MdnsError> {
        let daemon = Daemon::start()?;
        let news = daemon.0.browse(&fully_qualified(service))?;
        Ok(Self { _daemon: daemon, news, services: BTreeMap::new() })
    }

    /// Waits for a change and returns all known services. Cancel-safe.
    pub async fn changed(&mut self) -> Result<Vec<MdnsService>, MdnsError> {
        loop {
            let event = self.news.recv_async().await.map_err(|_| MdnsError::Ended)?;
            let before = self.services.clone();
            match event {
                ServiceEvent::ServiceResolved(resolved) => self.found(&resolved),
                ServiceEvent::ServiceRemoved(_, name) => drop(self.services.remove(&name)),
                _ => {}
            }
            if self.services != before {
                return Ok(self.services.values().cloned().collect());
            }
        }
    }

    fn found(&mut self, resolved: &ResolvedService) {
        let has_room = self.services.len() < SERVICES_MAX;
        if let Some(address) = best(resolved) {
            if has_room || self.services.contains_key(&resolved.fullname) {
                let texts = resolved.txt_properties.iter().take(TEXTS_MAX);
                let texts = texts.map(|text| (text.key().to_owned(), text.val_str().to_owned()));
                let service = MdnsService { address, port: resolved.port, texts: texts.collect() };
                self.services.insert(resolved.fullname.clone(), service);
            }
        }
    }
}

/// Announces a service on the local network for as long as this lives.
pub struct Announcement {
    daemon: Daemon,
    name: String,
}

impl fmt::Debug for Announcement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Announcement").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Announcement {
    /// Starts to announce a service. An unspecified address stands for every address of the machine. The
    /// texts go into the TXT record.
    pub fn start(
        service: &str,
        instance: &str,
        listens: SocketAddr,
        texts: &[(&str, &str)],
    ) -> Result<Self, MdnsError> {
        let daemon = Daemon::start()?;
        if listens.is_ipv4() {
            daemon.0.disable_interface(IfKind::IPv6)?;
        }
        let instance = label(instance);
        let (host, service) = (format!("{instance}.local."), fully_qualified(service));
        let (ip, port) = (listens.ip(), listens.port());
        let info = if ip.is_unspecified() {
            ServiceInfo::new(&service, instance, &host, "", port, texts)?.enable_addr_auto()
        } else {
            ServiceInfo::new(&service, instance, &host, ip, port, texts)?
        };
        let name = info.get_fullname().to_owned();
        daemon.0.register(info)?;
        Ok(Self { daemon, name })
    }

    /// Withdraws the announcement, so that no client is sent here any more, and waits for the library's
    /// thread.
    pub async fn end(self) {
        if let Ok(done) = self.daemon.0.unregister(&self.name) {
            drop(done.recv_async().await);
        }
        if let Ok(done) = self.daemon.0.shutdown() {
            drop(done.recv_async().await);
        }
    }
}

/// Whether this machine has a network interface besides loopback.
pub fn has_network() -> Result<bool, MdnsError> {
    let interfaces = if_addrs::get_if_addrs().map_err(MdnsError::Interfaces)?;
    Ok(interfaces.iter().any(|interface| !interface.is_loopback()))
}

/// Cuts a name to the length of a DNS label.
fn label(name: &str) -> &str {
    let end = (0..=name.len().min(INSTANCE_BYTES_MAX)).rev().find(|at| name.is_char_boundary(*at));
    &name[..end.unwrap_or(0)]
}

fn fully_qualified(service: &str) -> String {
    format!("{}.", service.trim_end_matches('.'))
}

/// Chooses an address. IPv4 is preferred, because it has no scope, which a URL could not express.
fn best(resolved: &ResolvedService) -> Option<IpAddr> {
    let addresses = resolved.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr);
    let usable = |address: &IpAddr| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    };
    addresses.filter(usable).min()
}

#[cfg(test)]
mod tests;
