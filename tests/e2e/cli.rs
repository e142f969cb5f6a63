//! The command line: what it prints, and the codes it ends with.

use std::process::Output;

use outstation::config::Config;
use rusqlite::Connection;
use serde_json::Value;

use crate::kit::program::outstation;
use crate::kit::readings::json_lines;
use crate::kit::site::{Site, json_port, sink};

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_receiver_takes_no_token_that_everybody_may_read() {
    let site = Site::new();
    let token = site.path("token");
    std::fs::write(&token, "battery-staple\n").expect("write a file");
    let token = token.display().to_string();
    let output = outstation(&["collect", "--listen", "127.0.0.1:0", "--token-file", &token]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("is open to everybody on this board"), "{output:?}");
}

#[test]
fn a_wrong_command_line_ends_with_64_and_help_does_not() {
    for output in [
        outstation(&[]),
        outstation(&["fly"]),
        outstation(&["run", "--speed", "9"]),
        outstation(&["demo", "--seconds", "0"]),
        outstation(&["demo", "--outage", "5..3"]),
        outstation(&["collect", "--listen", "nowhere"]),
    ] {
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output:?}");
    }
    for output in
        [outstation(&["--help"]), outstation(&["help", "run"]), outstation(&["--version"])]
    {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }
    let help = outstation(&["--help"]);
    for word in [
        "run",
        "check",
        "demo",
        "collect",
        "status",
        "log",
        "completions",
        "Exit codes",
        "64",
        "78",
    ] {
        assert!(stdout(&help).contains(word), "{word}");
    }
}

