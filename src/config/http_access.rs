//! How a sink that speaks HTTP is let in: credentials, certificates, headers of its own.
//!
//! Secrets stand in files that the configuration names, so that no printed configuration holds one.

use std::path::PathBuf;

use hyper::header::{HeaderName, HeaderValue};
use toml::de::DeValue;

use super::credential::secret_file;
use super::kind::{Kind, Refusal, found};
use super::print::Printer;
use super::section::Section;
use super::tls_files::TlsFiles;

/// A gateway wants two or three; all of them go with every request.
const HEADERS_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 1024;

/// Besides those of [`TlsFiles`].
pub(super) const KEYS: &[&str] =
    &["token_file", "username", "password_file", "headers", "headers_file"];

/// What every request of a sink has in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// Holds a bearer token.
    pub token_file: Option<PathBuf>,
    /// For basic authentication.
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// No secrets: they are printed.
    pub headers: Vec<(String, String)>,
    /// Holds lines `Name: value`.
    pub headers_file: Option<PathBuf>,
    pub tls: TlsFiles,
}

impl Access {
    pub(super) fn read(from: &Section<'_>) -> Self {
        from.refuse_half("username", "password_file");
        if from.has("token_file") {
            from.refuse(&["username"], "a sink with token_file", "one of both");
        }
        Self {
            token_file: from.optional("token_file", &secret_file()),
            username: from.optional("username", &username()),
            password_file: from.optional("password_file", &secret_file()),
            headers: from.or("headers", Vec::new(), &headers()),
            headers_file: from.optional("headers_file", &secret_file()),
            tls: TlsFiles::read(from),
        }
    }

    pub(super) fn print(&self, to: &mut Printer) {
        to.file("token_file", self.token_file.as_deref(), "requests carry no token");
        self.tls.print(to);
        to.file("password_file", self.password_file.as_deref(), "requests carry no password");
        to.file("headers_file", self.headers_file.as_deref(), "no secret headers are added");
        match &self.username {
            Some(name) => to.text("username", name),
            None => to.unset("username", "requests carry no password"),
        }
        match self.headers.as_slice() {
            [] => to.unset("headers", "none are added"),
            headers => to.table("headers", headers),
        }
    }

    /// Whether requests say something that others must not hear.
    pub(super) fn has_secrets(&self) -> bool {
        [&self.token_file, &self.password_file, &self.headers_file]
            .iter()
            .any(|file| file.is_some())
    }
}

/// Whether a header is the protocol's own, or describes this connection alone, or what is sent.
pub fn is_ours(name: &HeaderName) -> bool {
    const OURS: [&str; 15] = [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "idempotency-key",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ];
    OURS.contains(&name.as_str())
}

/// Whether the value of such a header is a secret, as far as its name tells.
fn is_secret(name: &HeaderName) -> bool {
    let words = ["auth", "cookie", "key", "passw", "secret", "token"];
    words.iter().any(|word| name.as_str().contains(word))
}

fn headers() -> Kind<Vec<(String, String)>> {
    let read = |value: &DeValue<'_>| {
        let table = value.as_table().filter(|table| table.len() <= HEADERS_MAX);
        let table = table.ok_or(Refusal::NotAllowed)?.iter();
        table.map(|(name, value)| header(name.get_ref(), value.get_ref())).collect()
    };
    let allowed =
        format!("a table of up to {HEADERS_MAX} headers, such as {{ X-Site = \"north\" }}");
    Kind { allowed, read: Box::new(read) }
}

fn header(name: &str, value: &DeValue<'_>) -> Result<(String, String), Refusal> {
    let refused = |because: String| Err(Refusal::Because(because));
    let Ok(known) = HeaderName::from_bytes(name.as_bytes()) else {
        return refused(format!("found {name:?}; allowed: names of HTTP headers"));
    };
    if is_ours(&known) {
        return refused(format!("found {name:?}, which is set for each request; allowed: others"));
    }
    if is_secret(&known) {
        return refused(format!(
            "found {name:?} (its value is not shown: it may be a secret); allowed: names without \
             auth, cookie, key, password, secret or token; the others in the file that \
             headers_file names"
        ));
    }
    let good = |text: &&str| {
        text.len() <= VALUE_BYTES_MAX && text.trim() == *text && HeaderValue::from_str(text).is_ok()
    };
    match value.as_str().filter(good) {
        Some(text) => Ok((name.to_owned(), text.to_owned())),
        None => refused(format!(
            "found {} for {name:?}; allowed: up to {VALUE_BYTES_MAX} characters on one line",
            found(value)
        )),
    }
}

/// Basic authentication divides name and password by a colon.
fn username() -> Kind<String> {
    Kind::text("1 to 128 characters without colon or control characters", |text| {
        let good =
            (1..=128).contains(&text.len()) && !text.contains(|c: char| c == ':' || c.is_control());
        good.then(|| text.to_owned())
    })
}
