//! What lets a request in, read from the files that the configuration names: token, password,
//! headers. Certificates are `http_tls`'s business.
//!
//! The files are read for each request, so that a secret can be replaced while the daemon runs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::config::{Access, is_ours};

/// A chain of certificates takes a few KiB. More is another file, or a device.
const FILE_BYTES_MAX: u64 = 1 << 20;
const HEADERS_MAX: usize = 32;

/// Why a sink cannot be set up. `check` finds it; the daemon takes it as a misconfigured sink.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("`{0}` is no URL")]
    Url(String),
    #[error("failed to read the token file `{}`", .path.display())]
    Token { path: PathBuf, source: io::Error },
    #[error("the token file `{}` holds no usable token; it must be one line of visible ASCII", .path.display())]
    TokenContent { path: PathBuf },
    #[error("failed to read the password file `{}`", .path.display())]
    Password { path: PathBuf, source: io::Error },
    #[error("the password file `{}` holds no usable password; it must be one line", .path.display())]
    PasswordContent { path: PathBuf },
    #[error("failed to read the headers file `{}`", .path.display())]
    Headers { path: PathBuf, source: io::Error },
    #[error("line {line} of the headers file `{}` {problem}", .path.display())]
    HeadersContent { path: PathBuf, line: usize, problem: &'static str },
    #[error("failed to read `{}`", .path.display())]
    Certificates { path: PathBuf, source: io::Error },
    #[error("failed to read certificates from `{}`; they must be in PEM", .path.display())]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("`{}` holds no certificate", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("`{}` holds no private key in PEM (one with a passphrase cannot be used)", .path.display())]
    NoKey { path: PathBuf },
    #[error("the key in `{}` does not fit the certificate in `{}`", .key.display(), .certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("failed to set up TLS")]
    Tls(#[source] rustls::Error),
}

/// What every request of a sink brings along, and what of it must not be said.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    pub(super) headers: HeaderMap,
    secrets: Vec<String>,
}

impl Credentials {
    pub(super) fn read(access: &Access) -> Result<Self, SetupError> {
        let mut credentials = Self::default();
        for (name, value) in &access.headers {
            // The configuration has seen to it that both are sound.
            let name = HeaderName::from_bytes(name.as_bytes()).ok();
            if let Some((name, value)) = name.zip(HeaderValue::from_str(value).ok()) {
                credentials.headers.append(name, value);
            }
        }
        if let Some(path) = &access.headers_file {
            credentials.add_headers(path)?;
        }
        if let Some(path) = &access.token_file {
            credentials.add_token(path)?;
        }
        if let Some((name, path)) = access.username.as_ref().zip(access.password_file.as_ref()) {
            credentials.add_password(name, path)?;
        }
        Ok(credentials)
    }

    /// The text without our secrets: a server may echo what it was sent.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"))
    }

    fn add_token(&mut self, path: &Path) -> Result<(), SetupError> {
        let failed = |source| SetupError::Token { path: path.to_owned(), source };
        let text = read_text(path).map_err(failed)?;
        let token = text.trim();
        let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let value = usable.then(|| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let value = value.flatten();
        let value = value.ok_or_else(|| SetupError::TokenContent { path: path.to_owned() })?;
        self.authorize(value, token);
        Ok(())
    }

    fn add_password(&mut self, name: &str, path: &Path) -> Result<(), SetupError> {
        let failed = |source| SetupError::Password { path: path.to_owned(), source };
        let text = read_text(path).map_err(failed)?;
        // Blanks may belong to it; the end of the line does not.
        let password = text.trim_end_matches(['\r', '\n']);
        let usable = !password.is_empty() && !password.contains(char::is_control);
        let encoded = usable.then(|| STANDARD.encode(format!("{name}:{password}")));
        let value =
            encoded.as_ref().and_then(|text| HeaderValue::from_str(&format!("Basic {text}")).ok());
        let (Some(encoded), Some(value)) = (encoded, value) else {
            return Err(SetupError::PasswordContent { path: path.to_owned() });
        };
        self.authorize(value, password);
        self.secrets.push(encoded);
        Ok(())
    }

    fn authorize(&mut self, mut value: HeaderValue, secret: &str) {
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        self.secrets.push(secret.to_owned());
    }

    fn add_headers(&mut self, path: &Path) -> Result<(), SetupError> {
        let failed = |source| SetupError::Headers { path: path.to_owned(), source };
        let text = read_text(path).map_err(failed)?;
        let written = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
        let lines = (1..).zip(text.lines()).filter(|(_, line)| written(line));
        for (count, (line, text)) in lines.enumerate() {
            let wrong = |problem| {
                let path = path.to_owned();
                SetupError::HeadersContent { path, line, problem }
            };
            if count == HEADERS_MAX {
                return Err(wrong("is one header too many; there may be 32"));
            }
            let (name, mut value) = header(text).map_err(wrong)?;
            value.set_sensitive(true);
            let secret = value.to_str().unwrap_or_default().to_owned();
            self.headers.append(name, value);
            // `Bearer s3cret` is no secret before the blank.
            self.secrets.extend(secret.rsplit_once(' ').map(|(_, last)| last.to_owned()));
            self.secrets.push(secret);
        }
        Ok(())
    }
}

