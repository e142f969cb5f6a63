//! A name made from those of a reading, such as `plant/{device}/{sensor}`.

use std::fmt;

/// Text with places for the names of the device, the port and the sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Device,
    Port,
    Sensor,
}

impl Template {
    /// None if a brace is not part of `{device}`, `{port}` or `{sensor}`, or there is nothing.
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

    pub fn fill(&self, device: &str, port: &str, sensor: &str) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Device => device,
            Piece::Port => port,
            Piece::Sensor => sensor,
        });
        pieces.collect()
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.fill("{device}", "{port}", "{sensor}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_filled_with_its_name_and_the_text_stays() {
        let template = Template::parse("a/{device}-{port}/{sensor}{sensor}").expect("it is sound");
        assert_eq!(template.fill("d", "p", "{port}"), "a/d-p/{port}{port}");
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
