//! The service types that are looked for here, and the description that a service gives of itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The service type of `outstation collect --announce`.
pub const COLLECTOR: &str = "_outstation-collect._tcp.local";
/// The service type of anything that Prometheus can scrape, as registered with IANA.
pub const METRICS: &str = "_prometheus-http._tcp.local";
/// The same with TLS, as tools for Prometheus know it.
pub const METRICS_TLS: &str = "_prometheus-https._tcp.local";

/// One service that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdnsService {
    pub address: IpAddr,
    pub port: u16,
    /// The texts of its TXT record.
    pub texts: BTreeMap<String, String>,
}

impl MdnsService {
    /// The path in its TXT record. A text that is not a path is ignored.
    pub fn path(&self) -> Option<&str> {
        self.texts.get("path").map(String::as_str).filter(|path| is_path(path))
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_path_that_is_none_is_passed_over() {
        let of = |path: &str| {
            let texts = [("path".to_owned(), path.to_owned())].into();
            let service = MdnsService { address: Ipv4Addr::LOCALHOST.into(), port: 1, texts };
            service.path().map(str::to_owned)
        };
        assert_eq!(of("/metrics").as_deref(), Some("/metrics"));
        for path in ["", "metrics", "/a b", "/a#b", "/\u{e9}"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
