//! Decides which readings are alarms.
//!
//! An alarm is committed and sent at once, which costs one sync of the flash and one request each. So only
//! *edges* are alarms: the reading that enters the alarm state and the one that leaves it, and none between
//! them; otherwise an input stuck at its limit would wear the flash as fast as it is read. An input that
//! flutters has edges without end, so after a burst of 4 at most one in ten seconds is an alarm. A reading
//! is compared with the reading of the last alarm and not with the one before it, so that the state that
//! holds in the end is raised.
//!
//! The last alarm is not remembered over a restart: a state that lasts is raised once more.

use std::collections::BTreeMap;

use outstation_codec::{SENSORS_MAX, Sensor, Value};

/// How many alarms of one rule and sensor may follow each other without a pause.
const BURST: i64 = 4;
/// The pause after a burst, in milliseconds: one alarm may follow each time it has passed.
const EVERY_MS: i64 = 10_000;

/// A rule that says which readings of a port are alarms.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The sensor that the rule applies to; `None` means every sensor of the port.
    pub sensor: Option<String>,
    pub channel: String,
    pub when: When,
}

#[derive(Clone, Debug, PartialEq)]
pub enum When {
    Number {
        above: Option<f64>,
        below: Option<f64>,
        /// How far a value must come back from `above` or `below` to be within again.
        hysteresis: f64,
        /// How far a value must be from the value of the last alarm, or from the first value, to be an
        /// alarm.
        change: Option<f64>,
    },
    /// A boolean channel is in the alarm state while it has this value.
    Is(bool),
}

/// The rules of one port, with the state of each of its sensors.
#[derive(Debug, Default)]
pub struct Watch {
    rules: Vec<Rule>,
    /// By name of the sensor; one state for each rule.
    states: BTreeMap<String, Vec<State>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Level {
    #[default]
    Within,
    Above,
    Below,
}

/// The state of one sensor under one rule.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The index of the channel, where it was found last; a hint.
    place: usize,
    level: Level,
    raised: Level,
    /// The value of the last alarm, or the first value.
    reference: Option<f64>,
    guard: Guard,
}

impl Watch {
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, states: BTreeMap::new() }
    }

    pub fn is_idle(&self) -> bool {
        self.rules.is_empty()
    }

    /// Says whether a reading that arrived at `now_ms` is an alarm. `cells` are (channel index, value).
    pub fn is_alarm(&mut self, sensor: &Sensor, cells: &[(u16, Value)], now_ms: i64) -> bool {
        if !self.states.contains_key(&sensor.name) {
            // The sender chooses the names, so their number must be bounded. After the states are cleared,
            // alarms that last are raised once more.
            if self.states.len() >= SENSORS_MAX {
                self.states.clear();
            }
            self.states.insert(sensor.name.clone(), vec![State::default(); self.rules.len()]);
        }
        let Some(states) = self.states.get_mut(&sensor.name) else { return false };
        let mut alarm = false;
        for (rule, state) in self.rules.iter().zip(states) {
            if rule.sensor.as_ref().is_none_or(|name| *name == sensor.name) {
                if let Some(value) = state.value(sensor, &rule.channel, cells) {
                    // Each rule follows the values, whether or not another one raises an alarm.
                    alarm |= state.follow(&rule.when, value, now_ms);
                }
            }
        }
        alarm
    }
}

impl State {
    /// Returns the value that a reading has for the channel.
    fn value<'a>(
        &mut self,
        sensor: &Sensor,
        channel: &str,
        cells: &'a [(u16, Value)],
    ) -> Option<&'a Value> {
        let is_it = |at: usize| sensor.channels.get(at).is_some_and(|known| known.name == channel);
        if !is_it(self.place) {
            self.place = (0..sensor.channels.len()).find(|at| is_it(*at))?;
        }
        cells.iter().find(|(at, _)| usize::from(*at) == self.place).map(|(_, value)| value)
    }

    fn follow(&mut self, when: &When, value: &Value, now_ms: i64) -> bool {
        let (level, reference, moved) = match when {
            When::Is(alarming) => {
                let Some(is) = truth(value) else { return false };
                let level = if is == *alarming { Level::Above } else { Level::Within };
                (level, None, false)
            }
            When::Number { above, below, hysteresis, change } => {
                let Some(value) = number(value) else { return false };
                let reference = *self.reference.get_or_insert(value);
                let moved = change.is_some_and(|change| (value - reference).abs() >= change);
                (self.level.next(value, *above, *below, *hysteresis), Some(value), moved)
            }
        };
        self.level = level;
        let alarm = (level != self.raised || moved) && self.guard.passes(now_ms);
        if alarm {
            (self.raised, self.reference) = (level, reference);
        }
        alarm
    }
}

