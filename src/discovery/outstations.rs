//! Finds the outstations on the local network.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::DiscoveryError;
use super::mdns::{Browser, METRICS, METRICS_TLS, MdnsError, MdnsService, has_network};

/// The longest device id in bytes, as in the configuration.
const DEVICE_BYTES_MAX: usize = 64;

/// A board that answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outstation {
    pub device: String,
    pub address: SocketAddr,
    pub version: String,
    pub scheme: OutstationScheme,
    /// The path of its metrics.
    pub path: String,
}

/// The scheme of its local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutstationScheme {
    Http,
    Https,
}

impl OutstationScheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn service(self) -> &'static str {
        match self {
            Self::Http => METRICS,
            Self::Https => METRICS_TLS,
        }
    }
}

impl Outstation {
    /// The outstation that a service describes. Returns `None` for other programs, which announce their
    /// metrics under the same service type.
    fn from(service: &MdnsService, scheme: OutstationScheme) -> Option<Self> {
        let text = |key: &str| service.texts.get(key).filter(|text| is_name(text));
        Some(Self {
            device: text("device")?.clone(),
            address: SocketAddr::new(service.address, service.port),
            version: text("version")?.clone(),
            scheme,
            path: service.path()?.to_owned(),
        })
    }

    /// The URL at which Prometheus scrapes it.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.address, self.path)
    }
}

fn is_name(text: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    !text.is_empty() && text.len() <= DEVICE_BYTES_MAX && text.bytes().all(usual)
}

/// Returns all outstations that answer within `wait`, sorted by device id. An empty list is a valid result,
/// as long as there is a network to ask on.
pub async fn outstations(wait: Duration) -> Result<Vec<Outstation>, DiscoveryError> {
    let (plain, encrypted) = tokio::try_join!(
        heard(OutstationScheme::Http, wait),
        heard(OutstationScheme::Https, wait)
    )?;
    let mut found = [plain, encrypted].concat();
    if found.is_empty() && !has_network()? {
        return Err(DiscoveryError::NoNetwork);
    }
    found.sort();
    Ok(found)
}

async fn heard(scheme: OutstationScheme, wait: Duration) -> Result<Vec<Outstation>, MdnsError> {
    let (browser, mut services) = (Browser::start(scheme.service())?, Vec::new());
    if let Ok(failed) = timeout(wait, listen(browser, &mut services)).await {
        return Err(failed);
    }
    Ok(services.iter().filter_map(|service| Outstation::from(service, scheme)).collect())
}

/// Listens until it fails; the caller ends it with a timeout and reads `heard`.
async fn listen(mut browser: Browser, heard: &mut Vec<MdnsService>) -> MdnsError {
    loop {
        match browser.changed().await {
            Ok(services) => *heard = services,
            Err(failed) => return failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(texts: &[(&str, &str)]) -> MdnsService {
        let texts = texts.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        MdnsService { address: [10, 0, 0, 7].into(), port: 9437, texts: texts.collect() }
    }

    #[cfg(not(feature = "mdns"))]
    #[tokio::test]
    async fn looking_for_boards_fails_in_a_build_without_multicast_dns() {
        let error = outstations(Duration::ZERO).await.expect_err("there is nothing to ask with");
        let message = "this build lacks multicast DNS: it was made without the feature `mdns`";
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn only_what_says_it_is_an_outstation_is_one() {
        let texts = [("path", "/metrics"), ("device", "pump-7"), ("version", "0.1.0")];
        let found =
            Outstation::from(&service(&texts), OutstationScheme::Https).expect("an outstation");
        assert_eq!(found.device, "pump-7");
        assert_eq!(found.url(), "https://10.0.0.7:9437/metrics");
        // A node exporter has only a path.
        assert_eq!(Outstation::from(&service(&texts[..1]), OutstationScheme::Http), None);
        for device in ["", "pump 7", "pump\n7", "p\u{fc}mp", &"x".repeat(65)] {
            let texts = [("path", "/metrics"), ("device", device), ("version", "0.1.0")];
            assert_eq!(
                Outstation::from(&service(&texts), OutstationScheme::Http),
                None,
                "{device}"
            );
        }
    }
}
