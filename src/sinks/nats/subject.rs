//! Makes the NATS subjects of readings and events.

use std::collections::HashMap;

use outstation_codec::Sensor;

use crate::domain::model::template::{Template, TemplateNames};

/// The name in place of port and sensor in the subject of events.
const OF_EVENTS: &str = "_events";
/// The wildcard for one token. Our own subjects contain none.
const ANY: &str = "*";

/// The subjects of one device, made from a template such as `telemetry.{device}.{port}.{sensor}`. The
/// subjects of sensors are kept once they are made.
#[derive(Debug)]
pub(super) struct Subjects<'a> {
    template: &'a Template,
    /// The device id as a token.
    device: String,
    known: HashMap<u32, String>,
}

impl<'a> Subjects<'a> {
    pub(super) fn new(template: &'a Template, device: &str) -> Self {
        Self { template, device: token(device), known: HashMap::new() }
    }

    /// The subject of a sensor's readings. `number` is the sensor's number in the batch.
    pub(super) fn of_sensor(&mut self, number: u32, sensor: &Sensor) -> &str {
        let (template, device) = (self.template, &self.device);
        self.known.entry(number).or_insert_with(|| {
            let (port, sensor) = (token(&sensor.port), token(&sensor.name));
            template.fill(TemplateNames { device, port: &port, sensor: &sensor })
        })
    }

    /// The subject of events. It has as many tokens as the subjects of readings, so a stream that has the
    /// one also has the other, unless its subjects name ports or sensors.
    pub(super) fn of_events(&self) -> String {
        self.with(OF_EVENTS)
    }

    /// A pattern that matches all these subjects. A token that contains a wildcard becomes a wildcard,
    /// because NATS allows it for a whole token only.
    pub(super) fn all(&self) -> String {
        let filled = self.with(ANY);
        let token = |token| if str::contains(token, ANY) { ANY } else { token };
        filled.split('.').map(token).collect::<Vec<_>>().join(".")
    }

    /// Fills in the same name for port and sensor.
    fn with(&self, name: &str) -> String {
        self.template.fill(TemplateNames { device: &self.device, port: name, sensor: name })
    }
}

/// Makes a token of a name. Characters that would end a token, match others or break a line become `_`; so
/// do braces, so that no subject looks like a template. The message itself contains the name unchanged.
fn token(name: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"*>.{}".contains(c);
    name.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor(port: &str, name: &str) -> Sensor {
        Sensor { port: port.into(), name: name.into(), channels: vec![] }
    }

    #[test]
    fn a_subject_is_made_of_device_port_and_sensor() {
        let template = Template::built_in("plant.{device}.{port}-{sensor}.raw");
        let mut subjects = Subjects::new(&template, "pump-7");
        assert_eq!(subjects.of_sensor(0, &sensor("mcu", "bme")), "plant.pump-7.mcu-bme.raw");
        assert_eq!(subjects.of_sensor(1, &sensor("mcu", "imu")), "plant.pump-7.mcu-imu.raw");
        assert_eq!(subjects.of_events(), "plant.pump-7._events-_events.raw");
        assert_eq!(subjects.all(), "plant.pump-7.*.raw");
        let template = Template::built_in("telemetry.{device}");
        let plain = Subjects::new(&template, "pump-7");
        assert_eq!([plain.of_events(), plain.all()], ["telemetry.pump-7", "telemetry.pump-7"]);
    }

    #[test]
    fn a_name_never_adds_a_token_a_wildcard_or_a_line() {
        let template = Template::built_in("t.{device}.{port}.{sensor}");
        let mut subjects = Subjects::new(&template, "plant.7");
        let odd = sensor("tty > 1*", "a.b\r\nPUB x 1\tü{device}");
        assert_eq!(subjects.of_sensor(0, &odd), "t.plant_7.tty___1_.a_b__PUB_x_1_ü_device_");
    }
}