impl Level {
    fn next(self, value: f64, above: Option<f64>, below: Option<f64>, hysteresis: f64) -> Self {
        let is_above = |margin: f64| above.is_some_and(|above| value > above - margin);
        let is_below = |margin: f64| below.is_some_and(|below| value < below + margin);
        match self {
            _ if is_above(0.0) => Self::Above,
            _ if is_below(0.0) => Self::Below,
            Self::Above if is_above(hysteresis) => Self::Above,
            Self::Below if is_below(hysteresis) => Self::Below,
            _ => Self::Within,
        }
    }
}

/// Lets a burst through, and after it one alarm per interval.
#[derive(Clone, Copy, Debug, Default)]
struct Guard {
    /// When the next alarm would be due at an even pace.
    due_ms: Option<i64>,
}

impl Guard {
    fn passes(&mut self, now_ms: i64) -> bool {
        let due_ms = self.due_ms.unwrap_or(now_ms).max(now_ms);
        let passes = due_ms.saturating_sub(now_ms) <= (BURST - 1) * EVERY_MS;
        if passes {
            self.due_ms = Some(due_ms.saturating_add(EVERY_MS));
        }
        passes
    }
}

/// Returns the value as a number. NaN counts as no value.
#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the nearest double is near enough")]
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Int(int) => *int as f64,
        Value::F32(float) => f64::from(*float),
        Value::F64(float) => *float,
        Value::Bool(_) | Value::Text(_) => return None,
    };
    (!number.is_nan()).then_some(number)
}

