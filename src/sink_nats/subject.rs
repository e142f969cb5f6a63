//! Subjects: where in a NATS server a reading or an event goes.

use std::collections::HashMap;

use crate::domain::reading::Sensor;

/// Stands for port and sensor in the subject of what happened to the device.
const OF_EVENTS: &str = "_events";

/// The subjects of one device: a template such as `telemetry.{device}.{port}.{sensor}`, and what it
/// came to for the sensors so far.
#[derive(Debug)]
pub(super) struct Subjects<'a> {
    template: &'a str,
    device: &'a str,
    known: HashMap<u32, String>,
}

impl<'a> Subjects<'a> {
    pub(super) fn new(template: &'a str, device: &'a str) -> Self {
        Self { template, device, known: HashMap::new() }
    }

    /// Of the readings of a sensor, by its number.
    pub(super) fn of_sensor(&mut self, number: u32, sensor: &Sensor) -> &str {
        let (template, device) = (self.template, self.device);
        self.known
            .entry(number)
            .or_insert_with(|| fill(template, device, &sensor.port, &sensor.name))
    }

    /// Of what happened to the device. It has as many tokens as those of readings have: whatever
    /// stream takes the one takes the other, unless it names ports or sensors.
    pub(super) fn of_events(&self) -> String {
        fill(self.template, self.device, OF_EVENTS, OF_EVENTS)
    }

    /// Matches all of them.
    pub(super) fn all(&self) -> String {
        let token = |token: &str| match token.contains("{port}") || token.contains("{sensor}") {
            true => "*".to_owned(),
            false => fill(token, self.device, "", ""),
        };
        self.template.split('.').map(token).collect::<Vec<_>>().join(".")
    }
}

fn fill(template: &str, device: &str, port: &str, sensor: &str) -> String {
    template
        .replace("{device}", &token(device))
        .replace("{port}", &token(port))
        .replace("{sensor}", &token(sensor))
}

/// A name as a token: what would end it, match others or break a line becomes `_`. The message says
/// the name as it is. Braces go too, or a sensor called `{device}` would be filled in.
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
        let mut subjects = Subjects::new("plant.{device}.{port}-{sensor}.raw", "pump-7");
        assert_eq!(subjects.of_sensor(0, &sensor("mcu", "bme")), "plant.pump-7.mcu-bme.raw");
        assert_eq!(subjects.of_sensor(1, &sensor("mcu", "imu")), "plant.pump-7.mcu-imu.raw");
        assert_eq!(subjects.of_events(), "plant.pump-7._events-_events.raw");
        assert_eq!(subjects.all(), "plant.pump-7.*.raw");
        let plain = Subjects::new("telemetry.{device}", "pump-7");
        assert_eq!([plain.of_events(), plain.all()], ["telemetry.pump-7", "telemetry.pump-7"]);
    }

    #[test]
    fn a_name_never_adds_a_token_a_wildcard_or_a_line() {
        let mut subjects = Subjects::new("t.{device}.{port}.{sensor}", "plant.7");
        let odd = sensor("tty > 1*", "a.b\r\nPUB x 1\tü{device}");
        assert_eq!(subjects.of_sensor(0, &odd), "t.plant_7.tty___1_.a_b__PUB_x_1_ü_device_");
    }
}