/// A line of a headers file. What it says is a secret, so the error does not show it.
fn header(line: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    let (name, value) = line.split_once(':').ok_or("is not like `Name: value`")?;
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "has no name of a header")?;
    let value = Some(value.trim()).filter(|value| !value.is_empty());
    let value = value.and_then(|value| HeaderValue::from_str(value).ok());
    if is_ours(&name) {
        return Err("names a header that is set for each request");
    }
    Ok((name, value.ok_or("has no value that fits a header")?))
}

pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is no text");
    String::from_utf8(read(path)?).map_err(not_text)
}

/// All of a file, within a bound; a pipe or a device would be waited for.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
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

    fn with(
        file: &str,
        text: &str,
        access: impl Fn(PathBuf) -> Access,
    ) -> Result<Credentials, SetupError> {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join(file);
        std::fs::write(&path, text).expect("write a file");
        Credentials::read(&access(path))
    }

    fn headers(text: &str) -> Result<Credentials, SetupError> {
        with("headers", text, |path| Access { headers_file: Some(path), ..Access::default() })
    }

    fn password(text: &str) -> Result<Credentials, SetupError> {
        with("password", text, |path| Access {
            username: Some("Aladdin".into()),
            password_file: Some(path),
            ..Access::default()
        })
    }

    #[test]
    fn a_password_is_sent_as_rfc_7617_says_and_scrubbed_in_both_forms() {
        let credentials = password("open sesame\n").expect("sound");
        let value = credentials.headers.get(AUTHORIZATION).expect("a header");
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(value.is_sensitive());
        let echo = "no Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==, no open sesame";
        assert_eq!(credentials.scrub(echo), "no Basic [secret], no [secret]");
        for bad in ["", "\n", "two\nlines"] {
            assert!(matches!(password(bad), Err(SetupError::PasswordContent { .. })), "{bad:?}");
        }
    }

    #[test]
    fn the_headers_of_a_file_are_sent_and_scrubbed_and_comments_are_not() {
        let text =
            "# for the gateway\nX-Api-Key: k3y\n\nAuthorization: Token t0ken\nX-Api-Key: two\n";
        let credentials = headers(text).expect("sound");
        assert!(credentials.headers.get_all("x-api-key").iter().eq(["k3y", "two"]));
        assert_eq!(credentials.headers[AUTHORIZATION], "Token t0ken");
        assert!(credentials.headers.values().all(HeaderValue::is_sensitive));
        assert_eq!(credentials.scrub("k3y t0ken two"), "[secret] [secret] [secret]");
    }

    #[test]
    fn a_headers_file_that_is_wrong_says_where_and_not_what() {
        for (text, said) in [
            ("s3cret", "line 1 of the headers file"),
            ("A: b\nHost: s3cret", "names a header that is set for each request"),
            ("a b: s3cret", "has no name of a header"),
            ("A:", "has no value"),
            (&"A: s3cret\n".repeat(33), "line 33"),
        ] {
            let error = headers(text).expect_err("wrong").to_string();
            assert!(error.contains(said) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_file_without_end_is_not_read() {
        let endless = Access { token_file: Some("/dev/zero".into()), ..Access::default() };
        assert!(matches!(Credentials::read(&endless), Err(SetupError::Token { .. })));
        let large = "x".repeat(2 << 20);
        assert!(matches!(headers(&large), Err(SetupError::Headers { .. })));
    }
}
