//! The configuration as a whole: its sections read, checked against each other, and printed.

use std::collections::BTreeMap;
use std::path::Path;

use super::part::alarm::{self, Alarm};
use super::part::daemon::{Device, EventLog, Supervisor, Telemetry};
use super::part::http::Http;
use super::port::{self, Port};
use super::reader::error::ConfigError;
use super::reader::keys::{Catalogue, SectionKeys};
use super::reader::print::Printer;
use super::reader::section::Section;
use super::reader::source::{self, Source};
use super::reader::table::{self, Table};
use super::sink::{self, Sink};

/// Everything a configuration file says, checked, with defaults where it is silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub device: Device,
    pub log: EventLog,
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
        let keys = Catalogue(sections());
        let source = Source::new(text, &keys);
        let config = source.table().map(|table| Self::read(&Section::root(&source, &table)));
        match (config, source.into_problems()) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(ConfigError::Invalid { origin: origin.to_owned(), problems }),
        }
    }

    /// The effective configuration: every key with its value, as TOML that parses to `self` again.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut to = Printer::default();
        print("[device]", &self.device, &mut to);
        print("[log]", &self.log, &mut to);
        print("[http]", &self.http, &mut to);
        print("[telemetry]", &self.telemetry, &mut to);
        print("[supervisor]", &self.supervisor, &mut to);
        self.ports.iter().for_each(|port| port.print(&mut to));
        self.alarms.iter().for_each(|alarm| print("[[alarm]]", alarm, &mut to));
        self.sinks.iter().for_each(|sink| sink.print(&mut to));
        to.into_text()
    }

    /// The keys that differ and that only a restart changes, such as `log.path`.
    #[must_use]
    pub fn restart_needed(&self, new: &Self) -> Vec<String> {
        fn differing<T: Table>(section: &str, old: &T, new: &T) -> Vec<String> {
            let keys = table::restart_needed(old, new).into_iter();
            keys.map(|key| format!("{section}.{key}")).collect()
        }
        [
            differing("device", &self.device, &new.device),
            differing("log", &self.log, &new.log),
            differing("http", &self.http, &new.http),
            differing("telemetry", &self.telemetry, &new.telemetry),
            differing("supervisor", &self.supervisor, &new.supervisor),
        ]
        .concat()
    }

    fn read(root: &Section<'_>) -> Self {
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
        Self {
            device: table::read(&root.child("device")),
            log: table::read(&root.child("log")),
            http: table::read(&root.child("http")),
            telemetry: table::read(&root.child("telemetry")),
            supervisor: table::read(&root.child("supervisor")),
            ports: ports.iter().map(Port::read).collect(),
            alarms: alarms.iter().map(Alarm::read).collect(),
            sinks: sinks.iter().map(Sink::read).collect(),
        }
    }
}

fn print<T: Table>(head: &str, settings: &T, to: &mut Printer) {
    to.section(head);
    table::print(settings, to);
}

/// Every section of a configuration with its keys, in the order of the shipped file.
#[must_use]
pub fn sections() -> Vec<SectionKeys> {
    fn one<T: Table>(name: &'static str) -> SectionKeys {
        let keys = table::keys(T::rows());
        SectionKeys { name, repeated: false, about: T::ABOUT, keys, examples: &[], variants: None }
    }
    vec![
        one::<Device>("device"),
        one::<EventLog>("log"),
        one::<Http>("http"),
        one::<Telemetry>("telemetry"),
        one::<Supervisor>("supervisor"),
        port::section(),
        SectionKeys { repeated: true, examples: alarm::EXAMPLES, ..one::<Alarm>("alarm") },
        sink::section(),
    ]
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