#[test]
fn a_bad_configuration_ends_with_78_and_every_mistake_with_its_key() {
    let path = golden("bad-config.toml");
    let text = std::fs::read_to_string(&path).expect("the golden file");
    // Its words are held to `bad-config.txt` where they are made.
    let expected = Config::parse(&text, &path).expect_err("it is full of mistakes").to_string();
    for output in
        [outstation(&["check", "--config", &path]), outstation(&["run", "--config", &path])]
    {
        assert_eq!(output.status.code(), Some(78));
        assert_eq!(stderr(&output).trim_end(), format!("outstation: {}", expected.trim_end()));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_configuration_that_is_missing_ends_with_78_and_the_next_step() {
    for command in ["check", "run"] {
        let output = outstation(&[command, "--config", "/nowhere/outstation.toml"]);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let said = stderr(&output);
        assert!(said.contains("`/nowhere/outstation.toml`; name the file with --config"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn check_prints_the_configuration_in_effect_and_that_checks_again() {
    let site = Site::new();
    let line = site.plug("text");
    let path = site.configure(&(json_port(&line) + &sink("127.0.0.1:9", ""))).display().to_string();
    let first = outstation(&["check", "--config", &path]);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    for text in [
        "id = \"site\"",
        "commit_interval = \"20ms\"",
        "baud = 115200",
        "[[sink]]",
        "# flash: without the readings themselves ",
        "with a commit each 20ms; 8 GB of flash with 3,000 cycles would last ",
    ] {
        assert!(stdout(&first).contains(text), "{text}\n{}", stdout(&first));
    }
    let effective = site.write("effective.toml", stdout(&first)).display().to_string();
    let second = outstation(&["check", "--config", &effective]);
    assert_eq!(stdout(&second), stdout(&first));
    assert!(!site.log().exists(), "check touches nothing");

    let missing = site.configure(&sink("127.0.0.1:9", "token_file = \"/nowhere/token\""));
    let output = outstation(&["check", "--config", &missing.display().to_string()]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(stderr(&output).contains("/nowhere/token"), "{output:?}");
}

/// A log with readings in it, left in good order.
fn used_log(site: &Site) -> Connection {
    let mut line = site.plug("text");
    let daemon = site.start(&json_port(&line));
    line.send(json_lines(0..10));
    daemon.stored(10);
    daemon.stop();
    Connection::open(site.log()).expect("open the log")
}

fn make_newer(log: &Connection) {
    log.pragma_update(None, "user_version", 99).expect("set the version");
    log.execute("UPDATE meta SET format = 99", []).expect("set the version");
}

fn refused_as_newer(site: &Site) {
    let mut daemon = site.spawn("");
    assert_eq!(daemon.end().code(), Some(1), "{}", daemon.said());
    let said = daemon.said();
    assert!(said.contains("has format version 99"), "{said}");
    assert!(said.contains("knows versions up to 1;"), "{said}");
}

#[test]
fn a_log_of_a_newer_version_is_refused_and_not_touched() {
    let site = Site::new();
    let log = used_log(&site);
    make_newer(&log);
    drop(log);
    let before = std::fs::read(site.log()).expect("read the log");
    refused_as_newer(&site);
    assert!(std::fs::read(site.log()).expect("read the log") == before, "the log was touched");
}

#[test]
fn a_log_whose_newer_version_stands_in_its_journal_is_refused_and_not_touched() {
    let site = Site::new();
    let log = used_log(&site);
    make_newer(&log);
    // As a power cut leaves it: the journal beside the file and not yet in it.
    let crashed = Site::new();
    let files = ["log.db", "log.db-wal"];
    for name in files {
        std::fs::copy(site.path(name), crashed.path(name)).expect("copy");
    }
    let read = || files.map(|name| std::fs::read(crashed.path(name)).ok());
    let before = read();
    refused_as_newer(&crashed);
    assert!(read() == before, "the log was touched");
}

#[test]
fn status_prints_the_page_of_a_running_daemon_and_says_when_there_is_none() {
    let site = Site::new();
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &sink("127.0.0.1:9", "")));
    line.send(json_lines(0..10));
    daemon.stored(10);
    let url = format!("http://{}", daemon.address);
    let output = outstation(&["status", "--url", &url]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for text in
        ["site  outstation", "port text", "10 readings", "sink cloud", "pending 10", "balanced"]
    {
        assert!(stdout(&output).contains(text), "{text}\n{}", stdout(&output));
    }
    let output = outstation(&["status", "--json", "--url", &url]);
    let status: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!(status["ledger"]["stored"], 10);
    daemon.stop();
    let output = outstation(&["status", "--url", &url]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("is the daemon running"), "{output:?}");
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = outstation(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("outage"), "{shell} knows the flags");
    }
}

/// The last line of stdout.
fn outcome(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let line = stdout(output).lines().last().expect("a last line");
    serde_json::from_str(line).expect("the last line is JSON")
}

fn assert_complete(outcome: &Value) {
    let produced = &outcome["produced"];
    assert!(produced.as_u64() > Some(100), "{outcome}");
    for same in ["accepted", "stored", "delivered"] {
        assert_eq!(&outcome[same], produced, "{same}: {outcome}");
    }
    assert_eq!((&outcome["pending"], &outcome["quarantined"]), (&0.into(), &0.into()));
    let lost = serde_json::json!({"overflow": 0, "evicted": 0, "damaged": 0, "refused": 0});
    assert_eq!((&outcome["lost"], &outcome["faults"]), (&lost, &serde_json::json!({})));
    assert_eq!(
        (&outcome["collector"]["unique"], &outcome["collector"]["missing"]),
        (produced, &0.into())
    );
    assert!(outcome["collector"]["repeats"].is_u64(), "{outcome}");
    assert_eq!(outcome["balanced"], true);
}

#[test]
fn the_demo_balances_after_its_outage() {
    let output = outstation(&["demo", "--seconds", "3", "--json"]);
    assert_complete(&outcome(&output));
    assert!(stderr(&output).contains("local port: http://127.0.0.1:"), "{output:?}");
}

#[test]
fn the_demo_balances_without_an_outage_and_keeps_its_files_when_asked() {
    let site = Site::new();
    let kept = site.path("kept");
    let kept_path = kept.display().to_string();
    let args = ["demo", "--seconds", "1", "--sensors", "2", "--rate", "500", "--outage", "none"];
    let output = outstation(&[&args[..], &["--json", "--keep", &kept_path]].concat());
    assert_complete(&outcome(&output));
    assert!(kept.join("log.db").exists() && kept.join("collector.db").exists());
}

#[test]
fn the_examples_that_ship_are_well_formed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples");
    let files = std::fs::read_dir(folder).expect("they ship");
    let paths: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    assert!(!paths.is_empty());
    for path in paths {
        let output = outstation(&["check", "--config", &path.display().to_string()]);
        let said = String::from_utf8_lossy(&output.stderr);
        // Their secrets are not here.
        let well_formed = said.contains("the configuration is well formed, but:");
        assert!(output.status.success() || well_formed, "{}: {said}", path.display());
    }
}
