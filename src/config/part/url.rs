//! `url` of a sink: one address, several in order of preference, or where to look them up.

use std::fmt;

use hyper::Uri;
use serde_json::json;
use toml::de::DeValue;

use crate::config::reader::field::{optional, required};
use crate::config::reader::print::{Printer, list, quoted};
use crate::config::reader::section::Section;
use crate::config::reader::syntax::{Refusal, Syntax, found};
use crate::config::reader::table::{Row, print_rows, read_rows};

/// Where a sink is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Addresses {
    /// At least one address, in order of preference.
    Fixed(Vec<Uri>),
    Discovered(Discovered),
}

/// Endpoints that are looked up: each becomes `scheme://host:port/path`.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovered {
    pub via: Via,
    /// The name of the service, such as `_outstation._tcp.example.com`.
    pub service: String,
    pub scheme: &'static str,
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// SRV records of the DNS.
    Srv,
    /// Multicast DNS on the local network.
    Mdns,
}

/// How the addresses of a kind of sink are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheme {
    /// The first is that of discovered endpoints unless `scheme` says otherwise.
    pub(crate) names: &'static [&'static str],
    /// The path of discovered endpoints unless `path` says otherwise.
    pub(crate) path: &'static str,
    /// An absolute http or https URL, such as …
    pub(crate) allowed: &'static str,
    /// The URL that the shipped file shows, as TOML.
    pub(crate) example: &'static str,
}

/// What an eavesdropper between a sink and its server could see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exposure {
    /// The secret that the sink sends, in words; `None` if it sends none.
    pub(crate) secret: Option<&'static str>,
    /// A key that needs TLS.
    pub(crate) tls: Option<&'static str>,
    /// The schemes without TLS and with it.
    pub(crate) schemes: [&'static str; 2],
}

/// The keys as they are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressKeys {
    url: Url,
    scheme: Option<&'static str>,
    path: Option<String>,
}

/// The value of `url`.
#[derive(Clone, Debug)]
enum Url {
    Fixed(Vec<Uri>),
    Service(Via, String),
}

impl Default for Url {
    fn default() -> Self {
        Self::Fixed(Vec::new())
    }
}

impl AddressKeys {
    /// The table of a kind of sink whose addresses look like `scheme`.
    pub(crate) fn rows(scheme: Scheme) -> Vec<Row> {
        let url = Row::new(
            "url",
            "Where it is reached: an absolute URL without user or password. Several in a list, the preferred\n\
             first: the next one is used while those before it fail. `\"srv:_outstation._tcp.example.com\"` looks\n\
             the endpoints up in the DNS, again when what it says runs out; `\"mdns:_NAME._tcp.local\"` on the\n\
             local network, if the program was built with the feature `mdns`.",
            required(url_or_urls(scheme)).example(scheme.example),
            |keys: &Self| &keys.url,
            |keys: &mut Self| &mut keys.url,
        );
        let name = Row::new(
            "scheme",
            "Scheme of endpoints that are looked up.",
            optional("the url has it, or the first of those", scheme_name(scheme)),
            |keys: &Self| &keys.scheme,
            |keys: &mut Self| &mut keys.scheme,
        );
        let path = Row::new(
            "path",
            "Path of endpoints that are looked up.",
            optional("the url has it, or the usual one", absolute_path()),
            |keys: &Self| &keys.path,
            |keys: &mut Self| &mut keys.path,
        );
        vec![url, name, path]
    }
}

impl Addresses {
    /// The one that is tried first, for people.
    pub fn main(&self) -> String {
        match self {
            Self::Fixed(urls) => urls.first().map(Uri::to_string).unwrap_or_default(),
            Self::Discovered(discovered) => discovered.to_string(),
        }
    }

    pub(in crate::config) fn read(from: &Section<'_>, scheme: Scheme) -> Self {
        let mut keys = AddressKeys::default();
        read_rows(&AddressKeys::rows(scheme), &mut keys, from);
        match keys.url {
            Url::Fixed(urls) => {
                for key in ["scheme", "path"].into_iter().filter(|key| from.has(key)) {
                    let allowed = "only with a url that begins with srv: or mdns:";
                    from.report(key, format!("does not apply to this url; allowed: {allowed}"));
                }
                Self::Fixed(urls)
            }
            Url::Service(via, service) => Self::Discovered(Discovered {
                via,
                service,
                scheme: keys.scheme.or(scheme.names.first().copied()).unwrap_or_default(),
                path: keys.path.unwrap_or_else(|| scheme.path.to_owned()),
            }),
        }
    }

    pub(in crate::config) fn print(&self, scheme: Scheme, to: &mut Printer) {
        let keys = match self.clone() {
            Self::Fixed(urls) => AddressKeys { url: Url::Fixed(urls), scheme: None, path: None },
            Self::Discovered(Discovered { via, service, scheme, path }) => AddressKeys {
                url: Url::Service(via, service),
                scheme: Some(scheme),
                path: Some(path),
            },
        };
        print_rows(&AddressKeys::rows(scheme), &keys, to);
    }
}

impl fmt::Display for Discovered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.via.prefix(), self.service)
    }
}

