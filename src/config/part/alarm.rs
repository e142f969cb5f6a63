//! `[[alarm]]`: which readings of a port are alarms.

use crate::config::reader::keys::{Key, key};
use crate::config::reader::kind::{boolean, field, name, quantity};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;
use crate::domain::policy::alarm::{Rule, When};

/// For one port. Each costs a look at every reading of the port, and a state for every sensor.
const ALARMS_PER_PORT: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    pub port: String,
    pub rule: Rule,
}

impl Alarm {
    #[rustfmt::skip]
    pub(in crate::config) const KEYS: &[Key] = &[
        key("alarm.port", "required", "the port whose readings are watched"),
        key("alarm.sensor", "every sensor of the port", "the sensor whose readings are watched"),
        key("alarm.channel", "required", "the channel that makes a reading an alarm"),
        key("alarm.above", "no upper threshold", "alarm when it rises above this, and when it is back"),
        key("alarm.below", "no lower threshold", "alarm when it falls below this, and when it is back"),
        key("alarm.change", "changes are no alarm", "alarm when it is so far from what was told last"),
        key("alarm.hysteresis", "it is back at the threshold itself", "how far inside a threshold it is back"),
        key("alarm.is", "the channel is a number", "alarm when a boolean becomes this, and when it is back"),
    ];

    pub(in crate::config) fn read(from: &Section<'_>) -> Option<Self> {
        let port = from.required("port", &name(32));
        let sensor = from.optional("sensor", &field());
        let channel = from.required("channel", &field());
        let when = read_when(from);
        Some(Self { port: port?, rule: Rule { sensor, channel: channel?, when: when? } })
    }

    pub(in crate::config) fn print(&self, to: &mut Printer) {
        let Rule { sensor, channel, when } = &self.rule;
        to.section("[[alarm]]");
        to.text("port", &self.port);
        match sensor {
            Some(sensor) => to.text("sensor", sensor),
            None => to.unset("sensor", "every sensor of the port"),
        }
        to.text("channel", channel);
        match when {
            When::Is(is) => to.bare("is", is),
            When::Number { above, below, hysteresis, change } => {
                let limits = [("above", above), ("below", below), ("change", change)];
                for (key, limit) in limits {
                    // The debug form of a number is TOML, whatever its size.
                    limit.iter().for_each(|limit| to.bare(key, format!("{limit:?}")));
                }
                if above.is_some() || below.is_some() {
                    to.bare("hysteresis", format!("{hysteresis:?}"));
                }
            }
        }
    }
}

/// What needs more than one section to be seen.
pub(in crate::config) fn check(alarms: &[Section<'_>], ports: &[Section<'_>]) {
    let names: Vec<&str> = ports.iter().filter_map(|port| port.text("name")).collect();
    let mut counts = std::collections::BTreeMap::new();
    for alarm in alarms {
        let Some(port) = alarm.text("port") else { continue };
        if !names.contains(&port) {
            let known = match names.join(", ") {
                none if none.is_empty() => "there is no [[port]]".to_owned(),
                known => format!("the name of a [[port]]: {known}"),
            };
            alarm.report("port", format!("found {port:?}; allowed: {known}"));
        }
        let count = counts.entry(port).or_insert(0);
        *count += 1;
        if *count == ALARMS_PER_PORT + 1 {
            let problem = format!("one too many; allowed: {ALARMS_PER_PORT} [[alarm]] for a port");
            alarm.report("port", problem);
        }
    }
}

fn read_when(from: &Section<'_>) -> Option<When> {
    let is = from.optional("is", &boolean());
    let limit = |key| from.optional(key, &quantity(f64::MIN));
    let (above, below) = (limit("above"), limit("below"));
    let hysteresis = from.or("hysteresis", 0.0, &quantity(0.0));
    let change = from.optional("change", &quantity(f64::MIN_POSITIVE));
    if from.has("is") {
        let others = ["above", "below", "hysteresis", "change"];
        from.refuse(&others, "a boolean channel", "a number, and without is");
        return is.map(When::Is);
    }
    if !["above", "below", "change"].iter().any(|key| from.has(key)) {
        let problem = "missing; allowed: one of above, below, change (for numbers) or is";
        from.report("above", problem.to_owned());
        return None;
    }
    if !from.has("above") && !from.has("below") {
        from.refuse(&["hysteresis"], "an alarm without threshold", "above or below");
    }
    if let Some((above, below)) = above.zip(below).filter(|(above, below)| below >= above) {
        let problem = format!("found {below:?}; allowed: less than above, which is {above:?}");
        from.report("below", problem);
    }
    Some(When::Number { above, below, hysteresis, change })
}
