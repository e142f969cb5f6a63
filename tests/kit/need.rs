//! What a machine may lack: a test that needs it is skipped aloud, and fails where nothing may be
//! skipped, as in CI (`OUTSTATION_TEST_STRICT=1`).

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Says that a test is skipped, and why.
pub(crate) fn skip(why: &str) {
    let strict = std::env::var_os("OUTSTATION_TEST_STRICT").is_some_and(|value| value == "1");
    assert!(!strict, "{why}");
    drop(writeln!(std::io::stderr().lock(), "SKIPPED: {why}"));
}

/// The same in the place of what is not to be had.
pub(crate) fn skipped<T>(why: &str) -> Option<T> {
    skip(why);
    None
}

/// Whether a program is installed; skips the test if not. `package` is the one of Debian that has it.
pub(crate) fn installed(program: &str, package: &str) -> bool {
    let find = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status();
    let found = find.is_ok_and(|status| status.success());
    if !found {
        skip(&format!("`{program}` is missing; install {package}"));
    }
    found
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