impl Via {
    fn prefix(self) -> &'static str {
        match self {
            Self::Srv => SRV,
            Self::Mdns => MDNS,
        }
    }
}

const SRV: &str = "srv:";
const MDNS: &str = "mdns:";

fn url_or_urls(scheme: Scheme) -> Syntax<Url> {
    let read = move |value: &DeValue<'_>| match (value.as_array(), value.as_str()) {
        (Some(list), _) if !list.is_empty() => {
            let urls =
                list.iter().map(|item| url(item.get_ref(), scheme)).collect::<Result<_, _>>();
            urls.map(Url::Fixed)
        }
        (_, Some(text)) if text.starts_with(MDNS) && !cfg!(feature = "mdns") => {
            Err(Refusal::left_out(&found(value), "mdns"))
        }
        (_, Some(text)) if text.starts_with(SRV) || text.starts_with(MDNS) => service(text),
        _ => url(value, scheme).map(|url| Url::Fixed(vec![url])),
    };
    let write = |url: &Url| match url {
        Url::Fixed(urls) => match urls.as_slice() {
            [url] => quoted(&url.to_string()),
            urls => list(&urls.iter().map(Uri::to_string).collect::<Vec<_>>()),
        },
        Url::Service(via, service) => quoted(&format!("{}{service}", via.prefix())),
    };
    let schema = json!({ "anyOf": [
        { "type": "string" },
        { "type": "array", "minItems": 1, "items": { "type": "string" } },
    ] });
    let allowed = scheme.allowed.to_owned();
    Syntax { allowed, read: Box::new(read), write: Box::new(write), schema }
}

fn service(text: &str) -> Result<Url, Refusal> {
    let (via, service) = match (text.strip_prefix(SRV), text.strip_prefix(MDNS)) {
        (Some(service), _) => (Via::Srv, service),
        (_, service) => (Via::Mdns, service.unwrap_or_default()),
    };
    let service = service.trim_end_matches('.');
    // Multicast has one domain, and nothing below it.
    let is_local = || service.ends_with(".local") && service.split('.').count() == 3;
    if is_service(service) && (via == Via::Srv || is_local()) {
        return Ok(Url::Service(via, service.to_owned()));
    }
    Err(Refusal::Because(format!(
        "found {text:?}; allowed: a service such as \"{SRV}_outstation._tcp.example.com\" or \
         \"{MDNS}_outstation-collect._tcp.local\""
    )))
}

/// `_service._tcp` and a domain (RFC 2782).
fn is_service(name: &str) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let plain = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253
        && labels.len() >= 3
        && labels[0].starts_with('_')
        && matches!(labels[1], "_tcp" | "_udp")
        && labels.iter().all(plain)
}

fn scheme_name(scheme: Scheme) -> Syntax<&'static str> {
    let names: Vec<String> = scheme.names.iter().map(|name| format!("{name:?}")).collect();
    let read = move |text: &str| scheme.names.iter().copied().find(|name| *name == text);
    Syntax::text(names.join(" or "), read, |name| (*name).to_owned())
        .with_schema(json!({ "enum": scheme.names }))
}

/// The path of a URL.
fn absolute_path() -> Syntax<String> {
    let read = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        (text.is_empty() || text.starts_with('/') && plain).then(|| text.to_owned())
    };
    Syntax::text("a path such as \"/v1/readings\"", read, String::clone)
}

/// A URL is printed in messages, logs and `/status`, so it must not hold a secret; one that might is
/// refused without being shown.
fn url(value: &DeValue<'_>, scheme: Scheme) -> Result<Uri, Refusal> {
    let text = value.as_str().ok_or(Refusal::NotAllowed)?;
    // Where discovered endpoints have no path, none means anything.
    let fits = |url: &Uri| {
        !scheme.path.is_empty() || matches!(url.path(), "" | "/") && url.query().is_none()
    };
    match to_url(text, scheme.names).filter(fits) {
        _ if authority(text).contains('@') => Err(Refusal::Because(
            "found a user name or password (not shown); allowed: a URL without, and the token or \
             password in the file that token_file or password_file names"
                .to_owned(),
        )),
        Some(url) => Ok(url),
        None if text.contains('@') => Err(Refusal::Because(format!(
            "found no URL (not shown: it may hold a password); allowed: {}",
            scheme.allowed
        ))),
        None => {
            Err(Refusal::Because(format!("found {}; allowed: {}", found(value), scheme.allowed)))
        }
    }
}

/// The text between the scheme and the path, also where the URL is malformed.
fn authority(text: &str) -> &str {
    let rest = text.split_once(':').map_or(text, |(_, rest)| rest).trim_start_matches('/');
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

fn to_url(text: &str, schemes: &[&str]) -> Option<Uri> {
    // `Uri` would drop a fragment without a word.
    let url: Uri = Some(text).filter(|text| !text.contains('#'))?.parse().ok()?;
    let scheme = url.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    let host = url.host().filter(|host| !host.is_empty())?;
    let has_port = url.authority()?.as_str().len() > host.len();
    let port = !has_port || url.port_u16().is_some_and(|port| port > 0);
    (scheme && port).then_some(url)
}
