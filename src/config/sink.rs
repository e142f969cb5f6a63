//! `[[sink]]`: one destination. How it is reached is in its kind; pace and patience are common to all.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::kind::{
    Kind, Names, Refusal, boolean, bytes, choice, duration, found, integer, name, path,
};
use super::print::Printer;
use super::section::Section;

#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    pub name: String,
    pub kind: SinkKind,
    /// Whether it is told what happens to the device, besides its readings.
    pub events: bool,
    /// For one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    pub batch_readings: u64,
    /// Of one request: packed bytes, or about 128 per reading as JSON. One commit is not divided.
    pub batch_bytes: usize,
    /// Within one offer of a batch; after them the breaker and the next offer take over.
    pub retries: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    Http(HttpSink),
}

#[derive(Clone, Debug, PartialEq)]
pub struct HttpSink {
    /// Absolute, `http` or `https`, without user, password or fragment.
    pub url: Uri,
    pub encoding: Encoding,
    /// Holds a bearer token.
    pub token_file: Option<PathBuf>,
    /// `None`: the built-in Mozilla roots.
    pub ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// The stored segments as they are.
    #[default]
    Packed,
    /// One object per reading or event and line.
    Json,
}

const KINDS: Names<fn(&Section<'_>) -> Option<SinkKind>> = &[("http", read_http)];
const ENCODINGS: Names<Encoding> = &[("packed", Encoding::Packed), ("json", Encoding::Json)];

const TIMEOUT: Duration = Duration::from_secs(30);
const BATCH_READINGS: u64 = 65_536;
const BATCH_BYTES: usize = 256 << 10;
const RETRIES: u32 = 2;

impl Sink {
    /// A packed sink with every other setting at its default.
    pub fn http(name: &str, url: Uri) -> Self {
        let http = HttpSink { url, encoding: Encoding::default(), token_file: None, ca_file: None };
        Self {
            name: name.to_owned(),
            kind: SinkKind::Http(http),
            events: true,
            timeout: TIMEOUT,
            batch_readings: BATCH_READINGS,
            batch_bytes: BATCH_BYTES,
            retries: RETRIES,
        }
    }

    pub(super) fn read(from: &Section<'_>) -> Option<Self> {
        let timeout = duration(Duration::from_millis(100)..=Duration::from_secs(600));
        let name = from.required("name", &name(32));
        let kind = from.required("kind", &choice(KINDS)).and_then(|read| read(from));
        let events = from.or("events", true, &boolean());
        let timeout = from.or("timeout", TIMEOUT, &timeout);
        let batch_readings = from.or("batch_readings", BATCH_READINGS, &integer(1..=65_536));
        let batch_bytes = from.or("batch_bytes", BATCH_BYTES, &bytes(1024..=16 << 20));
        let retries = from.or("retries", RETRIES, &integer(0..=10));
        Some(Self {
            name: name?,
            kind: kind?,
            events,
            timeout,
            batch_readings,
            batch_bytes,
            retries,
        })
    }

    pub(super) fn print(&self, to: &mut Printer) {
        to.section("[[sink]]");
        to.text("name", &self.name);
        match &self.kind {
            SinkKind::Http(http) => http.print(to),
        }
        to.bare("events", self.events);
        to.duration("timeout", self.timeout);
        to.bare("batch_readings", self.batch_readings);
        to.bare("batch_bytes", self.batch_bytes);
        to.bare("retries", self.retries);
    }
}

fn read_http(from: &Section<'_>) -> Option<SinkKind> {
    let url = from.required("url", &url());
    let encoding = from.or("encoding", Encoding::default(), &choice(ENCODINGS));
    let token_file = from.optional("token_file", &path());
    let ca_file = from.optional("ca_file", &path());
    Some(SinkKind::Http(HttpSink { url: url?, encoding, token_file, ca_file }))
}

impl HttpSink {
    fn print(&self, to: &mut Printer) {
        to.text("kind", "http");
        to.text("url", &self.url);
        to.name("encoding", &self.encoding, ENCODINGS);
        match &self.token_file {
            Some(path) => to.path("token_file", path),
            None => to.unset("token_file", "requests carry no token"),
        }
        match &self.ca_file {
            Some(path) => to.path("ca_file", path),
            None => to.unset("ca_file", "the built-in Mozilla roots are trusted"),
        }
    }
}

const URL_ALLOWED: &str =
    "an absolute http or https URL, such as \"https://telemetry.example.com/v1/readings\"";

/// A URL is printed in messages, logs and `/status`, so it must not hold a secret; one that might is
/// refused without being shown.
fn url() -> Kind<Uri> {
    let read = |value: &toml::de::DeValue<'_>| {
        let text = value.as_str().ok_or(Refusal::NotAllowed)?;
        match to_url(text) {
            _ if authority(text).contains('@') => Err(Refusal::Because(
                "found a user name or password (not shown); allowed: a URL without, and a token in \
                 the file that token_file names"
                    .to_owned(),
            )),
            Some(url) => Ok(url),
            None if text.contains('@') => Err(Refusal::Because(format!(
                "found no URL (not shown: it may hold a password); allowed: {URL_ALLOWED}"
            ))),
            None => Err(Refusal::Because(format!("found {}; allowed: {URL_ALLOWED}", found(value)))),
        }
    };
    Kind { allowed: URL_ALLOWED.to_owned(), read: Box::new(read) }
}

/// What stands between the scheme and the path, also where the URL is malformed.
fn authority(text: &str) -> &str {
    let rest = text.split_once(':').map_or(text, |(_, rest)| rest).trim_start_matches('/');
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

fn to_url(text: &str) -> Option<Uri> {
    // `Uri` would drop a fragment without a word.
    let url: Uri = Some(text).filter(|text| !text.contains('#'))?.parse().ok()?;
    let scheme = matches!(url.scheme_str(), Some("http" | "https"));
    let host = url.host().filter(|host| !host.is_empty())?;
    let has_port = url.authority()?.as_str().len() > host.len();
    let port = !has_port || url.port_u16().is_some_and(|port| port > 0);
    (scheme && port).then_some(url)
}
