//! Bounds the number of requests per second, and chooses the connection that is closed to make room. A
//! client that asks without end thus harms itself, and neither the pipeline nor other clients. Pure; `now`
//! is an argument.
//!
//! Requests are counted per address. A client with many addresses meets the bound on all addresses
//! together: recording readings is more important than answering.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// The cost of a request. Costs are relative to this one, and rough: a page takes a board a few
/// milliseconds.
pub(super) const REQUEST: u32 = 1;
/// The cost of accepting a connection.
pub(super) const CONNECTION: u32 = 1;
/// The cost of a TLS handshake, which has a key exchange and a signature.
pub(super) const HANDSHAKE: u32 = 4;

/// The costs allowed per second: for one address, and for all together. A scraper needs one or two.
const ONE_MAX: u32 = 100;
const ALL_MAX: u32 = 400;
const SECOND: Duration = Duration::from_secs(1);

/// The costs spent in the current second.
#[derive(Debug)]
pub(super) struct RequestPace {
    since: Instant,
    spent: BTreeMap<IpAddr, u32>,
    all: u32,
}

impl RequestPace {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, spent: BTreeMap::new(), all: 0 }
    }

    /// Whether `peer` may spend `cost` now; if so, the cost is charged. Clients on the board itself are not
    /// bounded: they have other ways to take its CPU, and they are no attackers on the network.
    pub(super) fn grants(&mut self, peer: IpAddr, cost: u32, now: Instant) -> bool {
        if peer.is_loopback() {
            return true;
        }
        if now.saturating_duration_since(self.since) >= SECOND {
            *self = Self::new(now);
        }
        // A refused request creates no entry, so there are never more entries than grants.
        let spent = self.spent.get(&peer).copied().unwrap_or(0);
        let granted = spent + cost <= ONE_MAX && self.all + cost <= ALL_MAX;
        if granted {
            self.spent.insert(peer, spent + cost);
            self.all += cost;
        }
        granted
    }
}

/// Chooses the connection that is closed for a new one: the oldest of the address that has the most. So a
/// flood from one address displaces itself, and silent clients cannot lock others out. `oldest_first` holds
/// the address of each connection; the result is an index into it, or `None` if it is empty.
pub(super) fn makes_room(oldest_first: &[IpAddr]) -> Option<usize> {
    let count = |peer: &IpAddr| oldest_first.iter().filter(|other| *other == peer).count();
    let most = oldest_first.iter().map(count).max()?;
    oldest_first.iter().position(|peer| count(peer) == most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        [192, 168, 1, last].into()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_floods_is_held_and_the_others_are_not() {
        let mut pace = RequestPace::new(Instant::now());
        let granted = (0..1000).filter(|_| pace.grants(peer(1), REQUEST, Instant::now())).count();
        assert_eq!(granted, 100);
        assert!(pace.grants(peer(2), CONNECTION + HANDSHAKE, Instant::now()));
        tokio::time::advance(SECOND).await;
        assert!(pace.grants(peer(1), REQUEST, Instant::now()), "a second later it may again");
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_together_are_held_in_bounded_memory_but_the_board_is_not() {
        let mut pace = RequestPace::new(Instant::now());
        let addresses = (0..100_000u32).map(|n| IpAddr::from(n.to_be_bytes()));
        let addresses = addresses.filter(|address| !address.is_loopback());
        let granted = addresses.filter(|peer| pace.grants(*peer, 1, Instant::now())).count();
        assert_eq!((granted, pace.spent.len()), (400, 400));
        assert!(pace.grants([127, 0, 0, 1].into(), REQUEST, Instant::now()));
    }

    #[test]
    fn whoever_has_most_makes_room() {
        let (a, b, c) = (peer(1), peer(2), peer(3));
        assert_eq!(makes_room(&[]), None);
        assert_eq!(makes_room(&[a, b, c]), Some(0), "the oldest when all have one");
        assert_eq!(makes_room(&[a, b, c, b]), Some(1));
        assert_eq!(makes_room(&[a, b, b, a]), Some(0), "the older of two alike");
    }
}
