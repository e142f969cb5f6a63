//! What a configuration says that is legal but hardly meant. Nothing is refused for it.

use std::net::IpAddr;

use super::{Config, HttpSink, Sink, SinkKind};

pub(super) fn of(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.ports.is_empty() {
        warnings.push("there is no [[port]]: nothing will be read".to_owned());
    }
    if config.sinks.is_empty() {
        warnings.push("there is no [[sink]]: readings are stored but never delivered".to_owned());
    }
    if config.log.path.is_relative() {
        let path = config.log.path.display();
        warnings.push(format!(
            "log.path `{path}` is relative: started from another directory, the daemon would not \
             find its backlog"
        ));
    }
    config.sinks.iter().for_each(|sink| of_sink(sink, &mut warnings));
    warnings
}

fn of_sink(sink: &Sink, warnings: &mut Vec<String>) {
    let (SinkKind::Http(http), name) = (&sink.kind, &sink.name);
    if http.url.scheme_str() == Some("https") {
        return;
    }
    if http.token_file.is_some() && !is_loopback(http) {
        let host = http.url.host().unwrap_or_default();
        warnings.push(format!("sink `{name}` sends its token to `{host}` unencrypted: use https"));
    }
    if http.ca_file.is_some() {
        warnings.push(format!("sink `{name}` has a ca_file but an http URL: it has no effect"));
    }
}

fn is_loopback(sink: &HttpSink) -> bool {
    let host = sink.url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
