//! How a sink that speaks HTTP is let in: credentials, certificates, headers of its own.
//!
//! Secrets stand in files that the configuration names, so that no printed configuration holds one.

use std::path::PathBuf;

use hyper::header::{HeaderName, HeaderValue};
use serde_json::json;
use toml::de::DeValue;

use super::credential::secret_file;
use super::tls_files::TlsFiles;
use super::url::Exposure;
use crate::config::reader::field::{collection, optional};
use crate::config::reader::print::table;
use crate::config::reader::syntax::{Refusal, Syntax, found};
use crate::config::reader::table::settings;

/// A gateway wants two or three; all of them go with every request.
const HEADERS_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 1024;

settings! {
    /// What every request of a sink has in common.
    pub struct Access {
        /// File with a bearer token. A file that is named by its path is read again when it changes, a
        /// credential at a restart.
        pub token_file: Option<PathBuf> = optional("requests carry no token", secret_file())
            .not_with(&["username"])
            .example("\"credential:token\"");

        /// Name for basic authentication.
        pub username: Option<String> = optional("requests carry no password", username())
            .only_with(&["password_file"])
            .example("\"outstation\"");

        /// File with the password that belongs to `username`, in one line.
        pub password_file: Option<PathBuf> = optional("requests carry no password", secret_file())
            .only_with(&["username"])
            .example("\"credential:password\"");

        /// Headers of every request. They are shown by `outstation check`: secret ones belong in `headers_file`.
        pub headers: Vec<(String, String)> =
            collection("none are added", headers()).example("{ X-Site = \"north\" }");

        /// File of headers that hold secrets, a line `Name: value` each.
        pub headers_file: Option<PathBuf> =
            optional("no secret headers are added", secret_file()).example("\"credential:headers\"");

        in pub tls: TlsFiles;
    }
}

impl Access {
    pub(crate) fn exposure(&self) -> Exposure {
        let secrets = [&self.token_file, &self.password_file, &self.headers_file];
        Exposure {
            secret: secrets.iter().any(|file| file.is_some()).then_some("secrets"),
            tls: self.tls.named_by(),
            schemes: ["http", "https"],
        }
    }
}

/// Tells whether a header belongs to the protocol, to the connection or to the body, and so is set here.
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

/// Tells whether the value of a header is probably a secret, by the header's name.
fn is_secret(name: &HeaderName) -> bool {
    let words = ["auth", "cookie", "key", "passw", "secret", "token"];
    words.iter().any(|word| name.as_str().contains(word))
}

fn headers() -> Syntax<Vec<(String, String)>> {
    let read = |value: &DeValue<'_>| {
        let table = value.as_table().filter(|table| table.len() <= HEADERS_MAX);
        let table = table.ok_or(Refusal::NotAllowed)?.iter();
        table.map(|(name, value)| header(name.get_ref(), value.get_ref())).collect()
    };
    let allowed =
        format!("a table of up to {HEADERS_MAX} headers, such as {{ X-Site = \"north\" }}");
    let write =
        |headers: &Vec<(String, String)>| table(headers.iter().map(|(name, value)| (name, value)));
    let schema = json!({
        "type": "object", "maxProperties": HEADERS_MAX,
        "additionalProperties": { "type": "string", "maxLength": VALUE_BYTES_MAX },
    });
    Syntax { allowed, read: Box::new(read), write: Box::new(write), schema }
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
fn username() -> Syntax<String> {
    let read = |text: &str| {
        let good =
            (1..=128).contains(&text.len()) && !text.contains(|c: char| c == ':' || c.is_control());
        good.then(|| text.to_owned())
    };
    let allowed = "1 to 128 characters without colon or control characters";
    Syntax::text(allowed, read, String::clone)
}
