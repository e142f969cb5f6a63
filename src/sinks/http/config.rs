//! The keys of `kind = "http"`, and the checks that only this kind can make. The keys that all sinks share
//! are in `config/sink.rs`.

use hyper::Uri;

use crate::config::part::http_access::Access;
use crate::config::part::url::{Addresses, Scheme};
use crate::config::reader::field::{default, derived};
use crate::config::reader::section::Section;
use crate::config::reader::syntax::{Names, Syntax, choice};
use crate::config::reader::table::{self, settings};
use crate::domain::model::template::Template;
use crate::encoding::influx::{Integers, Precision};

settings! {
    /// One POST for each batch: packed segments for `outstation collect`, JSON lines for any HTTP server, or
    /// line protocol for InfluxDB, VictoriaMetrics and others.
    pub(crate) struct HttpConfig {
        /// `"packed"` (the stored segments, for `outstation collect`), `"json"` (one object per reading or
        /// event and line) or `"influx"` (line protocol: readings without events; what it cannot say, NaN and
        /// infinities, is left out and counted). The url of InfluxDB names its database:
        /// `https://influx.example.com/write?db=site`. Its timestamps are nanoseconds, whose last digits tell
        /// readings within one millisecond apart, so that a repeat overwrites itself; `&precision=ms` sends
        /// milliseconds.
        pub(super) encoding: Encoding = default(Encoding::Packed, choice(ENCODINGS));

        /// Compression of request bodies. Packed segments are always `"zstd"`; not every server of JSON takes
        /// another than `"none"`. gzip makes a twentieth of JSON.
        pub(super) compression: Compression = derived(
            "\"zstd\" for packed, \"none\" for json, \"gzip\" for influx",
            Compression::Zstd,
            choice(COMPRESSIONS),
        )
        .example("\"zstd\"");

        /// Measurement of the readings, from {device}, {port} and {sensor}, which are tags as well.
        pub(super) measurement: Template =
            default(Template::built_in("{sensor}"), template()).only_if("encoding", "influx");

        /// Whole numbers of channels without fractions are sent as `"integer"` or as `"float"`. InfluxDB
        /// refuses a field that changes its type: choose float if a sensor writes 20 where it means 20.0.
        pub(super) integers: Integers =
            default(Integers::Integer, choice(INTEGERS)).only_if("encoding", "influx");

        in pub(super) access: Access;
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// The segments as they are stored.
    #[default]
    Packed,
    /// One JSON object per line, for each reading or event.
    Json,
    /// InfluxDB's line protocol.
    Influx,
}

/// The compression of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

const ENCODINGS: Names<Encoding> =
    &[("packed", Encoding::Packed), ("json", Encoding::Json), ("influx", Encoding::Influx)];
const COMPRESSIONS: Names<Compression> =
    &[("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
const INTEGERS: Names<Integers> = &[("integer", Integers::Integer), ("float", Integers::Float)];

pub(super) const SCHEME: Scheme = Scheme {
    names: &["http", "https"],
    path: "/v1/readings",
    allowed: "an absolute http or https URL, such as \"https://telemetry.example.com/v1/readings\"",
    example: "\"https://telemetry.example.com/v1/readings\"",
};

impl Compression {
    /// The default for an encoding: what its servers usually accept. Servers of the line protocol accept
    /// gzip; a server of JSON may not accept any compression.
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
        let mut http: Self = table::read(from);
        let usual = Compression::of(http.encoding);
        if !from.has("compression") {
            http.compression = usual;
        } else if http.encoding == Encoding::Packed && http.compression != usual {
            // The segments inside a packed batch are compressed already; without zstd the batch would only
            // be larger.
            let found = from.text("compression").unwrap_or_default();
            let message = format!("found {found:?}; allowed: \"zstd\" with encoding = \"packed\"");
            from.report("compression", message);
        }
        http
    }

    /// Warns of a URL without a database. InfluxDB 1 answers it with 400, which is also its answer to a bad
    /// reading.
    pub(super) fn doubts(&self, urls: &[Uri]) -> Option<String> {
        let names_base =
            |url: &Uri| query(&url.to_string()).any(|(key, _)| matches!(key, "db" | "bucket"));
        let doubtful = self.encoding == Encoding::Influx && !urls.iter().all(names_base);
        doubtful.then(|| {
            "has a URL without db= or bucket=: InfluxDB needs one, VictoriaMetrics does not"
                .to_owned()
        })
    }

    /// Whether the encoding can express events.
    pub(super) fn takes_events(&self) -> bool {
        self.encoding != Encoding::Influx
    }

    /// Reports what is wrong with the URLs because of the encoding.
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

fn template() -> Syntax<Template> {
    let read = |text: &str| {
        let good = text.len() <= 128 && !text.contains(char::is_control);
        good.then(|| Template::parse(text)).flatten()
    };
    let allowed = "text with {device}, {port} or {sensor}, such as \"{sensor}\"";
    Syntax::text(allowed, read, Template::to_string)
}

/// The unit of the timestamps that a URL asks for. `None` if it is not one that is sent.
pub(super) fn precision(url: &str) -> Option<Precision> {
    match query(url).find(|(key, _)| *key == "precision") {
        None | Some((_, "n" | "ns")) => Some(Precision::Nanoseconds),
        Some((_, "ms")) => Some(Precision::Milliseconds),
        Some(_) => None,
    }
}

/// The keys and values in a URL's query.
fn query(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

#[cfg(test)]
mod tests;
