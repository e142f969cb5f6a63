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
fn a_path_that_is_none_is_passed_over() {
    let of = |path: &str| {
        let texts = [("path".to_owned(), path.to_owned())].into();
        Service { address: Ipv4Addr::LOCALHOST.into(), port: 1, texts }.path().map(str::to_owned)
    };
    assert_eq!(of("/metrics").as_deref(), Some("/metrics"));
    for path in ["", "metrics", "/a b", "/a#b", "/\u{e9}"] {
        assert_eq!(of(path), None, "{path}");
    }
}

#[test]
fn a_name_is_cut_to_what_a_label_holds() {
    assert_eq!(label("pump-7"), "pump-7");
    assert_eq!(label(&"x".repeat(64)).len(), 63);
}
