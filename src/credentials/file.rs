//! Reads one file that the configuration names, and says why it cannot be used.
//!
//! Files are read within bounds, and again for each request or connection, so that they can be replaced
//! while the daemon runs. A secret that every user of the board may read or change is refused.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The largest file in bytes. A chain of certificates takes a few KiB; a larger file is a mistake, or a
/// device.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The longest token or password in bytes. It is about what servers accept in a header, and well within the
/// limits of the other protocols.
const SECRET_BYTES_MAX: usize = 16 << 10;
/// The permission bits for users outside the owner and group. The group may have access, because packages
/// share keys that way.
const EVERYBODY: u32 = 0o006;

/// The expected content of a file that the configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Certificate,
    /// The private key of a certificate.
    Key,
    Token,
    Password,
    Headers,
    /// Credentials for a server in a format of its own.
    Credentials,
    /// The users of the local port, with the hashes of their passwords.
    Users,
}

impl fmt::Display for FileKind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Token => "token",
            Self::Password => "password",
            Self::Headers => "headers",
            Self::Credentials => "credentials",
            Self::Users => "users",
        })
    }
}

/// Why a sink or the local port cannot be set up. `outstation check` reports it; a running daemon keeps
/// recording readings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("`{0}` is no URL")]
    Url(String),
    #[error("failed to read the {what} file `{}`{}", .path.display(), next_step(.path, .source))]
    Read { what: FileKind, path: PathBuf, source: io::Error },
    #[error(
        "the {what} file `{}` is open to everybody on this board (mode {mode:04o}); close it with \
         `chmod o= {}`", .path.display(), .path.display()
    )]
    Exposed { what: FileKind, path: PathBuf, mode: u32 },
    #[error("the {what} file `{}` holds {holds}", .path.display())]
    Content { what: FileKind, path: PathBuf, holds: String },
    #[error("line {line} of the {what} file `{}` {problem}", .path.display())]
    Line { what: FileKind, path: PathBuf, line: usize, problem: &'static str },
    #[error("the key in `{}` does not fit the certificate in `{}`", .key.display(), .certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error(
        "failed to use the certificate in `{}` with the key in `{}`", .certificate.display(),
        .key.display()
    )]
    Identity { certificate: PathBuf, key: PathBuf, source: Box<dyn Error + Send + Sync> },
    #[error("`{0}` is no name that a certificate can be for")]
    Host(String),
    #[error("failed to set up TLS")]
    Tls(#[source] Box<dyn Error + Send + Sync>),
}

/// The next step for a person, if the reason alone does not show it.
fn next_step(path: &Path, reason: &io::Error) -> &'static str {
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY");
    let is_credential = handed_over.is_some_and(|folder| path.starts_with(folder));
    match reason.kind() {
        io::ErrorKind::NotFound if is_credential => {
            "; put it into /etc/outstation/credentials and restart the daemon, which gets its \
             credentials at a start"
        }
        io::ErrorKind::PermissionDenied => {
            "; under systemd put it into /etc/outstation/credentials, name it \"credential:NAME\" \
             and restart the daemon, whose user may not read it here"
        }
        _ => "",
    }
}

/// A file with its path and its expected content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedFile<'a> {
    what: FileKind,
    path: &'a Path,
    is_secret: bool,
}

impl<'a> NamedFile<'a> {
    /// A file that any user may read.
    pub(crate) fn open(what: FileKind, path: &'a Path) -> Self {
        Self { what, path, is_secret: false }
    }

    /// A file that must be closed to users outside its owner and group.
    pub(crate) fn secret(what: FileKind, path: &'a Path) -> Self {
        Self { what, path, is_secret: true }
    }

    /// Reads the whole file, at most 1 MiB. A pipe or device is refused, because reading it could block.
    pub(crate) fn bytes(self) -> Result<Vec<u8>, SetupError> {
        let (mode, bytes) = bounded(self.path).map_err(|source| self.unread(source))?;
        if self.is_secret && mode & EVERYBODY != 0 {
            let (what, path) = (self.what, self.path.to_owned());
            return Err(SetupError::Exposed { what, path, mode: mode & 0o7777 });
        }
        Ok(bytes)
    }

