//! The credentials of HTTP requests: token, password and headers, read from the files that the
//! configuration names. Certificates are in `tls.rs`.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::config::{Access, is_ours};
use crate::credentials::SetupError;
use crate::credentials::file::{FileKind, NamedFile};

const HEADERS_MAX: usize = 32;

/// The headers that every request of a sink carries, and the secrets that must not be shown.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) headers: HeaderMap,
    secrets: Vec<String>,
}

impl Credentials {
    pub(crate) fn read(access: &Access) -> Result<Self, SetupError> {
        let mut credentials = Self::default();
        for (name, value) in &access.headers {
            // The configuration has checked that both are valid.
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

    /// Replaces each of our secrets in a text, because a server may echo the request.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"))
    }

    fn add_token(&mut self, path: &Path) -> Result<(), SetupError> {
        let file = NamedFile::secret(FileKind::Token, path);
        let token = file.token()?;
        let usable = token.bytes().all(|byte| byte.is_ascii_graphic());
        let value = usable.then(|| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let not_ascii = || file.no_secret("it must be one line of visible ASCII");
        self.authorize(value.flatten().ok_or_else(not_ascii)?, &token);
        Ok(())
    }

    fn add_password(&mut self, name: &str, path: &Path) -> Result<(), SetupError> {
        let file = NamedFile::secret(FileKind::Password, path);
        let password = file.password()?;
        let encoded = STANDARD.encode(format!("{name}:{password}"));
        let value = HeaderValue::from_str(&format!("Basic {encoded}"));
        let too_odd = |_| file.no_secret("it must be one line of text");
        self.authorize(value.map_err(too_odd)?, &password);
        self.secrets.push(encoded);
        Ok(())
    }

    fn authorize(&mut self, mut value: HeaderValue, secret: &str) {
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        self.secrets.push(secret.to_owned());
    }

    fn add_headers(&mut self, path: &Path) -> Result<(), SetupError> {
        let file = NamedFile::secret(FileKind::Headers, path);
        let text = file.text()?;
        let written = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
        let lines = (1..).zip(text.lines()).filter(|(_, line)| written(line));
        for (count, (line, text)) in lines.enumerate() {
            let wrong = |problem| file.at_line(line, problem);
            if count == HEADERS_MAX {
                return Err(wrong("is one header too many; there may be 32"));
            }
            let (name, mut value) = header(text).map_err(wrong)?;
            value.set_sensitive(true);
            let secret = value.to_str().unwrap_or_default().to_owned();
            self.headers.append(name, value);
            // `Bearer s3cret` is secret only after the blank.
            self.secrets.extend(secret.rsplit_once(' ').map(|(_, last)| last.to_owned()));
            self.secrets.push(secret);
        }
        Ok(())
    }
}

/// Parses a line of a headers file. Its content is secret, so the error does not show it.
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    fn with(
        file: &str,
        text: &str,
        access: impl Fn(PathBuf) -> Access,
    ) -> Result<Credentials, SetupError> {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join(file);
        crate::credentials::file::write_secret(&path, text);
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
            assert!(matches!(password(bad), Err(SetupError::Content { .. })), "{bad:?}");
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
}
