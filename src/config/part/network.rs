//! A network as `allowed_networks` names it: an address and how many of its bits count.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde_json::json;
use toml::de::DeValue;

use crate::config::reader::print::list;
use crate::config::reader::syntax::{Refusal, Syntax};

const NETWORKS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// A socket that listens on both families sees `::ffff:192.0.2.1` where `192.0.2.1` came.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, width) = bits(self.address);
        let (other, other_width) = bits(address.to_canonical());
        let beyond = width - u32::from(self.prefix);
        width == other_width && (own ^ other).checked_shr(beyond).unwrap_or(0) == 0
    }
}

/// Not a network.
#[derive(Debug)]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let (own, width) = bits(address);
        let prefix = prefix.map_or(Ok(width), str::parse).map_err(|_| NotANetwork)?;
        // Bits behind the prefix are a sign that another prefix was meant.
        let good = prefix <= width && own.trailing_zeros() >= width - prefix;
        let mapped = address != address.to_canonical();
        let prefix = u8::try_from(prefix).map_err(|_| NotANetwork)?;
        Some(Self { address, prefix }).filter(|_| good && !mapped).ok_or(NotANetwork)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

pub(in crate::config) fn networks() -> Syntax<Vec<Network>> {
    let read = |value: &DeValue<'_>| {
        let list = value.as_array().filter(|list| (1..=NETWORKS_MAX).contains(&list.len()));
        let list = list.ok_or(Refusal::NotAllowed)?.iter();
        let network = |text: &str| text.parse().ok();
        let networks = list.map(|item| item.get_ref().as_str().and_then(network));
        networks.collect::<Option<_>>().ok_or(Refusal::NotAllowed)
    };
    let allowed = format!(
        "a list of 1 to {NETWORKS_MAX} networks, such as [\"192.168.1.0/24\", \"fd00::/8\"], or \
         addresses, with zeros behind the prefix"
    );
    let write = |networks: &Vec<Network>| {
        list(&networks.iter().map(Network::to_string).collect::<Vec<_>>())
    };
    let schema = json!({
        "type": "array", "minItems": 1, "maxItems": NETWORKS_MAX, "items": { "type": "string" },
    });
    Syntax { allowed, read: Box::new(read), write: Box::new(write), schema }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Option<Network> {
        text.parse().ok()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (text, inside, outside) in [
            ("192.168.1.0/24", "192.168.1.255", "192.168.2.0"),
            ("192.168.1.0/24", "::ffff:192.168.1.7", "::192.168.1.7"),
            ("10.0.0.7", "10.0.0.7", "10.0.0.6"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("fd00::/8", "fdff::1", "fe80::1"),
            ("::/0", "2001:db8::1", "192.168.1.1"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
        ] {
            let network = network(text).expect("a network");
            assert!(network.contains(inside.parse().expect("an address")), "{text} {inside}");
            assert!(!network.contains(outside.parse().expect("an address")), "{text} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_and_what_is_one_is_printed_as_it_is_read() {
        for bad in [
            "",
            "/24",
            "192.168.1.0/33",
            "192.168.1.0/",
            "192.168.1.1/24",
            "fd00::1/8",
            "::/129",
            "::ffff:10.0.0.0/104",
            "lan",
            "10/8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0.0/999",
        ] {
            assert_eq!(network(bad), None, "{bad}");
        }
        for good in ["192.168.1.0/24", "0.0.0.0/0", "::/0", "fd00::/8", "10.0.0.7/32"] {
            assert_eq!(network(good).expect(good).to_string(), good);
        }
    }
}
