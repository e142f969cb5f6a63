//! A topic as it is configured: text with placeholders, such as `plant/{device}/{sensor}`.

use super::kind::Kind;

/// Longest as written. With every name in it filled in it stays far below the 65,535 bytes of the
/// protocol.
const LENGTH_MAX: usize = 256;

/// Where messages go. Made by `topic` alone, so that it always can be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    written: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Device,
    Port,
    Sensor,
}

/// What a topic is filled in with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    pub device: &'a str,
    pub port: &'a str,
    pub sensor: &'a str,
}

impl Topic {
    pub fn written(&self) -> &str {
        &self.written
    }

    pub fn fill(&self, names: Names<'_>) -> String {
        let mut topic = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => topic.push_str(text),
                Part::Device => push_level(&mut topic, names.device),
                Part::Port => push_level(&mut topic, names.port),
                Part::Sensor => push_level(&mut topic, names.sensor),
            }
        }
        topic
    }

    /// One level below `topic`.
    pub fn below(topic: &str, name: &str) -> String {
        let mut below = format!("{topic}/");
        push_level(&mut below, name);
        below
    }

    fn parse(text: &str, known: &[&str]) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}')?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match name {
                name if !known.contains(&name) => return None,
                "device" => Part::Device,
                "port" => Part::Port,
                _ => Part::Sensor,
            });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        let plain = |c: char| !c.is_control() && !matches!(c, '+' | '#' | '{' | '}');
        let plain = parts.iter().all(|part| match part {
            Part::Text(text) => text.chars().all(plain),
            _ => true,
        });
        // Topics that begin with `$` are the broker's own.
        let good = plain && (1..=LENGTH_MAX).contains(&text.len()) && !text.starts_with('$');
        good.then(|| Self { written: text.to_owned(), parts })
    }

    /// For defaults.
    pub(super) fn built_in(text: &str) -> Self {
        Self::parse(text, ALL).expect("a default is a topic")
    }
}

/// A sensor may be called anything, but one name is one level: what would make it two, a wildcard or
/// the broker's own becomes `_`.
fn push_level(topic: &mut String, name: &str) {
    for c in name.chars() {
        let reserved = matches!(c, '/' | '+' | '#') || (c == '$' && topic.is_empty());
        topic.push(if reserved || c.is_control() { '_' } else { c });
    }
}

/// The placeholders of what concerns a reading.
pub(super) const ALL: &[&str] = &["device", "port", "sensor"];
/// And of what concerns the device.
pub(super) const DEVICE: &[&str] = &["device"];

pub(super) fn topic(known: &'static [&'static str]) -> Kind<Topic> {
    let names: Vec<_> = known.iter().map(|name| format!("{{{name}}}")).collect();
    let allowed = format!(
        "a topic of 1 to {LENGTH_MAX} bytes without + and #, not beginning with $; placeholders: {}",
        names.join(", ")
    );
    Kind::text(allowed, |text| Topic::parse(text, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_names_stay_one_level_each() {
        let names = Names { device: "pump-7", port: "mcu", sensor: "a/b+c#d\n" };
        let fill = |text: &str| Topic::parse(text, ALL).expect("a topic").fill(names);
        assert_eq!(fill("t/{device}/{port}/{sensor}"), "t/pump-7/mcu/a_b_c_d_");
        assert_eq!(fill("{port}{port}/x"), "mcumcu/x");
        assert_eq!(fill("plain"), "plain");
        assert_eq!(Topic::below("t", "rpm/max"), "t/rpm_max");
        let own = Names { sensor: "$SYS", ..names };
        let first = Topic::parse("{sensor}/{sensor}", ALL).expect("a topic");
        assert_eq!(first.fill(own), "_SYS/$SYS");
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        let long = "x".repeat(LENGTH_MAX + 1);
        let bad = ["", "t/#", "t/+/x", "t/{sensors}", "t/{sensor", "t/sensor}", "t/{}", "$SYS/x"];
        for text in bad.into_iter().chain(["t\0", "t\n", &long, "{{device}}"]) {
            assert_eq!(Topic::parse(text, ALL), None, "{text:?}");
        }
        assert_eq!(Topic::parse("{device}/{sensor}", DEVICE), None);
        assert!(Topic::parse(&long[1..], ALL).is_some());
    }
}
