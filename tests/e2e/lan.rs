//! The local port on a network: who is let in, and what somebody who is not can do from there.
//!
//! Invariants checked: nobody gets a page without what `[http]` asks for; no secret is said; whatever is
//! done to the port, readings arrive at their rate, memory is bounded and the port answers others.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::kit::attacks::{self, Attack, refused};
use crate::kit::certificates::{Authority, authority, issue, signed};
use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::http::get;
use crate::kit::need::skip;
use crate::kit::process::port_of;
use crate::kit::program::outstation;
use crate::kit::readings::json_lines;
use crate::kit::site::{Site, json_port, sink};
use crate::kit::wait::eventually;

/// The password is `a`, the cost 6.
const HASH: &str = "$2y$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
/// Of an empty password.
const OTHER_HASH: &str = "$2y$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";
/// As the service manager bounds it on a board.
const MEMORY_KIB: u64 = 32 << 10;

/// A site whose local port asks for everything it can ask for.
struct Guarded {
    site: Site,
    own: Authority,
}

impl Guarded {
    fn new() -> Self {
        let guarded = Self { site: Site::listening("0.0.0.0:0"), own: authority() };
        guarded.site.write("ca.pem", &guarded.own.pem());
        guarded.site.write("users", &format!("prometheus:{HASH}\n"));
        guarded.site.write("password", "a\n");
        guarded.renew(2000);
        guarded
    }

    /// Another certificate of the server.
    fn renew(&self, year: i32) {
        issue(&self.site, &self.own, "localhost", year, "http");
    }

    /// Certificate and key of a client for whom this authority vouches.
    fn client(&self, authority: &Authority) -> [String; 2] {
        issue(&self.site, authority, "technician", 2000, "client")
    }

    fn path(&self, name: &str) -> String {
        self.site.path(name).display().to_string()
    }

    fn keys(&self) -> String {
        let [cert, key, users] = ["http.pem", "http.key", "users"].map(|name| self.path(name));
        format!("cert_file = {cert:?}\nkey_file = {key:?}\nusers_file = {users:?}\n")
    }

    fn curl(&self, daemon: &Daemon, more: &[&str]) -> Output {
        let ca = self.path("ca.pem");
        let url = format!("https://localhost:{}/status", number_of(daemon));
        curl(&[&["--cacert", &ca], more, &[&url]].concat())
    }
}

fn number_of(daemon: &Daemon) -> u16 {
    port_of(daemon.pid()).expect("it listens")
}

fn curl(args: &[&str]) -> Output {
    let common = ["--silent", "--show-error", "--ipv4", "--max-time", "20"];
    Command::new("curl").args(common).args(args).output().expect("run curl; install it")
}

/// The status code of an answer, if there was one.
fn code(output: &Output) -> u16 {
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    last.parse().unwrap_or(0)
}

const CODE: [&str; 4] = ["--output", "/dev/null", "--write-out", "%{http_code}"];
const LOGIN: [&str; 2] = ["--user", "prometheus:a"];

/// An address of this machine that is not its own affair, as a neighbour's is not.
fn lan_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let routed = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    let address = routed.ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback());
    if address.is_none() {
        skip("this machine has no network; give it an address and a route");
    }
    address
}

