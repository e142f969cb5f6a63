//! Asks the local network for outstations.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::DiscoveryError;
use super::mdns::{Browser, METRICS, METRICS_TLS, MdnsError, MdnsService, has_network};

/// Of a device id, as in the configuration.
const DEVICE_BYTES_MAX: usize = 64;

/// A board that answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outstation {
    pub device: String,
    pub address: SocketAddr,
    pub version: String,
    pub scheme: OutstationScheme,
    /// Of its metrics.
    pub path: String,
}

/// How its local port is spoken to.
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
    /// None of what is no outstation: others announce their metrics by the same name.
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

    /// Where Prometheus scrapes it.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.address, self.path)
    }
}

fn is_name(text: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    !text.is_empty() && text.len() <= DEVICE_BYTES_MAX && text.bytes().all(usual)
}

/// All that answer within this time, by name. That nobody does is an answer too, as long as there is
/// a network to ask on.
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

/// Until it fails.
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
        // A node exporter, say.
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
