//! What multicast DNS is asked for here, and what a service says of itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// What `outstation collect --announce` answers to.
pub const COLLECTOR: &str = "_outstation-collect._tcp.local";
/// What anything that Prometheus can scrape answers to, as registered with IANA.
pub const METRICS: &str = "_prometheus-http._tcp.local";
/// The same with TLS, as tools for Prometheus know it.
pub const METRICS_TLS: &str = "_prometheus-https._tcp.local";

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdnsService {
    pub address: IpAddr,
    pub port: u16,
    /// What it says of itself in its TXT record.
    pub texts: BTreeMap<String, String>,
}

impl MdnsService {
    /// Where it says it is; what is no path is passed over.
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