/// Returns the value as a boolean. Many formats have no boolean and write 0 and 1.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(is) => Some(*is),
        Value::Int(0) => Some(false),
        Value::Int(1) => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use outstation_codec::{Channel, ValueType};
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;

    fn sensor(name: &str) -> Sensor {
        let channel =
            |name: &str| Channel { name: name.into(), unit: String::new(), kind: ValueType::F64 };
        Sensor {
            port: "p".into(),
            name: name.into(),
            channels: ["pressure", "level", "door"].map(channel).into(),
        }
    }

    fn watch(channel: &str, when: When) -> Watch {
        Watch::new(vec![Rule { sensor: None, channel: channel.into(), when }])
    }

    fn thresholds(above: Option<f64>, below: Option<f64>, hysteresis: f64) -> Watch {
        watch("level", When::Number { above, below, hysteresis, change: None })
    }

    /// Returns the indexes of the values that are alarms, if they are a minute apart.
    fn alarms(watch: &mut Watch, channel: u16, values: &[Value]) -> Vec<usize> {
        let at = |(place, value): (usize, &Value)| {
            let now_ms = i64::try_from(place).expect("few") * MINUTE;
            watch.is_alarm(&sensor("a"), &[(channel, value.clone())], now_ms).then_some(place)
        };
        values.iter().enumerate().filter_map(at).collect()
    }

    fn floats(values: &[f64]) -> Vec<Value> {
        values.iter().map(|value| Value::F64(*value)).collect()
    }

    #[test]
    fn the_reading_that_crosses_a_threshold_is_an_alarm_and_the_one_that_comes_back() {
        let mut high = thresholds(Some(80.0), None, 0.0);
        let values = floats(&[79.0, 80.0, 80.1, 95.0, 81.0, 80.0, 70.0]);
        assert_eq!(alarms(&mut high, 1, &values), [2, 5]);
        let mut band = thresholds(Some(80.0), Some(2.0), 0.0);
        let values = floats(&[1.0, 0.5, 50.0, 90.0, 1.0, 1.5, 2.0]);
        assert_eq!(alarms(&mut band, 1, &values), [0, 2, 3, 4, 6], "from the first reading on");
    }

    #[test]
    fn with_hysteresis_it_has_to_come_back_further_than_it_went() {
        let mut high = thresholds(Some(80.0), None, 1.0);
        let values = floats(&[80.5, 79.5, 80.5, 79.1, 79.0, 79.9, 80.5]);
        assert_eq!(alarms(&mut high, 1, &values), [0, 4, 6]);
        let mut low = thresholds(None, Some(2.0), 0.5);
        assert_eq!(alarms(&mut low, 1, &floats(&[1.9, 2.2, 1.9, 2.5])), [0, 3]);
    }

    #[test]
    fn a_change_is_held_against_the_last_alarm_not_the_reading_before() {
        let when = When::Number { above: None, below: None, hysteresis: 0.0, change: Some(5.0) };
        let values = floats(&[10.0, 12.0, 14.0, 15.0, 18.0, 11.0, 10.0]);
        assert_eq!(alarms(&mut watch("level", when), 1, &values), [3, 6]);
    }

    #[test]
    fn both_edges_of_a_boolean_are_alarms() {
        let values = [false, false, true, true, false].map(Value::Bool);
        assert_eq!(alarms(&mut watch("door", When::Is(true)), 2, &values), [2, 4]);
        assert_eq!(alarms(&mut watch("door", When::Is(false)), 2, &values), [0, 2, 4]);
        let numbers = [0, 1, 7, 0].map(Value::Int);
        assert_eq!(alarms(&mut watch("door", When::Is(true)), 2, &numbers), [1, 3]);
    }

    #[test]
    fn what_is_no_number_neither_raises_an_alarm_nor_ends_one() {
        let odd = [
            Value::F64(90.0),
            Value::F64(f64::NAN),
            Value::Text("high".into()),
            Value::Bool(false),
            Value::F64(f64::INFINITY),
            Value::Int(79),
        ];
        assert_eq!(alarms(&mut thresholds(Some(80.0), None, 0.0), 1, &odd), [0, 5]);
        let mut level = thresholds(Some(80.0), None, 0.0);
        assert!(alarms(&mut level, 0, &odd).is_empty(), "another channel");
        assert!(alarms(&mut watch("none", When::Is(true)), 0, &odd).is_empty(), "no such channel");
    }

    #[test]
    fn a_rule_for_one_sensor_leaves_the_others_alone_and_each_has_its_own_state() {
        let when = When::Is(true);
        let rule = Rule { sensor: Some("a".into()), channel: "door".into(), when: when.clone() };
        let mut one = Watch::new(vec![rule]);
        let open = [(2, Value::Bool(true))];
        assert!(one.is_alarm(&sensor("a"), &open, 0) && !one.is_alarm(&sensor("b"), &open, 0));
        let mut all = watch("door", when);
        assert!(all.is_alarm(&sensor("a"), &open, 0) && all.is_alarm(&sensor("b"), &open, 0));
        assert!(!all.is_alarm(&sensor("a"), &open, 0) && !all.is_alarm(&sensor("b"), &open, 0));
    }

    #[test]
    fn a_sensor_that_describes_itself_anew_is_still_watched() {
        let mut door = watch("door", When::Is(true));
        assert!(door.is_alarm(&sensor("a"), &[(2, Value::Bool(true))], 0));
        let mut moved = sensor("a");
        moved.channels.rotate_right(1);
        assert!(!door.is_alarm(&moved, &[(2, Value::Bool(false))], MINUTE), "that is the level");
        assert!(door.is_alarm(&moved, &[(0, Value::Bool(false))], MINUTE));
    }

    #[test]
    fn an_input_that_flutters_is_raised_seldom_and_what_holds_in_the_end_is_raised() {
        let mut door = watch("door", When::Is(true));
        let mut raised = false;
        let mut alarms = 0;
        // A hundred edges a second for a minute; then the door stays open.
        for step in 0..12_000 {
            let is = step >= 6000 || step % 2 == 0;
            if door.is_alarm(&sensor("a"), &[(2, Value::Bool(is))], step * 10) {
                (raised, alarms) = (is, alarms + 1);
            }
        }
        assert!(raised, "open");
        assert!((5..=4 + 60 / 10 + 1).contains(&alarms), "{alarms} alarms");
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let mut door = watch("door", When::Is(true));
        for number in 0..5 * SENSORS_MAX {
            assert!(door.is_alarm(&sensor(&number.to_string()), &[(2, Value::Bool(true))], 0));
            assert!(door.states.len() <= SENSORS_MAX);
        }
    }

    proptest! {
        /// Invariants checked: alarms keep their pace for any values; once the values have rested long
        /// enough, the level that was raised is the level they are at.
        #[test]
        fn alarms_keep_their_pace_and_the_last_word_is_true(
            values in prop::collection::vec((any::<f64>(), 0i64..3000), 1..200),
            above in -10.0..10.0f64,
            hysteresis in 0.0..5.0f64,
            rest in -20.0..20.0f64,
        ) {
            let mut watch = thresholds(Some(above), None, hysteresis);
            let (mut now_ms, mut raised, mut at) = (0, false, Vec::new());
            let rests = [(rest, 60_000), (rest, 60_000), (rest, 60_000)];
            for (value, wait) in values.into_iter().chain(rests) {
                now_ms += wait;
                if watch.is_alarm(&sensor("a"), &[(1, Value::F64(value))], now_ms) {
                    raised = !raised;
                    at.push(now_ms);
                }
            }
            for pair in at.windows(usize::try_from(BURST).expect("few") + 1) {
                prop_assert!(pair[pair.len() - 1] - pair[0] >= EVERY_MS);
            }
            if rest > above {
                prop_assert!(raised);
            } else if rest <= above - hysteresis {
                prop_assert!(!raised);
            }
        }
    }
}
