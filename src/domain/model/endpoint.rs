//! The addresses of a sink. `domain::policy::failover` chooses between them.

/// One address of a sink, with the priority and the weight of RFC 2782: the lowest priority number that
/// works is used, and within one priority the weights decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub priority: u16,
    pub weight: u16,
    pub url: String,
}

impl Endpoint {
    /// Makes endpoints from URLs in order of preference: priorities count from 0, and every weight is 1.
    pub fn in_order(urls: &[impl ToString]) -> Vec<Self> {
        let one = |(priority, url): (u16, &_)| Self {
            priority,
            weight: 1,
            url: ToString::to_string(url),
        };
        (0..).zip(urls).map(one).collect()
    }

    /// The URL without its query, which may be shown and stored.
    pub fn address(&self) -> &str {
        without_query(&self.url)
    }

    /// Scheme, host and port of the URL.
    pub fn origin(&self) -> &str {
        let address = self.address();
        let host = address.find("://").map_or(0, |at| at + 3);
        let end = address[host..].find('/').map_or(address.len(), |at| host + at);
        &address[..end]
    }
}

/// Cuts query and fragment off a URL. A query may hold a key, so it is neither shown nor stored.
pub fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_not_shown() {
        for (url, address, origin) in [
            (
                "https://h:8443/v1/readings?key=secret",
                "https://h:8443/v1/readings",
                "https://h:8443",
            ),
            ("mqtt://h", "mqtt://h", "mqtt://h"),
            ("http://[::1]:80/?a=//b/", "http://[::1]:80/", "http://[::1]:80"),
            ("nonsense", "nonsense", "nonsense"),
        ] {
            let endpoint = Endpoint { url: url.into(), ..Endpoint::default() };
            assert_eq!((endpoint.address(), endpoint.origin()), (address, origin));
        }
    }
}
