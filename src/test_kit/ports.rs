//! Ports as a configuration describes them.

use std::path::Path;

use crate::config::{Config, Port};
use crate::protocols::Decoder;

/// A port `p` at this path whose other keys are these.
pub(crate) fn port(path: &Path, keys: &str) -> Port {
    let text = format!("[[port]]\nname = \"p\"\npath = {path:?}\n{keys}\n");
    let mut config = Config::parse(&text, "a test").unwrap_or_else(|error| panic!("{error}"));
    config.ports.remove(0)
}

/// The decoder of such a port.
pub(crate) fn decoder(keys: &str) -> Decoder {
    Decoder::new("p", &port(Path::new("/dev/p"), keys).framing)
}
