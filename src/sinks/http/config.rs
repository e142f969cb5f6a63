//! `kind = "http"`.

use hyper::Uri;

use crate::config::part::http_access::{self, Access};
use crate::config::part::tls_files;
use crate::config::part::url::{Addresses, Scheme};
use crate::config::reader::keys::{Key, Keys, key};
use crate::config::reader::kind::{Kind, Names, choice};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;
use crate::domain::model::template::Template;
use crate::encoding::influx::{Integers, Precision};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpConfig {
    pub(super) encoding: Encoding,
    pub(super) compression: Compression,
    /// What the line protocol calls the readings of a sensor.
    pub(super) measurement: Template,
    pub(super) integers: Integers,
    pub(super) access: Access,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// The stored segments as they are.
    #[default]
    Packed,
    /// One object per reading or event and line.
    Json,
    /// InfluxDB's line protocol.
    Influx,
}

/// Of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

pub(super) const KEYS: Keys = &[OWN_KEYS, http_access::KEYS, tls_files::KEYS];

#[rustfmt::skip]
const OWN_KEYS: &[Key] = &[
    key("sink.encoding", "\"packed\"", "stored segments as they are, one JSON object per reading, or line protocol"),
    key("sink.compression", "what the encoding's servers take", "compression of request bodies"),
    key("sink.measurement", "\"{sensor}\"", "measurement of the readings, with encoding = \"influx\""),
    key("sink.integers", "\"integer\"", "type of whole numbers, with encoding = \"influx\""),
];

const ENCODINGS: Names<Encoding> =
    &[("packed", Encoding::Packed), ("json", Encoding::Json), ("influx", Encoding::Influx)];
const COMPRESSIONS: Names<Compression> =
    &[("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
/// Its segments are compressed as such; plain, a batch would only be larger.
const COMPRESSIONS_PACKED: Names<Compression> = &[("zstd", Compression::Zstd)];
const INTEGERS: Names<Integers> = &[("integer", Integers::Integer), ("float", Integers::Float)];

const MEASUREMENT: &str = "{sensor}";

pub(super) const SCHEME: Scheme = Scheme {
    names: &["http", "https"],
    path: "/v1/readings",
    allowed: "an absolute http or https URL, such as \"https://telemetry.example.com/v1/readings\"",
};

impl Default for HttpConfig {
    fn default() -> Self {
        let encoding = Encoding::default();
        Self {
            encoding,
            compression: Compression::of(encoding),
            measurement: Template::built_in(MEASUREMENT),
            integers: Integers::default(),
            access: Access::default(),
        }
    }
}

impl Compression {
    /// What is sent when nothing is said: what those who speak an encoding understand. Servers of
    /// the line protocol take gzip; of one that takes JSON nobody knows.
    fn of(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Packed => Self::Zstd,
            Encoding::Json => Self::None,
            Encoding::Influx => Self::Gzip,
        }
    }
}

impl HttpConfig {
    pub(super) fn read(from: &Section<'_>) -> Self {
        let encoding = from.or("encoding", Encoding::default(), &choice(ENCODINGS));
        if encoding != Encoding::Influx {
            let keys = ["measurement", "integers"];
            from.refuse(&keys, "this encoding", "encoding = \"influx\"");
        }
        let compressions = match encoding {
            Encoding::Packed => COMPRESSIONS_PACKED,
            Encoding::Json | Encoding::Influx => COMPRESSIONS,
        };
        let Self { measurement, integers, .. } = Self::default();
        Self {
            encoding,
            compression: from.or("compression", Compression::of(encoding), &choice(compressions)),
            measurement: from.or("measurement", measurement, &template()),
            integers: from.or("integers", integers, &choice(INTEGERS)),
            access: Access::read(from),
        }
    }

    pub(super) fn print(&self, to: &mut Printer) {
        to.name("encoding", &self.encoding, ENCODINGS);
        to.name("compression", &self.compression, COMPRESSIONS);
        if self.encoding == Encoding::Influx {
            to.text("measurement", &self.measurement);
            to.name("integers", &self.integers, INTEGERS);
        }
        self.access.print(to);
    }

    /// InfluxDB 1 answers 400 without `db`, which is what it also answers to a bad reading.
    pub(super) fn doubts(&self, urls: &[Uri]) -> Option<String> {
        let names_base =
            |url: &Uri| query(&url.to_string()).any(|(key, _)| matches!(key, "db" | "bucket"));
        let doubtful = self.encoding == Encoding::Influx && !urls.iter().all(names_base);
        doubtful.then(|| {
            "has a URL without db= or bucket=: InfluxDB needs one, VictoriaMetrics does not"
                .to_owned()
        })
    }

    /// Whether the encoding can say what happens to the device.
    pub(super) fn takes_events(&self) -> bool {
        self.encoding != Encoding::Influx
    }

    /// What only the encoding makes of a URL.
    pub(super) fn check_addresses(&self, addresses: &Addresses, from: &Section<'_>) {
        let Addresses::Fixed(urls) = addresses else { return };
        if self.encoding != Encoding::Influx {
            return;
        }
        for url in urls {
            if query(&url.to_string()).any(|(key, _)| matches!(key, "p" | "password" | "token")) {
                let message = "found a password or token in the query (not shown); allowed: a URL \
                               without, and username with password_file, or token_file";
                from.report("url", message.to_owned());
            } else if precision(&url.to_string()).is_none() {
                let message =
                    "found another precision; allowed: precision=ms, precision=ns or none";
                from.report("url", message.to_owned());
            }
        }
    }
}

fn template() -> Kind<Template> {
    Kind::text("text with {device}, {port} or {sensor}, such as \"{sensor}\"", |text| {
        let good = text.len() <= 128 && !text.contains(char::is_control);
        good.then(|| Template::parse(text)).flatten()
    })
}

/// What the timestamps count; none if a URL asks for what is not sent.
pub(super) fn precision(url: &str) -> Option<Precision> {
    match query(url).find(|(key, _)| *key == "precision") {
        None | Some((_, "n" | "ns")) => Some(Precision::Nanoseconds),
        Some((_, "ms")) => Some(Precision::Milliseconds),
        Some(_) => None,
    }
}

/// The pairs of a URL's query.
fn query(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

#[cfg(test)]
mod tests;