    pub(crate) fn text(self) -> Result<String, SetupError> {
        let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is no text");
        String::from_utf8(self.bytes()?).map_err(|error| self.unread(not_text(error)))
    }

    /// Reads a secret of one line, without blanks around it.
    pub(crate) fn token(self) -> Result<String, SetupError> {
        self.line(str::trim)
    }

    /// Reads a secret of one line. Blanks belong to it, but the end of the line does not.
    pub(crate) fn password(self) -> Result<String, SetupError> {
        self.line(|text| text.trim_end_matches(['\r', '\n']))
    }

    fn line(self, trimmed: impl Fn(&str) -> &str) -> Result<String, SetupError> {
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

    /// The error for a file with the wrong content.
    pub(crate) fn holds(self, holds: impl Into<String>) -> SetupError {
        let Self { what, path, .. } = self;
        SetupError::Content { what, path: path.to_owned(), holds: holds.into() }
    }

    pub(crate) fn at_line(self, line: usize, problem: &'static str) -> SetupError {
        SetupError::Line { what: self.what, path: self.path.to_owned(), line, problem }
    }

    fn unread(self, source: io::Error) -> SetupError {
        SetupError::Read { what: self.what, path: self.path.to_owned(), source }
    }
}

/// Reads a file. Returns its mode and its content.
fn bounded(path: &Path) -> io::Result<(u32, Vec<u8>)> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let (file, mut bytes) = (File::open(path)?, Vec::new());
    let mode = file.metadata()?.mode();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok((mode, bytes))
}

/// Writes a file with mode 0600.
#[cfg(test)]
pub(crate) fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).expect("write a file");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("close a file");
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::error_chain::error_chain;

    fn read<T>(text: &str, as_what: impl Fn(NamedFile<'_>) -> T) -> T {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("password");
        write_secret(&path, text);
        as_what(NamedFile::secret(FileKind::Password, &path))
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
            let error =
                NamedFile::open(FileKind::Token, Path::new(path)).bytes().expect_err("unread");
            let error = error_chain(&error);
            assert!(error.starts_with("failed to read the token file `/"), "{error}");
            assert!(error.contains(said), "{error}");
        }
        assert!(matches!(
            read(&"x".repeat(2 << 20), |file| file.text()),
            Err(SetupError::Read { .. })
        ));
    }

    #[test]
    fn a_file_that_may_not_be_read_says_how_it_may() {
        let reason = io::Error::from(io::ErrorKind::PermissionDenied);
        let error =
            NamedFile::secret(FileKind::Token, Path::new("/etc/token")).unread(reason).to_string();
        assert!(error.contains("name it \"credential:NAME\""), "{error}");
        let reason = io::Error::from(io::ErrorKind::NotFound);
        let error =
            NamedFile::secret(FileKind::Token, Path::new("/etc/token")).unread(reason).to_string();
        assert_eq!(error, "failed to read the token file `/etc/token`");
    }

    #[test]
    fn a_secret_that_everybody_may_read_or_change_is_refused_with_what_to_do() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "battery-staple").expect("write a file");
        let with_mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("set the mode");
            NamedFile::secret(FileKind::Token, &path).token()
        };
        for mode in [0o400, 0o600, 0o640, 0o660, 0o601] {
            assert_eq!(with_mode(mode).expect("closed"), "battery-staple", "{mode:o}");
        }
        for mode in [0o604, 0o644, 0o602, 0o666] {
            let error = with_mode(mode).expect_err("open").to_string();
            let path = path.display();
            let expected = format!(
                "the token file `{path}` is open to everybody on this board (mode {mode:04o}); close \
                 it with `chmod o= {path}`"
            );
            assert_eq!(error, expected);
        }
        assert!(
            NamedFile::open(FileKind::Certificate, &path).text().is_ok(),
            "certificates are public"
        );
    }
}