#[test]
fn whoever_has_password_and_certificate_is_let_in_and_nobody_else() {
    let guarded = Guarded::new();
    let clients = authority();
    let ca = guarded.site.write("clients.pem", &clients.pem()).display().to_string();
    let daemon = guarded.site.start(&format!("{}client_ca_file = {ca:?}\n", guarded.keys()));
    let [cert, key] = guarded.client(&clients);
    let identity = ["--cert", &cert, "--key", &key];
    let asked = |more: &[&[&str]]| guarded.curl(&daemon, &more.concat());
    let page = asked(&[&identity, &LOGIN]);
    assert!(String::from_utf8_lossy(&page.stdout).contains("\"device\": \"site\""), "{page:?}");
    for wrong in ["prometheus:b", "prometheus:", "nobody:a", ":"] {
        assert_eq!(code(&asked(&[&identity, &CODE, &["--user", wrong]])), 401, "{wrong}");
    }
    let refused = asked(&[&identity, &["--include"]]);
    let refused = String::from_utf8_lossy(&refused.stdout).to_lowercase();
    assert!(refused.contains("www-authenticate: basic realm=\"outstation\""), "{refused}");
    assert_eq!(code(&asked(&[&CODE, &LOGIN])), 0, "without a certificate");
    let [cert, key] = guarded.client(&authority());
    let stranger = ["--cert", &cert, "--key", &key];
    assert_eq!(code(&asked(&[&stranger, &CODE, &LOGIN])), 0, "somebody else vouches for it");
    let plain = format!("http://127.0.0.1:{}/status", number_of(&daemon));
    assert_eq!(code(&curl(&[&CODE[..], &LOGIN, &[&plain]].concat())), 0, "unencrypted");
    let said = daemon.said();
    assert!(!said.contains(HASH) && !said.contains("nobody:a"), "{said}");
    daemon.stop();
}

#[test]
fn status_shows_what_it_is_asked_for_and_says_what_is_missing() {
    let guarded = Guarded::new();
    let daemon = guarded.site.start(&guarded.keys());
    let (ca, password) = (guarded.path("ca.pem"), guarded.path("password"));
    let url = format!("https://localhost:{}", number_of(&daemon));
    let ask = |more: &[&str]| outstation(&[&["status", "--url", &url], more].concat());
    let login = ["--username", "prometheus", "--password-file", &password];
    let output = ask(&[&["--ca-file", &ca], &login[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("site  outstation"), "{output:?}");
    guarded.site.write("wrong", "b\n");
    let wrong = guarded.path("wrong");
    let open = guarded.site.path("open");
    std::fs::write(&open, "a\n").expect("write a file");
    let open = open.display().to_string();
    let with = |file: &'_ str| {
        let args = ["--ca-file", &ca, "--username", "prometheus", "--password-file", file];
        ask(&args)
    };
    for (output, said) in [
        (ask(&[]), "is the authority of its `http.cert_file` given with --ca-file"),
        (ask(&["--ca-file", &ca]), "asks for a name and a password; give --username and"),
        (with(&wrong), "does not know `prometheus` with the password given"),
        (with(&open), "is open to everybody on this board (mode 0644); close it with `chmod o= "),
        (outstation(&["status", "--url", &url.replace("https", "http")]), "does it speak http and"),
    ] {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let all = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(all.contains(said), "{said}\n{all}");
    }
    assert_eq!(ask(&["--username", "prometheus"]).status.code(), Some(64));
    daemon.stop();
}

#[test]
fn a_renewed_certificate_and_another_password_hold_at_once() {
    let guarded = Guarded::new();
    let daemon = guarded.site.start(&guarded.keys());
    let asked = |login: &str| guarded.curl(&daemon, &[&CODE[..], &["--user", login]].concat());
    assert_eq!(code(&asked("prometheus:a")), 200);
    guarded.renew(2200);
    let output = asked("prometheus:a");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not yet valid"), "{output:?}");
    // The key first: until the certificate fits it, the pair that was there before holds.
    guarded.renew(2000);
    let fits = guarded.site.path("http.key");
    let fitting = std::fs::read_to_string(&fits).expect("a key");
    guarded.site.write("http.key", "no key\n");
    assert_eq!(code(&asked("prometheus:a")), 0, "the pair from the year 2200 still holds");
    assert!(daemon.said().contains("cannot use a file of [http]"), "{}", daemon.said());
    guarded.site.write("http.key", &fitting);
    assert_eq!(code(&asked("prometheus:a")), 200);
    guarded.site.write("users", &format!("prometheus:{OTHER_HASH}\n"));
    assert_eq!((code(&asked("prometheus:a")), code(&asked("prometheus:"))), (401, 200));
    daemon.stop();
}

#[test]
fn files_that_cannot_be_used_lock_the_port_and_readings_are_recorded_all_the_same() {
    let guarded = Guarded::new();
    let collector = Collector::start(&guarded.site);
    let mut line = guarded.site.plug("text");
    let users = guarded.site.path("users");
    guarded.site.write("users", "prometheus:none\n");
    let keys = format!("users_file = {:?}\n", users.display().to_string());
    let daemon = guarded.site.start(&(keys + &json_port(&line) + &sink(&collector.address, "")));
    line.send(json_lines(0..100));
    collector.holds(100);
    assert_eq!(get(&daemon.address, "/health").0, 503);
    let asked = outstation(&["status", "--url", &daemon.address]);
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("the log of the daemon says why"), "{said}");
    let said = daemon.said();
    assert!(said.contains("ERROR") && said.contains("and nobody is let in: line 1 of"), "{said}");
    daemon.stop();
}

