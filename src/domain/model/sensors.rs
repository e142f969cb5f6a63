//! The channel registry: all sensors that this device has ever seen, under small stable numbers.
//!
//! Segments name sensors and channels by number. The registry says what the numbers mean and travels with
//! each batch. It only grows, and a number never changes its meaning.

use std::collections::HashMap;

use outstation_codec::{CHANNELS_MAX, Channel, Sensor};
use serde::{Deserialize, Serialize};

/// The aggregate of the `registry` stream: the sensors, indexed by their number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    sensors: Vec<Sensor>,
    #[serde(skip)]
    ids: HashMap<(String, String), u32>,
}

/// Where the values of a sensor go: the sensor's number, and for each of its channels the channel in the
/// registry. A channel is `None` if the sensor already has `CHANNELS_MAX` channels: noise on a line without
/// checksums must not add names without bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub id: u32,
    pub channels: Vec<Option<u16>>,
}

impl Registry {
    pub fn sensor(&self, id: u32) -> Option<&Sensor> {
        self.sensors.get(id as usize)
    }

    pub fn len(&self) -> usize {
        self.sensors.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sensors.is_empty()
    }

    /// Replays the event that describes sensor `id`. Lower numbers whose description a salvaged log has
    /// lost get no name, so that nothing maps to them.
    pub fn apply(&mut self, id: u32, sensor: Sensor) {
        let at = id as usize;
        if self.sensors.len() <= at {
            self.sensors.resize(at + 1, Sensor::default());
        }
        self.ids.insert((sensor.port.clone(), sensor.name.clone()), id);
        self.sensors[at] = sensor;
    }

    /// Rebuilds the lookup table, which a snapshot does not carry.
    pub fn reindex(&mut self) {
        let named = self.sensors.iter().zip(0..).filter(|(sensor, _)| !sensor.port.is_empty());
        self.ids =
            named.map(|(sensor, id)| ((sensor.port.clone(), sensor.name.clone()), id)).collect();
    }

    /// Returns the mapping of a sensor, and its new description if this reading adds to what is known.
    pub fn locate(&self, seen: &Sensor) -> (Mapping, Option<Sensor>) {
        let key = (seen.port.clone(), seen.name.clone());
        let Some(&id) = self.ids.get(&key) else {
            let id = u32::try_from(self.sensors.len()).expect("sensors are bounded per port");
            let channels = (0..).take(seen.channels.len()).map(Some).collect();
            return (Mapping { id, channels }, Some(seen.clone()));
        };
        let known = &self.sensors[id as usize];
        let mut merged: Option<Sensor> = None;
        let channels = seen.channels.iter().enumerate().map(|(hint, channel)| {
            let now = &merged.as_ref().unwrap_or(known).channels;
            let place = place_of(now, channel, hint);
            let described = place.map(|at| combined(&now[at], channel));
            match (place, described) {
                (Some(at), Some(described)) if described != now[at] => {
                    merged.get_or_insert_with(|| known.clone()).channels[at] = described;
                }
                (None, _) if now.len() >= CHANNELS_MAX => return None,
                (None, _) => {
                    merged.get_or_insert_with(|| known.clone()).channels.push(channel.clone())
                }
                _ => {}
            }
            let last = merged.as_ref().unwrap_or(known).channels.len() - 1;
            u16::try_from(place.unwrap_or(last)).ok()
        });
        let channels = channels.collect();
        (Mapping { id, channels }, merged)
    }
}

fn place_of(known: &[Channel], channel: &Channel, hint: usize) -> Option<usize> {
    if known.get(hint).is_some_and(|at| at.name == channel.name) {
        return Some(hint);
    }
    known.iter().position(|at| at.name == channel.name)
}

/// Combines what is known of a channel with one more reading: a known unit stays until another is stated,
/// and a type only widens, so that a line with `20` and then `20.5` does not change it back and forth.
fn combined(known: &Channel, seen: &Channel) -> Channel {
    let unit = if seen.unit.is_empty() { &known.unit } else { &seen.unit };
    Channel { name: known.name.clone(), unit: unit.clone(), kind: known.kind.max(seen.kind) }
}

#[cfg(test)]
mod tests {
    use outstation_codec::ValueType;

    use super::*;

    fn sensor(channels: &[(&str, &str, ValueType)]) -> Sensor {
        let channels = channels.iter().map(|(name, unit, kind)| Channel {
            name: (*name).into(),
            unit: (*unit).into(),
            kind: *kind,
        });
        Sensor { port: "p".into(), name: "s".into(), channels: channels.collect() }
    }

    fn learn(registry: &mut Registry, seen: &Sensor) -> (Mapping, bool) {
        let (mapping, news) = registry.locate(seen);
        let learned = news.is_some();
        if let Some(sensor) = news {
            registry.apply(mapping.id, sensor);
        }
        (mapping, learned)
    }

    #[test]
    fn a_known_sensor_teaches_nothing_and_maps_to_itself() {
        let mut registry = Registry::default();
        let seen = sensor(&[("t", "Cel", ValueType::F64), ("n", "", ValueType::Int)]);
        assert!(learn(&mut registry, &seen).1);
        let (mapping, learned) = learn(&mut registry, &seen);
        assert_eq!((mapping.id, mapping.channels, learned), (0, vec![Some(0), Some(1)], false));
    }

    #[test]
    fn channels_in_another_order_keep_their_numbers_and_new_ones_are_appended() {
        let mut registry = Registry::default();
        learn(&mut registry, &sensor(&[("t", "", ValueType::F64), ("h", "", ValueType::F64)]));
        let seen = sensor(&[
            ("p", "", ValueType::F64),
            ("h", "", ValueType::F64),
            ("t", "", ValueType::F64),
        ]);
        let (mapping, learned) = learn(&mut registry, &seen);
        assert_eq!((mapping.channels, learned), (vec![Some(2), Some(1), Some(0)], true));
    }

    #[test]
    fn a_sensor_never_has_more_channels_than_it_may_however_often_it_is_renamed() {
        let mut registry = Registry::default();
        for life in 0..4 {
            let names: Vec<String> = (0..100).map(|number| format!("{life}-{number}")).collect();
            let channels: Vec<_> =
                names.iter().map(|name| (name.as_str(), "", ValueType::Int)).collect();
            let (mapping, _) = learn(&mut registry, &sensor(&channels));
            assert_eq!(mapping.channels.contains(&None), life >= 2, "life {life}");
        }
        assert_eq!(registry.sensor(0).expect("known").channels.len(), CHANNELS_MAX);
    }

    #[test]
    fn a_type_widens_and_never_narrows() {
        let mut registry = Registry::default();
        learn(&mut registry, &sensor(&[("t", "Cel", ValueType::Int)]));
        assert!(learn(&mut registry, &sensor(&[("t", "", ValueType::F64)])).1);
        assert!(!learn(&mut registry, &sensor(&[("t", "", ValueType::Int)])).1);
        let channel = &registry.sensor(0).expect("known").channels[0];
        assert_eq!((channel.kind, channel.unit.as_str()), (ValueType::F64, "Cel"));
    }

    #[test]
    fn a_snapshot_finds_its_sensors_again() {
        let mut registry = Registry::default();
        let seen = sensor(&[("t", "", ValueType::Int)]);
        learn(&mut registry, &seen);
        let bytes = postcard::to_stdvec(&registry).expect("encodes");
        let mut back: Registry = postcard::from_bytes(&bytes).expect("decodes");
        back.reindex();
        assert_eq!(back, registry);
        assert!(!learn(&mut back, &seen).1);
    }
}
