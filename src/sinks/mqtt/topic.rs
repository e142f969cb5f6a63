//! Topics: where at a broker a reading or an event goes.

use crate::domain::model::template::{Template, TemplateNames};

/// A sensor may be called anything, but one name is one level.
pub(super) fn topic(template: &Template, names: TemplateNames<'_>) -> String {
    let (device, port) = (level(names.device), level(names.port));
    let names = TemplateNames { device: &device, port: &port, sensor: &level(names.sensor) };
    let topic = template.fill(names);
    match topic.strip_prefix('$') {
        // The broker's own begin like this.
        Some(rest) => format!("_{rest}"),
        None => topic,
    }
}

/// One level below `topic`.
pub(super) fn below(topic: &str, name: &str) -> String {
    format!("{topic}/{}", level(name))
}

/// What would make a name two levels, or a wildcard, becomes `_`.
fn level(name: &str) -> String {
    name.replace(|c: char| matches!(c, '/' | '+' | '#') || c.is_control(), "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_names_stay_one_level_each() {
        let names = TemplateNames { device: "pump-7", port: "mcu", sensor: "a/b+c#d\n" };
        let fill = |text| topic(&Template::built_in(text), names);
        assert_eq!(fill("t/{device}/{port}/{sensor}"), "t/pump-7/mcu/a_b_c_d_");
        assert_eq!(fill("{port}{port}/x"), "mcumcu/x");
        assert_eq!(fill("plain"), "plain");
        assert_eq!(below("t", "rpm/max"), "t/rpm_max");
        let own = TemplateNames { sensor: "$SYS", ..names };
        assert_eq!(topic(&Template::built_in("{sensor}/{sensor}"), own), "_SYS/$SYS");
    }
}
