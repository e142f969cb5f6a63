//! Who may know whom, and where the methods of a type stand.

use std::collections::{BTreeMap, BTreeSet};

use crate::circles::graph;
use crate::graph::Layers;
use crate::{assert_none, code, offenders, sources, text};

#[test]
fn modules_use_what_the_table_of_layers_allows() {
    let map = text("docs/develop/code-map.md");
    let (_, section) = map.split_once("\n## Module layers\n").expect("its section");
    assert_none(
        &Layers::read(section).departures(graph()),
        "docs/develop/code-map.md, Module layers, says what each module may use",
    );
}

#[test]
fn the_codec_the_domain_and_the_protocols_are_pure() {
    let words = [
        "tokio",
        "tracing",
        "std::fs",
        "std::net",
        "std::io",
        "std::thread",
        "SystemTime",
        "Instant",
        "async ",
        ".await",
        "rusqlite",
        "hyper",
    ];
    for folder in ["codec/src", "src/domain", "src/protocols"] {
        assert_none(
            &offenders(folder, &words, &[]),
            "codec, domain and protocols compute; they neither wait, log nor touch anything",
        );
    }
}

#[test]
fn each_device_is_known_in_one_place() {
    let rules: [(&[&str], &[&str], &str); 8] = [
        (
            &["rusqlite"],
            &[
                "src/event_log/store/database.rs",
                "src/event_log/store/queries.rs",
                "src/event_log/store/copies.rs",
                "src/event_log/inspect.rs",
                "src/event_log/store/schema.rs",
                "src/event_log/store/journal.rs",
                "src/event_log/store/meter.rs",
                "src/event_log/recovery/carve/tests.rs",
                "src/event_log/tests/",
                "src/event_log/store/error.rs",
                "src/event_log/tests.rs",
                "src/collect/",
            ],
            "SQL belongs to `event_log/`'s storage files, and the receiver has a database of its own",
        ),
        (
            &["tokio_serial"],
            &["src/ingest/serial.rs"],
            "the serial crate belongs to `ingest/serial.rs`",
        ),
        (
            &["client::legacy"],
            &["src/transport/http_client.rs", "src/transport/http_wire.rs"],
            "the HTTP client belongs to `transport/http_client.rs`, its connections to `http_wire.rs`",
        ),
        (
            &["rustls::"],
            &[
                "src/credentials/tls.rs",
                "src/transport/tls",
                "src/transport/http_client.rs",
                "src/collect/tests",
            ],
            "TLS belongs to `credentials/tls.rs`, its failures to `transport/tls.rs`; the HTTP client puts it between its layers",
        ),
        (
            &["rumqttc"],
            &["src/sinks/mqtt/packet.rs"],
            "MQTT's packets belong to `sinks/mqtt/packet.rs`",
        ),
        (
            &["sd_notify"],
            &["src/supervisor/notify.rs"],
            "systemd belongs to `supervisor/notify.rs`",
        ),
        (
            &["tracing_journald"],
            &["src/telemetry/records/journal.rs"],
            "journald belongs to `telemetry/records/journal.rs`",
        ),
        (&["tracing_subscriber"], &["src/telemetry/"], "where logs go belongs to `telemetry`"),
    ];
    for (words, allowed, rule) in rules {
        assert_none(&offenders("src", words, allowed), rule);
    }
}

#[test]
fn the_local_network_is_known_in_one_place() {
    let rule = "multicast DNS belongs to `discovery/mdns/multicast.rs`";
    let allowed = ["src/discovery/mdns/multicast.rs"];
    assert_none(&offenders("src", &["mdns_sd", "if_addrs"], &allowed), rule);
}

#[test]
fn time_is_read_by_the_clock_alone() {
    let words = ["SystemTime::now", "std::time::Instant", "clock_gettime", "random/boot_id"];
    assert_none(&offenders("src", &words, &["src/clock.rs"]), "only `clock.rs` reads clocks");
}

#[test]
fn no_kind_of_sink_and_no_protocol_knows_another() {
    let rule =
        "what kinds of sinks share is in `transport` and `encoding`; protocols share nothing";
    for room in ["sinks", "protocols"] {
        let home = format!("src/{room}/");
        let folder_of =
            |path: String| Some(path.strip_prefix(&home)?.split_once('/')?.0.to_owned());
        let kinds: BTreeSet<String> =
            sources(&home).into_iter().filter_map(|(path, _)| folder_of(path)).collect();
        assert!(kinds.len() > 1, "{kinds:?}");
        for kind in &kinds {
            let others = kinds.iter().filter(|other| *other != kind);
            let others: Vec<String> = others.map(|other| format!("{room}::{other}")).collect();
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            assert_none(&offenders(&format!("{home}{kind}"), &others, &[]), rule);
        }
    }
}

#[test]
fn handlers_never_wait_for_an_actor() {
    let words = ["Appender", "Reader", "LogHandle", "mpsc::", "oneshot::"];
    assert_none(
        &offenders("src/http", &words, &[]),
        "a scrape reads watched status, never a mailbox",
    );
}

#[test]
fn no_queue_is_unbounded_and_the_process_ends_in_main() {
    let words = ["unbounded_channel", "process::exit", "process::abort"];
    assert_none(
        &offenders("src", &words, &[]),
        "queues have a bound, and `main` alone ends the process",
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = ["src", "wire/src", "codec/src", "tests"].into_iter().flat_map(sources);
    let silent: Vec<String> =
        files.filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    assert_none(&silent, "a file opens with what it is for");
}

#[test]
fn folders_are_three_deep() {
    let files = sources("src").into_iter().map(|(path, _)| path);
    let deep: Vec<String> =
        files.filter(|path| path.matches('/').count() > 3 && !is_test(path)).collect();
    assert_none(&deep, "a reader finds any behaviour in two hops");
}

#[test]
fn a_type_has_its_methods_in_two_files_at_most() {
    let mut homes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources("src").into_iter().chain(sources("codec/src")) {
        if is_test(&path) {
            continue;
        }
        // Types of different rooms may share a name.
        let room = path.split('/').take(3).collect::<Vec<_>>()[..2].join("/");
        for name in code(&text).filter_map(inherent_impl) {
            homes.entry(format!("{room}: {name}")).or_default().insert(path.clone());
        }
    }
    let spread: Vec<String> = homes
        .into_iter()
        .filter(|(_, files)| files.len() > 2)
        .map(|(name, files)| format!("{name} in {files:?}"))
        .collect();
    assert_none(&spread, "a type that owns its state has its methods where the state is");
}

/// The type of a line that begins an `impl` block without a trait.
fn inherent_impl(line: &str) -> Option<&str> {
    let block = line.strip_prefix("impl")?.strip_suffix(" {")?;
    if block.contains(" for ") {
        return None;
    }
    let named = match block.strip_prefix('<') {
        Some(generic) => generic.split_once("> ")?.1,
        None => block.trim_start(),
    };
    named.split('<').next()
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}
