//! The unit as systemd reads it, and as it enforces it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::site::{PROGRAM, Site};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a tool says, or nothing where it is missing and may be.
fn tool(name: &str, args: &[&str]) -> Option<Output> {
    let output = Command::new(name).args(args).output();
    output.map_err(|_| skip(&format!("{name} is missing"))).ok()
}

fn skip(why: &str) {
    let why = format!("{why}; tests/systemd/run says what this test needs");
    let strict = std::env::var_os("OUTSTATION_TEST_STRICT").is_some_and(|value| value == "1");
    assert!(!strict, "{why}");
    drop(writeln!(std::io::stderr().lock(), "SKIPPED: {why}"));
}

#[test]
fn systemd_finds_nothing_to_complain_about_and_little_exposure() {
    let site = Site::new();
    let unit = std::fs::read_to_string(repository("systemd/outstation.service")).expect("shipped");
    // As installed: systemd looks for the program.
    let unit = site.write("outstation.service", &unit.replace("/usr/bin/outstation", PROGRAM));
    let unit = unit.display().to_string();
    let Some(verified) = tool("systemd-analyze", &["verify", "--man=no", &unit]) else { return };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
    let security = ["security", "--offline=true", "--threshold=15", "--no-pager", &unit];
    let exposed = tool("systemd-analyze", &security).expect("it was there");
    assert!(exposed.status.success(), "{}", String::from_utf8_lossy(&exposed.stdout));
}

/// A real systemd as PID 1: ready, reload, watchdog, restart, sandbox, credentials, exit codes.
#[test]
fn the_unit_keeps_its_promises_under_a_real_systemd() {
    for needed in ["systemd-nspawn", "strace", "socat", "jq", "sqlite3"] {
        let Some(_) = tool(needed, &["-V"]) else { return };
    }
    if !rustix::process::geteuid().is_root() {
        return skip("only root can boot a container");
    }
    let rig = repository("tests/systemd/run");
    let output = Command::new(rig).arg(PROGRAM).output().expect("run the rig");
    let (out, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{said}");
}
