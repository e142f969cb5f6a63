//! Endpoints that are looked up: in a real DNS, served by dnsmasq, and on a real network by multicast.
//! Each test has a network of its own, a namespace, so that names and ports are nobody else's.

use rusqlite::{Connection, OpenFlags};

use crate::kit::daemon::Daemon;
use crate::kit::network::has;
use crate::kit::program::PROGRAM;
use crate::kit::site::{Site, json_port};
use crate::kit::wait::eventually;

/// Begins the namespace's life; then runs what its arguments say.
const NETWORK: &str = "set -eu; ip link set lo up; ";

/// The daemon in a namespace that is prepared by `script`, with a collector beside it.
fn daemon(site: &Site, script: &str, collect: &str, rest: &str) -> Daemon {
    let store = site.path("collector.db");
    let script = format!(
        "{NETWORK}{script}{PROGRAM} collect --log-format text --store {} {collect} \
         >/dev/null 2>&1 & exec \"$@\"",
        store.display()
    );
    let starter = [
        "unshare",
        "-U",
        "-r",
        "-n",
        "-m",
        "-p",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        &script,
        "sh",
    ];
    let daemon = site.spawn_under(&starter, rest);
    daemon.notified("READY=1");
    daemon
}

/// How many readings the collector has.
fn received(site: &Site) -> i64 {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(site.path("collector.db"), flags)
        .and_then(|store| store.query_row("SELECT count(*) FROM readings", [], |row| row.get(0)))
        .unwrap_or(0)
}

fn sink(url: &str) -> String {
    format!(
        "[[sink]]\nname = \"cloud\"\nkind = \"http\"\nurl = \"{url}\"\nscheme = \"http\"\n\
         timeout = \"500ms\"\nretries = 0\n"
    )
}

#[test]
fn a_collector_is_found_by_srv_records_and_another_takes_over_from_one_that_is_down() {
    if !has("dnsmasq", "dnsmasq-base") {
        return;
    }
    let site = Site::new();
    let mut line = site.plug("tty");
    let resolver = site.write("resolv.conf", "nameserver 127.0.0.1\n");
    let service = "_outstation._tcp.example.com";
    // The preferred one is not there.
    let script = format!(
        "mount --bind {} /etc/resolv.conf; dnsmasq --no-daemon --no-resolv --no-hosts \
         --conf-file=/dev/null --user= --group= --pid-file= --local=/example.com/ \
         --srv-host={service},localhost,9439,10,1 --srv-host={service},localhost,9438,20,1 \
         >/dev/null 2>&1 & ",
        resolver.display()
    );
    let rest = json_port(&line) + &sink(&format!("srv:{service}"));
    let daemon = daemon(&site, &script, "--listen 127.0.0.1:9438", &rest);
    line.send("{\"v\":1}\n{\"v\":2}\n");
    eventually("both readings arrive", || received(&site), |count| *count == 2);
    let said = daemon.said();
    let found = "http://localhost:9439/v1/readings, http://localhost:9438/v1/readings";
    assert!(said.contains(found), "{said}");
}

#[cfg(feature = "mdns")]
#[test]
fn a_collector_that_announces_itself_is_found_on_the_local_network() {
    if !has("ip", "iproute2") {
        return;
    }
    let site = Site::new();
    let mut line = site.plug("tty");
    let rest = json_port(&line) + &sink("mdns:_outstation-collect._tcp.local");
    let daemon = daemon(&site, "", "--listen 127.0.0.1:9440 --announce", &rest);
    line.send("{\"v\":1}\n");
    eventually("the reading arrives", || received(&site), |count| *count == 1);
    let said = daemon.said();
    assert!(said.contains("http://127.0.0.1:9440/v1/readings"), "{said}");
}

#[test]
fn a_name_that_the_dns_does_not_know_is_said_and_the_readings_wait() {
    if !has("ip", "iproute2") {
        return;
    }
    let site = Site::new();
    let mut line = site.plug("tty");
    let rest = json_port(&line) + &sink("srv:_outstation._tcp.example.com");
    // A network without any name server.
    let daemon = daemon(&site, "", "--listen 127.0.0.1:9438", &rest);
    line.send("{\"v\":1}\n");
    eventually("it is said", || daemon.said(), |said| said.contains("endpoints not found"));
    assert_eq!(received(&site), 0);
}
