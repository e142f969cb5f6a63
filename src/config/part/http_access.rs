//! How a sink that speaks HTTP is let in: credentials, certificates, headers of its own.
//!
//! Secrets stand in files that the configuration names, so that no printed configuration holds one.

use std::path::PathBuf;

use hyper::header::{HeaderName, HeaderValue};
use toml::de::DeValue;

use super::credential::secret_file;
use super::tls_files::TlsFiles;
use super::url::Exposure;
use crate::config::reader::keys::{Key, key};
use crate::config::reader::kind::{Kind, Refusal, found};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;

/// A gateway wants two or three; all of them go with every request.
const HEADERS_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 1024;

/// Besides those of [`TlsFiles`].
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("sink.token_file", "no token is sent", "file with a bearer token"),
    key("sink.username", "no password is sent", "name for basic authentication"),
    key("sink.password_file", "no password is sent", "file with the password that belongs to username"),
    key("sink.headers", "none are added", "headers of every request, without secrets"),
    key("sink.headers_file", "none are added", "file of headers that hold secrets, a line `Name: value` each"),
];

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
    pub(crate) fn read(from: &Section<'_>) -> Self {
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

    pub(crate) fn print(&self, to: &mut Printer) {
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

    pub(crate) fn exposure(&self) -> Exposure {
        let secrets = [&self.token_file, &self.password_file, &self.headers_file];
        Exposure {
            secret: secrets.iter().any(|file| file.is_some()).then_some("secrets"),
            tls: self.tls.named_by(),
            schemes: ["http", "https"],
        }
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
