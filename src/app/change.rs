//! Compares two configurations and lists the parts that have to end and to start. `parts` acts on that
//! list.
//!
//! A part whose section reads the same is left alone: it keeps its file descriptor, its connection and its
//! unfinished work. A part whose section differs in anything ends and starts again.

use super::actors::{HTTP, port_actor, sink_actors};
use crate::config::{Config, Port};
use crate::discovery::announce::ANNOUNCE;
use crate::domain::policy::alarm::Rule;

/// The difference between two configurations.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ConfigChange {
    pub(super) http: bool,
    announce: bool,
    pub(super) ports: Moves,
    pub(super) sinks: Moves,
}

/// The names of the parts of one kind that end and that start. A name in both lists is the same part under
/// another configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    pub(super) ending: Vec<String>,
    pub(super) beginning: Vec<String>,
}

impl ConfigChange {
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        Self {
            http: old.http != new.http,
            announce: old.http != new.http && (old.http.announce || new.http.announce),
            ports: Moves { ending: ports_lacking(new, old), beginning: ports_lacking(old, new) },
            sinks: Moves { ending: sinks_lacking(new, old), beginning: sinks_lacking(old, new) },
        }
    }

    /// The names of the actors that have to end; some of them may not be running.
    pub(super) fn ending(&self) -> Vec<String> {
        let ports = self.ports.ending.iter().map(|name| port_actor(name));
        let sinks = self.sinks.ending.iter().flat_map(|name| sink_actors(name));
        let http = self.http.then(|| HTTP.to_owned());
        ports.chain(sinks).chain(http).chain(self.announce.then(|| ANNOUNCE.to_owned())).collect()
    }
}

/// Lists the ports of `of` that `other` lacks, or has with other settings or other alarm rules.
fn ports_lacking(other: &Config, of: &Config) -> Vec<String> {
    let has = |port: &Port| {
        other.ports.contains(port) && alarms(other, &port.name) == alarms(of, &port.name)
    };
    of.ports.iter().filter(|port| !has(port)).map(|port| port.name.clone()).collect()
}

fn sinks_lacking(other: &Config, of: &Config) -> Vec<String> {
    let missing = of.sinks.iter().filter(|sink| !other.sinks.contains(sink));
    missing.map(|sink| sink.name.clone()).collect()
}

/// The alarm rules of the port of this name.
pub(super) fn alarms(config: &Config, port: &str) -> Vec<Rule> {
    let own = config.alarms.iter().filter(|alarm| alarm.port == port);
    own.map(|alarm| alarm.rule()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = r#"
        [[port]]
        name = "a"
        path = "/dev/ttyS1"
        framing = "postcard"
        [[port]]
        name = "b"
        path = "/dev/ttyS2"
        framing = "postcard"
        [[alarm]]
        port = "b"
        sensor = "b"
        channel = "t"
        above = 80
        [[sink]]
        name = "cloud"
        kind = "http"
        url = "https://example.com/v1/readings"
    "#;

    fn config(text: &str) -> Config {
        Config::parse(text, "a test").expect("it is valid")
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_same_text_in_another_order_moves_nothing() {
        let reordered = SITE.replace(
            "\"a\"\n        path = \"/dev/ttyS1\"",
            "\"swap\"\n        path = \"/dev/ttyS9\"",
        );
        assert_ne!(reordered, SITE);
        let (old, mut new) = (config(SITE), config(SITE));
        new.ports.reverse();
        assert_eq!(ConfigChange::between(&old, &new), ConfigChange::default());
        let change = ConfigChange::between(&old, &config(&reordered));
        assert_eq!(
            (change.ports.ending, change.ports.beginning),
            (names(&["a"]), names(&["swap"]))
        );
    }

    #[test]
    fn a_rule_belongs_to_its_port() {
        let change = ConfigChange::between(&config(SITE), &config(&SITE.replace("80", "81")));
        let b = Moves { ending: names(&["b"]), beginning: names(&["b"]) };
        assert_eq!(change, ConfigChange { ports: b, ..ConfigChange::default() });
    }

    #[test]
    fn a_sink_that_differs_in_anything_begins_again() {
        let change = ConfigChange::between(&config(SITE), &config(&SITE.replace("/v1/", "/v2/")));
        let cloud = Moves { ending: names(&["cloud"]), beginning: names(&["cloud"]) };
        assert_eq!(change, ConfigChange { sinks: cloud, ..ConfigChange::default() });
    }
}
