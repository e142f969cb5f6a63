//! Real multicast on this machine's loopback interface.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Other tests, and other machines, must not answer.
fn unique(name: &str) -> String {
    format!("_{name}{}._tcp.local", fastrand::u32(..))
}

#[tokio::test]
async fn what_is_announced_is_found_and_is_gone_when_it_says_goodbye() {
    let service = unique("found");
    let mut browser = Browser::start(&service).expect("multicast");
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let start = |port| {
        Announcement::start(&service, "pump-house", Some(localhost), port, "/v1/readings")
            .expect("multicast")
    };
    let announcement = start(4711);
    let found = timeout(PATIENCE, browser.changed()).await.expect("in time").expect("running");
    let path = Some("/v1/readings".to_owned());
    assert_eq!(found, [Service { address: localhost, port: 4711, path }]);
    announcement.end().await;
    let left = timeout(PATIENCE, browser.changed()).await.expect("in time").expect("running");
    assert_eq!(left, []);
}
