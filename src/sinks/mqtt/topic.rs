//! Makes the topics of readings and events.

use crate::domain::model::template::{Template, TemplateNames};

/// Fills in a topic template. A sensor may have any name; here each name becomes exactly one level.
pub(super) fn topic(template: &Template, names: TemplateNames<'_>) -> String {
    let (device, port) = (level(names.device), level(names.port));
    let names = TemplateNames { device: &device, port: &port, sensor: &level(names.sensor) };
    let topic = template.fill(names);
    match topic.strip_prefix('$') {
        // Topics that begin with `$` belong to the broker.
        Some(rest) => format!("_{rest}"),
        None => topic,
    }
}

/// Appends `name` to `topic` as one level.
pub(super) fn below(topic: &str, name: &str) -> String {
    format!("{topic}/{}", level(name))
}

/// Replaces characters that would divide a name into levels, or make it a wildcard, by `_`.
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
