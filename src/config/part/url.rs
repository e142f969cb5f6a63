//! `url` of a sink: one address, several in order of preference, or where to look them up.

use std::fmt;

use hyper::Uri;
use toml::de::DeValue;

use crate::config::reader::keys::{Key, key};
use crate::config::reader::kind::{Kind, Refusal, found};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;

/// Where a sink is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Addresses {
    /// In order of preference; at least one.
    Fixed(Vec<Uri>),
    Discovered(Discovered),
}

/// Endpoints that are looked up: each becomes `scheme://host:port/path`.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovered {
    pub via: Via,
    /// Such as `_outstation._tcp.example.com`.
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

/// What the addresses of a kind of sink look like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheme {
    /// The first is that of discovered endpoints unless `scheme` says otherwise.
    pub(crate) names: &'static [&'static str],
    /// Of discovered endpoints.
    pub(crate) path: &'static str,
    /// An absolute http or https URL, such as …
    pub(crate) allowed: &'static str,
}

/// What a sink would show to whoever listens on the way to its server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exposure {
    /// What it sends that nobody should overhear.
    pub(crate) secret: Option<&'static str>,
    /// A key that needs TLS.
    pub(crate) tls: Option<&'static str>,
    /// The schemes without TLS and with it.
    pub(crate) schemes: [&'static str; 2],
}

impl Addresses {
    #[rustfmt::skip]
    pub(crate) const KEYS: &[Key] = &[
        key("sink.url", "required", "where it is reached; several in a list, the preferred first"),
        key("sink.scheme", "the first that the kind of sink knows", "scheme of endpoints that are looked up"),
        key("sink.path", "the usual one of the kind of sink", "path of endpoints that are looked up"),
    ];

    /// The one that is tried first, for people.
    pub fn main(&self) -> String {
        match self {
            Self::Fixed(urls) => urls.first().map(Uri::to_string).unwrap_or_default(),
            Self::Discovered(discovered) => discovered.to_string(),
        }
    }

    pub(crate) fn read(from: &Section<'_>, scheme: Scheme) -> Option<Self> {
        let mut addresses = from.required("url", &addresses(scheme));
        if let Some(Self::Discovered(discovered)) = &mut addresses {
            discovered.scheme = from.or("scheme", discovered.scheme, &scheme_name(scheme));
            discovered.path = from.or("path", discovered.path.clone(), &absolute_path());
        } else {
            from.refuse(&["scheme", "path"], "this url", "a url that begins with srv: or mdns:");
        }
        addresses
    }

    pub(crate) fn print(&self, to: &mut Printer) {
        match self {
            Self::Fixed(urls) if urls.len() > 1 => {
                to.list("url", &urls.iter().map(Uri::to_string).collect::<Vec<_>>());
            }
            addresses => to.text("url", addresses.main()),
        }
        match self {
            Self::Fixed(_) => {
                to.unset("scheme", "url says it");
                to.unset("path", "url says it");
            }
            Self::Discovered(discovered) => {
                to.text("scheme", discovered.scheme);
                to.text("path", &discovered.path);
            }
        }
    }
}

impl fmt::Display for Discovered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let via = match self.via {
            Via::Srv => SRV,
            Via::Mdns => MDNS,
        };
        write!(formatter, "{via}{}", self.service)
    }
}

const SRV: &str = "srv:";
const MDNS: &str = "mdns:";

fn addresses(scheme: Scheme) -> Kind<Addresses> {
    let read = move |value: &DeValue<'_>| match (value.as_array(), value.as_str()) {
        (Some(list), _) if !list.is_empty() => {
            let urls =
                list.iter().map(|item| url(item.get_ref(), scheme)).collect::<Result<_, _>>();
            urls.map(Addresses::Fixed)
        }
        (_, Some(text)) if text.starts_with(MDNS) && !cfg!(feature = "mdns") => {
            Err(Refusal::left_out(&found(value), "mdns"))
        }
        (_, Some(text)) if text.starts_with(SRV) || text.starts_with(MDNS) => {
            discovered(text, scheme).map(Addresses::Discovered)
        }
        _ => url(value, scheme).map(|url| Addresses::Fixed(vec![url])),
    };
    Kind { allowed: scheme.allowed.to_owned(), read: Box::new(read) }
}

fn discovered(text: &str, scheme: Scheme) -> Result<Discovered, Refusal> {
    let (via, service) = match (text.strip_prefix(SRV), text.strip_prefix(MDNS)) {
        (Some(service), _) => (Via::Srv, service),
        (_, service) => (Via::Mdns, service.unwrap_or_default()),
    };
    let service = service.trim_end_matches('.');
    // Multicast has one domain, and nothing below it.
    let is_local = || service.ends_with(".local") && service.split('.').count() == 3;
    if is_service(service) && (via == Via::Srv || is_local()) {
        let first = scheme.names.first().copied().unwrap_or_default();
        let (service, path) = (service.to_owned(), scheme.path.to_owned());
        return Ok(Discovered { via, service, scheme: first, path });
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

fn scheme_name(scheme: Scheme) -> Kind<&'static str> {
    let names: Vec<String> = scheme.names.iter().map(|name| format!("{name:?}")).collect();
    Kind::text(names.join(" or "), move |text| {
        scheme.names.iter().copied().find(|name| *name == text)
    })
}

/// Of a URL.
fn absolute_path() -> Kind<String> {
    Kind::text("a path such as \"/v1/readings\"", |text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        (text.is_empty() || text.starts_with('/') && plain).then(|| text.to_owned())
    })
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

/// What stands between the scheme and the path, also where the URL is malformed.
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
