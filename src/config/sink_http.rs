//! `kind = "http"`.

use super::http_access::{self, Access};
use super::kind::{Kind, Names, choice};
use super::print::Printer;
use super::section::Section;
use super::sink::Keys;
use super::tls_files;
use super::url::{Addresses, Scheme};
use crate::domain::model::template::Template;

#[derive(Clone, Debug, PartialEq)]
pub struct HttpSink {
    pub encoding: Encoding,
    pub compression: Compression,
    /// What the line protocol calls the readings of a sensor.
    pub measurement: Template,
    pub integers: Integers,
    pub access: Access,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
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
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// How the line protocol writes whole numbers of channels that only know such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Integers {
    #[default]
    Integer,
    Float,
}

/// What the timestamps of the line protocol count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// The protocol's own, unless the URL says otherwise.
    Nanoseconds,
    Milliseconds,
}

pub(super) const KEYS: Keys =
    &[&["encoding", "compression", "measurement", "integers"], http_access::KEYS, tls_files::KEYS];

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

impl Default for HttpSink {
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

impl HttpSink {
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

    /// Whether the encoding can say what happens to the device.
    pub(super) fn takes_events(&self) -> bool {
        self.encoding != Encoding::Influx
    }

    /// What only the encoding makes of a URL.
    pub(super) fn check_urls(&self, addresses: &Addresses, from: &Section<'_>) {
        let Addresses::Fixed(urls) = addresses else { return };
        if self.encoding != Encoding::Influx {
            return;
        }
        for url in urls {
            if query(&url.to_string()).any(|(key, _)| matches!(key, "p" | "password" | "token")) {
                let message = "found a password or token in the query (not shown); allowed: a URL \
                               without, and username with password_file, or token_file";
                from.report("url", message.to_owned());
            } else if Precision::of_url(&url.to_string()).is_none() {
                let message =
                    "found another precision; allowed: precision=ms, precision=ns or none";
                from.report("url", message.to_owned());
            }
        }
    }
}

impl Precision {
    /// None if the URL asks for another one.
    pub fn of_url(url: &str) -> Option<Self> {
        match query(url).find(|(key, _)| *key == "precision") {
            None | Some((_, "n" | "ns")) => Some(Self::Nanoseconds),
            Some((_, "ms")) => Some(Self::Milliseconds),
            Some(_) => None,
        }
    }
}

/// The pairs of a URL's query.
pub(super) fn query(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn template() -> Kind<Template> {
    Kind::text("text with {device}, {port} or {sensor}, such as \"{sensor}\"", |text| {
        let good = text.len() <= 128 && !text.contains(char::is_control);
        good.then(|| Template::parse(text)).flatten()
    })
}

#[cfg(test)]
mod tests;
