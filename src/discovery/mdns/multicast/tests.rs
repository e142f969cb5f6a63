//! Tests with real multicast on this machine's loopback interface.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A service name that no other test and no other machine answers to.
fn unique(name: &str) -> String {
    format!("_{name}{}._tcp.local", fastrand::u32(..))
}

#[tokio::test]
async fn what_is_announced_is_found_and_is_gone_when_it_says_goodbye() {
    let service = unique("found");
    let mut browser = Browser::start(&service).expect("multicast");
    let listens = SocketAddr::from((Ipv4Addr::LOCALHOST, 4711));
    let texts = [("path", "/v1/readings"), ("device", "pump.7")];
    let announcement = Announcement::start(&service, "pump.7", listens, &texts).expect("multicast");
    let found = timeout(PATIENCE, browser.changed()).await.expect("in time").expect("running");
    let [service] = &found[..] else { panic!("{found:?}") };
    assert_eq!((service.address, service.port), (listens.ip(), 4711));
    assert_eq!(service.path(), Some("/v1/readings"));
    assert_eq!(service.texts["device"], "pump.7");
    announcement.end().await;
    let left = timeout(PATIENCE, browser.changed()).await.expect("in time").expect("running");
    assert_eq!(left, []);
}

#[test]
fn a_name_is_cut_to_what_a_label_holds() {
    assert_eq!(label("pump-7"), "pump-7");
    assert_eq!(label(&"x".repeat(64)).len(), 63);
}