#[test]
fn check_names_every_file_that_is_wrong_and_what_is_hardly_meant() {
    let guarded = Guarded::new();
    guarded.site.write("users", "prometheus:none\nadmin:$2y$14$abc\n");
    let other = signed(&guarded.own, "localhost", 2000).1;
    guarded.site.write("http.key", &other.serialize_pem());
    let config = guarded.site.configure(&guarded.keys()).display().to_string();
    let output = outstation(&["check", "--config", &config]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for text in
        ["http.key` does not fit the certificate in `", "http: line 1 of", "http: line 2 of"]
    {
        assert!(said.contains(text), "{text}\n{said}");
    }
    let config = guarded.site.configure("").display().to_string();
    let output = outstation(&["check", "--config", &config]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("lets in everybody who can reach this board"), "{said}");
}

#[test]
fn addresses_of_other_networks_are_turned_away_and_counted_and_the_board_is_not() {
    let Some(neighbour) = lan_address() else { return };
    let from = |networks: &str| {
        let site = Site::listening("0.0.0.0:0");
        let daemon = site.start(&format!("allowed_networks = [\"{networks}\"]\n"));
        let url = format!("http://{neighbour}:{}/status", number_of(&daemon));
        let answered = code(&curl(&[&CODE[..], &[&url]].concat()));
        let refused = refused(&get(&daemon.address, "/metrics").1, "network");
        daemon.stop();
        (answered, refused)
    };
    assert_eq!(from("198.51.100.0/24"), (0, 1));
    assert_eq!(from(&neighbour.to_string()), (200, 0));
}

#[cfg(feature = "prometheus")]
#[test]
fn a_prometheus_scrapes_it_with_basic_authentication_and_tls() {
    let guarded = Guarded::new();
    let daemon = guarded.site.start(&guarded.keys());
    let [ca, password] = ["ca.pem", "password"].map(|name| guarded.path(name));
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: outstation\n  scheme: https\n\
         \x20 basic_auth:\n    username: prometheus\n    password_file: {password}\n  tls_config:\n\
         \x20   ca_file: {ca}\n    server_name: localhost\n  static_configs:\n\
         \x20 - targets: ['127.0.0.1:{port}']\n",
        port = number_of(&daemon),
    );
    let Some(tsdb) = crate::kit::tsdb::Tsdb::scraping(&config) else { return };
    let query = "/api/v1/query?query=outstation_ledger_balanced";
    let found = || get(&tsdb.address, query).1;
    let page =
        eventually("it is scraped", found, |page| page.contains("outstation_ledger_balanced"));
    assert!(page.contains("\"1\"]"), "{page}");
    daemon.stop();
}

