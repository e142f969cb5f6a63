//! Files that hold secrets: named by their path, or as a credential that systemd hands over.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::reader::syntax::{Syntax, to_path, write_path};

/// Where credentials come from. The unit hands over what is in it, and each under this prefix.
const FOLDER: &str = "/etc/outstation/credentials";
const PREFIX: &str = "credential_";

pub(crate) fn secret_file() -> Syntax<PathBuf> {
    let allowed = format!("the path of a file, or \"credential:NAME\" for NAME in {FOLDER}");
    let read = |text: &str| match text.strip_prefix("credential:") {
        Some(name) => is_name(name).then(|| place(std::env::var_os("CREDENTIALS_DIRECTORY"), name)),
        None => to_path(text),
    };
    Syntax::text(allowed, read, write_path)
}

/// A command that root runs by hand finds the original.
fn place(handed_over: Option<OsString>, name: &str) -> PathBuf {
    match handed_over {
        Some(folder) => PathBuf::from(folder).join(format!("{PREFIX}{name}")),
        None => PathBuf::from(FOLDER).join(name),
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_where_systemd_puts_it_and_otherwise_where_it_comes_from() {
        let run = Some(OsString::from("/run/credentials/outstation.service"));
        let expected = "/run/credentials/outstation.service/credential_token";
        assert_eq!(place(run, "token"), PathBuf::from(expected));
        assert_eq!(place(None, "token"), PathBuf::from("/etc/outstation/credentials/token"));
    }

    #[test]
    fn its_name_leads_nowhere_else() {
        assert!(is_name("client.key"));
        assert!(!["", "..", "a/b", ".hidden", "a b"].into_iter().any(is_name));
    }
}
