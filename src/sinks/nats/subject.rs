//! Subjects: where in a NATS server a reading or an event goes.

use std::collections::HashMap;

use outstation_codec::Sensor;

use crate::domain::model::template::{Template, TemplateNames};

/// Stands for port and sensor in the subject of what happened to the device.
const OF_EVENTS: &str = "_events";
/// Matches any token. None of ours has one in it.
const ANY: &str = "*";

/// The subjects of one device, by a template such as `telemetry.{device}.{port}.{sensor}`, and what it
/// came to for the sensors so far.
#[derive(Debug)]
pub(super) struct Subjects<'a> {
    template: &'a Template,
    /// As a token.
    device: String,
    known: HashMap<u32, String>,
}

impl<'a> Subjects<'a> {
    pub(super) fn new(template: &'a Template, device: &str) -> Self {
        Self { template, device: token(device), known: HashMap::new() }
    }

    /// Of the readings of a sensor, by its number.
    pub(super) fn of_sensor(&mut self, number: u32, sensor: &Sensor) -> &str {
        let (template, device) = (self.template, &self.device);
        self.known.entry(number).or_insert_with(|| {
            let (port, sensor) = (token(&sensor.port), token(&sensor.name));
            template.fill(TemplateNames { device, port: &port, sensor: &sensor })
        })
    }

    /// Of what happened to the device. It has as many tokens as those of readings have: whatever
    /// stream takes the one takes the other, unless it names ports or sensors.
    pub(super) fn of_events(&self) -> String {
        self.with(OF_EVENTS)
    }

    /// Matches all of them. A wildcard stands for a whole token.
    pub(super) fn all(&self) -> String {
        let filled = self.with(ANY);
        let token = |token| if str::contains(token, ANY) { ANY } else { token };
        filled.split('.').map(token).collect::<Vec<_>>().join(".")
    }

    /// With the same for port and sensor.
    fn with(&self, name: &str) -> String {
        self.template.fill(TemplateNames { device: &self.device, port: name, sensor: name })
    }
}

/// A name as a token: what would end it, match others or break a line becomes `_`, and braces too, so
/// that no subject looks like a template. The message says the name as it is.
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