/// Lets an attacker on the network do all this to a daemon in 32 MB while a sensor speaks; what was seen.
fn besieged(guarded: &Guarded, keys: &str, scheme: &str, attacks: &[Attack]) -> String {
    let mut measured = String::new();
    let Some(neighbour) = lan_address() else { return measured };
    let collector = Collector::start(&guarded.site);
    let mut line = guarded.site.plug("text");
    // An upstream with patience: what is looked at is this end.
    let sink = sink(&collector.address, "").replace("500ms", "20s");
    let config = format!("{keys}{}{sink}", json_port(&line));
    let limit = format!("--data={}", MEMORY_KIB << 10);
    let daemon = guarded.site.spawn_under(&["prlimit", &limit, "--"], &config);
    daemon.notified("READY=1");
    let target = SocketAddr::new(neighbour, number_of(&daemon));
    let own = format!("{scheme}://localhost:{}", target.port());
    let ca = guarded.path("ca.pem");
    let page = |path: &str| {
        let output = curl(&[&LOGIN[..], &["--cacert", &ca, &format!("{own}{path}")]].concat());
        assert!(output.status.success(), "{path}: {output:?}");
        String::from_utf8(output.stdout).expect("a page is text")
    };
    // What the attacker did before may have spent the second.
    let resolve = format!("localhost:{}:{neighbour}", target.port());
    let again = || {
        let url = format!("{own}/health");
        code(&curl(&[&CODE[..], &LOGIN, &["--cacert", &ca, "--resolve", &resolve, &url]].concat()))
    };
    let answered = || eventually("its address is answered again", again, |code| *code == 200);
    let arrived = || collector.stats()["unique"].as_u64().expect("a count");
    let (spoken, ()) = line.speak(Duration::from_millis(10), json_lines, || {
        for attack in attacks {
            answered();
            let counted = || attack.counted(&page("/metrics"));
            let before = counted();
            let held = attack.begin(target);
            let so_far = arrived();
            // While the attacker holds on, readings arrive and the technician is answered.
            eventually("more readings have arrived", arrived, |count| *count >= so_far + 200);
            let now = eventually(attack.name, counted, |now| *now > before);
            let (name, connections) = (attack.name, held.len());
            measured += &format!("{name}: {connections} connections, {} counted\n", now - before);
            for mut stream in held {
                stream.set_nonblocking(true).expect("set nonblocking");
                drop(stream.read(&mut [0; 4096]));
            }
        }
    });
    answered();
    collector.holds(spoken);
    let settled = || {
        let status: Value = serde_json::from_str(&page("/status")).expect("the status is JSON");
        status["ledger"].clone()
    };
    let ledger = eventually("all is accounted for", settled, |of| of["delivered"] == spoken);
    assert_eq!((&ledger["balanced"], &ledger["accepted"]), (&true.into(), &spoken.into()));
    let most = daemon.kib("VmHWM");
    measured += &format!("{spoken} readings, {most} KiB at most, {:?} of CPU", daemon.cpu());
    assert!(most < MEMORY_KIB, "{most} KiB");
    // The flood of clients is no flood in the log.
    let lines = daemon.said().matches("turned clients away").count();
    assert!(lines <= 5, "{}", daemon.said());
    daemon.stop();
    measured
}

#[test]
fn whatever_is_done_to_the_open_port_readings_arrive_and_it_answers_again() {
    let guarded = Guarded::new();
    let users = format!("users_file = {:?}\n", guarded.path("users"));
    let mut attacks = attacks::unencrypted();
    attacks.push(attacks::guesses());
    println!("{}", besieged(&guarded, &users, "http", &attacks));
}

#[test]
fn whatever_is_done_to_the_encrypted_port_readings_arrive_and_it_answers_again() {
    let guarded = Guarded::new();
    println!("{}", besieged(&guarded, &guarded.keys(), "https", &attacks::encrypted()));
}

#[test]
fn what_the_daemon_writes_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    let mut line = site.plug("text");
    let daemon = site.start(&json_port(&line));
    line.send(json_lines(0..10));
    daemon.stored(10);
    let mut found = Vec::new();
    for folder in [site.path("."), site.path("run")] {
        for file in std::fs::read_dir(folder).expect("list a folder") {
            let file = file.expect("an entry");
            let name = file.file_name().to_string_lossy().into_owned();
            let mode = file.metadata().expect("its mode").permissions().mode() & 0o777;
            if name.starts_with("log.db") {
                assert_eq!(mode, 0o600, "{name} has mode {mode:o}");
                found.push(name);
            }
        }
    }
    found.sort();
    let expected = ["log.db", "log.db-text.tail.0", "log.db-wal", "log.db.control"];
    assert!(expected.iter().all(|name| found.iter().any(|of| of == name)), "{found:?}");
    println!("{found:?}");
    daemon.stop();
}
