//! The names by which the supervisor knows the actors of each part.

/// The name of the actor that serves the local port.
pub(super) const HTTP: &str = "http";

/// The name of the actor that reads the port `name`.
pub(super) fn port_actor(name: &str) -> String {
    format!("port {name}")
}

/// The names of the actors of the sink `name`: its uploader, and the lookup of its endpoints, which runs
/// only for a sink whose addresses are discovered.
pub(super) fn sink_actors(name: &str) -> [String; 2] {
    [format!("sink {name}"), format!("endpoints {name}")]
}
