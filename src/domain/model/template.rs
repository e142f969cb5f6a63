//! Templates for names that are made from those of a reading, such as `plant/{device}/{sensor}`.

use std::fmt;

/// Text with placeholders for the names of the device, the port and the sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Device,
    Port,
    Sensor,
}

/// The names that a template is filled in with.
#[derive(Clone, Copy, Debug, Default)]
pub struct TemplateNames<'a> {
    pub device: &'a str,
    pub port: &'a str,
    pub sensor: &'a str,
}

impl Template {
    /// Parses a default. Panics if the text is not a valid template.
    pub fn built_in(text: &'static str) -> Self {
        Self::parse(text).expect("a default is sound")
    }

    /// Returns `None` for an empty text, and if a brace is not part of `{device}`, `{port}` or `{sensor}`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let plain = rest.find(['{', '}']).unwrap_or(rest.len());
            if plain > 0 {
                pieces.push(Piece::Text(rest[..plain].to_owned()));
                rest = &rest[plain..];
                continue;
            }
            let (name, after) = rest.strip_prefix('{')?.split_once('}')?;
            pieces.push(match name {
                "device" => Piece::Device,
                "port" => Piece::Port,
                "sensor" => Piece::Sensor,
                _ => return None,
            });
            rest = after;
        }
        (!pieces.is_empty()).then_some(Self(pieces))
    }

    /// Fills in the names unchanged; the caller must escape the result if its use requires that.
    pub fn fill(&self, names: TemplateNames<'_>) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Device => names.device,
            Piece::Port => names.port,
            Piece::Sensor => names.sensor,
        });
        pieces.collect()
    }

    /// Says whether the result is the same for all sensors of a device.
    pub fn is_of_device(&self) -> bool {
        !self.0.iter().any(|piece| matches!(piece, Piece::Port | Piece::Sensor))
    }
}

/// Writes the template as it was configured.
impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = TemplateNames { device: "{device}", port: "{port}", sensor: "{sensor}" };
        formatter.write_str(&self.fill(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_filled_with_its_name_and_the_text_stays() {
        let template = Template::parse("a/{device}-{port}/{sensor}{sensor}").expect("it is sound");
        let names = TemplateNames { device: "d", port: "p", sensor: "{port}" };
        assert_eq!(template.fill(names), "a/d-p/{port}{port}");
        assert!(!template.is_of_device() && Template::built_in("{device}x").is_of_device());
        assert_eq!(template.to_string(), "a/{device}-{port}/{sensor}{sensor}");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "{", "}", "{}", "a{host}", "{device", "device}", "{{device}}", "{Device}"]
        {
            assert_eq!(Template::parse(text), None, "{text}");
        }
    }
}
