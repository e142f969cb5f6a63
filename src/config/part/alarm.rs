//! `[[alarm]]`: which readings of a port are alarms.

use crate::config::reader::field::{default, optional, required};
use crate::config::reader::keys::Example;
use crate::config::reader::section::Section;
use crate::config::reader::syntax::{boolean, field_name, name, quantity};
use crate::config::reader::table::{self, settings};
use crate::domain::policy::alarm::{Rule, When};

/// The most rules of one port. Each looks at every reading of the port and has a state for every sensor.
const ALARMS_PER_PORT: usize = 32;
/// The keys that go with numbers only.
const OF_NUMBERS: &[&str] = &["above", "below", "change", "hysteresis"];

settings! {
    /// Which readings of a port are alarms: one `[[alarm]]` for each rule, at most 32 for a port. An alarm is
    /// committed and sent at once, before everything else. The reading that enters the alarm state is one, and
    /// the one that leaves it; those in between are not. An input that flutters gives four alarms in a row,
    /// then one in ten seconds.
    pub struct Alarm {
        /// The port whose readings are watched.
        pub port: String = required(name(32)).example("\"weather\"");

        /// The sensor whose readings are watched.
        pub sensor: Option<String> = optional("every sensor of the port", field_name()).example("\"roof\"");

        /// The channel that makes a reading an alarm.
        pub channel: String = required(field_name()).example("\"wind\"");

        /// Upper threshold: an alarm when the channel rises above it, and when it is back.
        pub above: Option<f64> = optional("no upper threshold", quantity(f64::MIN)).example("25.0");

        /// Lower threshold: an alarm when the channel falls below it, and when it is back.
        pub below: Option<f64> = optional("no lower threshold", quantity(f64::MIN)).example("-1.0");

        /// How far inside a threshold the channel must be to be back.
        pub hysteresis: f64 =
            default(0.0, quantity(0.0)).only_with(&["above", "below"]).example("2.0");

        /// An alarm when the channel is so far from its value at the last alarm, or from its first.
        pub change: Option<f64> =
            optional("changes are no alarm", quantity(f64::MIN_POSITIVE)).example("10.0");

        /// For a boolean (or 0 and 1): an alarm when the channel becomes this, and when it is back.
        pub is: Option<bool> =
            optional("the channel is a number", boolean()).not_with(OF_NUMBERS).example("true");
    }
}

/// A number that has thresholds, and a boolean.
pub(in crate::config) const EXAMPLES: &[Example] =
    &[&[("above", "25.0")], &[("port", "\"mcu\""), ("channel", "\"door_open\""), ("is", "true")]];

impl Alarm {
    pub(in crate::config) fn read(from: &Section<'_>) -> Self {
        let alarm: Self = table::read(from);
        if !["above", "below", "change", "is"].iter().any(|key| from.has(key)) {
            let problem = "missing; allowed: one of above, below, change (for numbers) or is";
            from.report("above", problem.to_owned());
        }
        let limits = alarm.above.zip(alarm.below);
        if let Some((above, below)) = limits.filter(|(above, below)| below >= above) {
            let problem = format!("found {below:?}; allowed: less than above, which is {above:?}");
            from.report("below", problem);
        }
        alarm
    }

    pub(crate) fn rule(&self) -> Rule {
        let Self { sensor, channel, above, below, hysteresis, change, is, .. } = self.clone();
        let when = match is {
            Some(is) => When::Is(is),
            None => When::Number { above, below, hysteresis, change },
        };
        Rule { sensor, channel, when }
    }
}

/// Finds what needs more than one section to be seen.
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
