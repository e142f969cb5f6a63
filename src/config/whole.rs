//! The configuration as a whole: its sections read, checked against each other, and printed.

use std::collections::BTreeMap;
use std::path::Path;

use super::part::alarm::{self, Alarm};
use super::part::daemon::{Device, Log, Supervisor, Telemetry};
use super::part::http::Http;
use super::part::pace::Pace;
use super::part::url::Addresses;
use super::port::{self, Port};
use super::reader::error::ConfigError;
use super::reader::keys::{Catalogue, Key};
use super::reader::print::Printer;
use super::reader::section::Section;
use super::reader::source::{self, Source};
use super::sink::{self, Sink};

/// Everything a configuration file says, checked, with defaults where it is silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub device: Device,
    pub log: Log,
    pub http: Http,
    pub telemetry: Telemetry,
    pub supervisor: Supervisor,
    pub ports: Vec<Port>,
    pub alarms: Vec<Alarm>,
    pub sinks: Vec<Sink>,
}

impl Config {
    /// Reads and checks the file; it is the only one that the configuration opens.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = source::read(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Checks a text; `origin` is how messages call it.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let keys = catalogue();
        let source = Source::new(text, &keys);
        let config = source.table().and_then(|table| Self::read(&Section::root(&source, &table)));
        match (config, source.into_problems()) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(ConfigError::Invalid { origin: origin.to_owned(), problems }),
        }
    }

    /// The effective configuration: every key with its value, as TOML that parses to `self` again.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut to = Printer::default();
        self.device.print(&mut to);
        self.log.print(&mut to);
        self.http.print(&mut to);
        self.telemetry.print(&mut to);
        self.supervisor.print(&mut to);
        self.ports.iter().for_each(|port| port.print(&mut to));
        self.alarms.iter().for_each(|alarm| alarm.print(&mut to));
        self.sinks.iter().for_each(|sink| sink.print(&mut to));
        to.into_text()
    }

    fn read(root: &Section<'_>) -> Option<Self> {
        root.refuse_unknown_keys();
        let (ports, sinks) = (root.children("port"), root.children("sink"));
        let alarms = root.children("alarm");
        let known_sinks = sinks.iter().filter(|sink| !sink::is_left_out(sink));
        for section in ports.iter().chain(&alarms).chain(known_sinks) {
            section.refuse_unknown_keys();
        }
        refuse_repeats(&ports, "name", |name| name);
        // `/dev//ttyS1` is `/dev/ttyS1`: paths are compared by their components.
        refuse_repeats(&ports, "path", Path::new);
        refuse_repeats(&sinks, "name", |name| name);
        alarm::check(&alarms, &ports);
        // No `?` before all have been read: the mistakes behind the first are wanted too.
        let ports: Vec<_> = ports.iter().map(Port::read).collect();
        let alarms: Vec<_> = alarms.iter().map(Alarm::read).collect();
        let sinks: Vec<_> = sinks.iter().map(Sink::read).collect();
        Some(Self {
            device: Device::read(&root.child("device")),
            log: Log::read(&root.child("log")),
            http: Http::read(&root.child("http")),
            telemetry: Telemetry::read(&root.child("telemetry")),
            supervisor: Supervisor::read(&root.child("supervisor")),
            ports: ports.into_iter().collect::<Option<_>>()?,
            alarms: alarms.into_iter().collect::<Option<_>>()?,
            sinks: sinks.into_iter().collect::<Option<_>>()?,
        })
    }
}

/// Every key that a configuration may have.
#[must_use]
pub fn all_keys() -> Vec<Key> {
    catalogue().keys().to_vec()
}

fn catalogue() -> Catalogue {
    let daemon = [Device::KEYS, Log::KEYS, Http::KEYS, Telemetry::KEYS, Supervisor::KEYS];
    let ports = [Port::KEYS].into_iter().chain(port::keys_of_protocols());
    let sinks = [Sink::KEYS, Addresses::KEYS, Pace::KEYS].into_iter().chain(sink::keys_of_kinds());
    Catalogue::of(daemon.into_iter().chain(ports).chain([Alarm::KEYS]).chain(sinks))
}

fn refuse_repeats<'a, K: Ord>(
    sections: &'a [Section<'a>],
    key: &'static str,
    identity: impl Fn(&'a str) -> K,
) {
    let mut first = BTreeMap::new();
    for section in sections {
        let Some(text) = section.text(key) else { continue };
        if let Some(earlier) = first.get(&identity(text)) {
            let problem =
                format!("found {text:?}, which {earlier} has; allowed: a different {key}");
            section.report(key, problem);
        } else {
            first.insert(identity(text), section.path());
        }
    }
}
