//! The unit as systemd reads it, and as it enforces it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::need::{installed, is_root, skip};
use crate::kit::program::PROGRAM;
use crate::kit::site::Site;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Of the container.
const PACKAGES: &str = "what tests/systemd/run says that it needs";

#[test]
fn systemd_finds_nothing_to_complain_about_and_little_exposure() {
    let site = Site::new();
    let unit = std::fs::read_to_string(repository("systemd/outstation.service")).expect("shipped");
    // As installed: systemd looks for the program.
    let unit = site.write("outstation.service", &unit.replace("/usr/bin/outstation", PROGRAM));
    let unit = unit.display().to_string();
    if !installed("systemd-analyze", "systemd") {
        return;
    }
    let analyze =
        |args: &[&str]| Command::new("systemd-analyze").args(args).output().expect("run it");
    let verified = analyze(&["verify", "--man=no", &unit]);
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
    let security = ["security", "--offline=true", "--threshold=15", "--no-pager", &unit];
    let exposed = analyze(&security);
    assert!(exposed.status.success(), "{}", String::from_utf8_lossy(&exposed.stdout));
}

/// A real systemd as PID 1: ready, reload, watchdog, restart, sandbox, credentials, exit codes.
#[test]
fn the_unit_keeps_its_promises_under_a_real_systemd() {
    let needed = ["systemd-nspawn", "strace", "socat", "jq", "sqlite3"];
    if !needed.iter().all(|program| installed(program, PACKAGES)) {
        return;
    }
    if !is_root() {
        return skip("only root can boot a container");
    }
    let rig = repository("tests/systemd/run");
    let output = Command::new(rig).arg(PROGRAM).output().expect("run the rig");
    let (out, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{said}");
}
