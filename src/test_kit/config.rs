//! Configurations, and ports as they describe them.

use std::path::Path;

use crate::config::{Config, ConfigError, Port};
use crate::protocols::Decoder;

pub(crate) fn parse(text: &str) -> Config {
    Config::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// Every mistake in a text that has some.
pub(crate) fn problems(text: &str) -> Vec<String> {
    match Config::parse(text, "test.toml") {
        Err(ConfigError::Invalid { problems, .. }) => {
            problems.iter().map(ToString::to_string).collect()
        }
        other => panic!("should be invalid: {other:?}"),
    }
}

/// A port `p` at this path whose other keys are these.
pub(crate) fn port(path: &Path, keys: &str) -> Port {
    parse(&format!("[[port]]\nname = \"p\"\npath = {path:?}\n{keys}\n")).ports.remove(0)
}

/// The decoder of such a port.
pub(crate) fn decoder(keys: &str) -> Decoder {
    Decoder::new("p", &port(Path::new("/dev/p"), keys).framing)
}
