//! What the `mqtt` sink needs to be let in, read from the files that the configuration names.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem;

use crate::config::Login;

/// Why the sink cannot be set up. `check` finds it; the daemon takes it as a misconfigured sink.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("`{0}` is no URL of a broker")]
    Url(String),
    #[error("failed to read the password file `{}`", .path.display())]
    Password { path: PathBuf, source: io::Error },
    #[error("the password file `{}` holds no usable password; it must be one line of text", .path.display())]
    PasswordContent { path: PathBuf },
    #[error("failed to read certificates from `{}`", .path.display())]
    Certificates { path: PathBuf, source: pem::Error },
    #[error("`{}` holds no certificate", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("failed to read a private key from `{}`", .path.display())]
    Key { path: PathBuf, source: pem::Error },
    #[error("failed to set up TLS")]
    Tls(#[source] rustls::Error),
}

/// The protocol has room for more; a password has no use for it.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Empty without a file.
pub(super) fn password(login: &Login) -> Result<String, SetupError> {
    match &login.password_file {
        Some(path) => read_password(path),
        None => Ok(String::new()),
    }
}

fn read_password(path: &Path) -> Result<String, SetupError> {
    let failed = |source| SetupError::Password { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let password = text.trim_end_matches(['\r', '\n']);
    let usable =
        (1..=PASSWORD_BYTES_MAX).contains(&password.len()) && !password.contains(char::is_control);
    match usable {
        true => Ok(password.to_owned()),
        false => Err(SetupError::PasswordContent { path: path.to_owned() }),
    }
}
