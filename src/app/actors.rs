//! How the supervisor knows the actors of each part.

/// The actor of the local port.
pub(super) const HTTP: &str = "http";

/// The actor of a port.
pub(super) fn port_actor(name: &str) -> String {
    format!("port {name}")
}

/// The actors of a sink, of which it may have only the first.
pub(super) fn sink_actors(name: &str) -> [String; 2] {
    [format!("sink {name}"), format!("endpoints {name}")]
}
