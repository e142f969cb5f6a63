//! What keeps a sink from being set up, and the files that the configuration names for it: secrets and
//! certificates.
//!
//! Files are read within bounds, anew for each request or connection, so that they can be replaced
//! while the daemon runs. An error says which file, and never what it holds.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Refusal;
use crate::domain::breaker::Cause;
use crate::telemetry::error_chain;

/// A chain of certificates takes a few KiB. More is another file, or a device.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The longest token or password: about what servers take in a header, and well within what the other
/// protocols have room for.
const SECRET_BYTES_MAX: usize = 16 << 10;

/// Why a sink cannot be set up. `check` finds it; the daemon takes it as a misconfigured sink.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("`{0}` is no URL")]
    Url(String),
    #[error("failed to read the {what} file `{}`", .path.display())]
    Read { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the {what} file `{}` holds {holds}", .path.display())]
    Content { what: &'static str, path: PathBuf, holds: String },
    #[error("line {line} of the {what} file `{}` {problem}", .path.display())]
    Line { what: &'static str, path: PathBuf, line: usize, problem: &'static str },
    #[error("the key in `{}` does not fit the certificate in `{}`", .key.display(), .certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("`{0}` is no name that a certificate can be for")]
    Host(String),
    #[error("failed to set up TLS")]
    Tls(#[source] Box<dyn Error + Send + Sync>),
}

impl From<SetupError> for Refusal {
    fn from(error: SetupError) -> Self {
        Self::retry(Cause::Misconfigured, error_chain(&error))
    }
}

/// A file by its path, and what it is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedFile<'a> {
    what: &'static str,
    path: &'a Path,
}

impl<'a> NamedFile<'a> {
    pub(crate) fn new(what: &'static str, path: &'a Path) -> Self {
        Self { what, path }
    }

    /// All of it; a pipe or a device would be waited for.
    pub(crate) fn bytes(self) -> Result<Vec<u8>, SetupError> {
        bounded(self.path).map_err(|source| self.unread(source))
    }

    pub(crate) fn text(self) -> Result<String, SetupError> {
        let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is no text");
        String::from_utf8(self.bytes()?).map_err(|error| self.unread(not_text(error)))
    }

    /// A secret without blanks around it.
    pub(crate) fn token(self) -> Result<String, SetupError> {
        self.secret(str::trim)
    }

    /// A secret to which blanks may belong; the end of the line does not.
    pub(crate) fn password(self) -> Result<String, SetupError> {
        self.secret(|text| text.trim_end_matches(['\r', '\n']))
    }

    fn secret(self, trimmed: impl Fn(&str) -> &str) -> Result<String, SetupError> {
        let text = self.text()?;
        let secret = trimmed(&text);
        let fits = (1..=SECRET_BYTES_MAX).contains(&secret.len());
        match fits && !secret.contains(char::is_control) {
            true => Ok(secret.to_owned()),
            false => Err(self.no_secret("it must be one line of text")),
        }
    }

    pub(crate) fn no_secret(self, form: &str) -> SetupError {
        self.holds(format!("no usable {}; {form}", self.what))
    }

    /// It holds something else than it should.
    pub(crate) fn holds(self, holds: impl Into<String>) -> SetupError {
        let Self { what, path } = self;
        SetupError::Content { what, path: path.to_owned(), holds: holds.into() }
    }

    pub(crate) fn at_line(self, line: usize, problem: &'static str) -> SetupError {
        SetupError::Line { what: self.what, path: self.path.to_owned(), line, problem }
    }

    fn unread(self, source: io::Error) -> SetupError {
        SetupError::Read { what: self.what, path: self.path.to_owned(), source }
    }
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn read<T>(text: &str, as_what: impl Fn(NamedFile<'_>) -> T) -> T {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("password");
        std::fs::write(&path, text).expect("write a file");
        as_what(NamedFile::new("password", &path))
    }

    #[test]
    fn a_secret_is_one_line_and_a_password_keeps_its_blanks() {
        let text = " open sesame \r\n";
        assert_eq!(read(text, |file| file.password()).expect("sound"), " open sesame ");
        assert_eq!(read(text, |file| file.token()).expect("sound"), "open sesame");
        let long = "x".repeat(SECRET_BYTES_MAX + 1);
        assert_eq!(read(&long[1..], |file| file.token()).expect("sound"), long[1..]);
        for bad in ["", "\n", "two\nlines", "a\tb", &long] {
            for error in [read(bad, |file| file.password()), read(bad, |file| file.token())] {
                let error = error.expect_err("no secret").to_string();
                assert!(error.ends_with("holds no usable password; it must be one line of text"));
            }
        }
    }

    #[test]
    fn a_file_without_end_is_not_read() {
        for (path, said) in [("/dev/zero", "no regular file"), ("/nowhere", "No such file")] {
            let error = NamedFile::new("token", Path::new(path)).bytes().expect_err("unread");
            let error = error_chain(&error);
            assert!(error.starts_with("failed to read the token file `/"), "{error}");
            assert!(error.contains(said), "{error}");
        }
        assert!(matches!(
            read(&"x".repeat(2 << 20), |file| file.text()),
            Err(SetupError::Read { .. })
        ));
    }
}
