//! Warnings: settings that are allowed and probably not intended. A configuration is not refused for them.

use std::net::IpAddr;

use hyper::Uri;

use super::part::http::Http;
use super::part::url::{Addresses, Exposure};
use super::sink::Sink;
use super::whole::Config;
use crate::domain::policy::lanes::Order;

/// One sentence each.
pub fn warnings(config: &Config) -> Vec<String> {
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
    of_local_port(&config.http, &mut warnings);
    if config.http.announce && config.http.listen.is_none_or(|listen| listen.ip().is_loopback()) {
        warnings.push(
            "http.announce has no effect: http.listen cannot be reached from the network; \
             \"0.0.0.0:9437\" can"
                .to_owned(),
        );
    }
    config.sinks.iter().for_each(|sink| of_sink(sink, &mut warnings));
    if !config.alarms.is_empty() {
        warnings.extend(config.sinks.iter().filter_map(of_alarms_that_wait));
    }
    warnings
}

fn of_local_port(http: &Http, warnings: &mut Vec<String>) {
    let Some(listen) = http.listen.filter(|listen| !listen.ip().is_loopback()) else { return };
    let asks = http.client_ca_file.is_some();
    if http.users_file.is_none() && http.allowed_networks.is_empty() && !asks {
        warnings.push(format!(
            "http.listen `{listen}` lets in everybody who can reach this board: set \
             http.allowed_networks or http.users_file"
        ));
    }
    if http.users_file.is_some() && http.tls().is_none() {
        warnings.push(format!(
            "http.listen `{listen}` takes passwords unencrypted: set http.cert_file and http.key_file"
        ));
    }
}

/// A sink that keeps the order of the log lets no alarm overtake.
fn of_alarms_that_wait(sink: &Sink) -> Option<String> {
    let name = &sink.name;
    let (budget, quiet_hours) = (sink.pace.budget.is_some(), sink.pace.quiet_hours.is_some());
    let key = budget.then_some("budget").or(quiet_hours.then_some("quiet_hours"))?;
    (sink.pace.order == Order::AsStored).then(|| {
        format!(
            "sink `{name}` has a {key} and order = \"as_stored\", which lets no alarm overtake: its \
             alarms wait with the rest; give the alarms a sink that is live_first"
        )
    })
}

fn of_sink(sink: &Sink, warnings: &mut Vec<String>) {
    let name = &sink.name;
    let Addresses::Fixed(urls) = &sink.addresses else { return };
    let Exposure { secret, tls, schemes: [plain, encrypted] } = sink.kind.settings.exposure();
    let open: Vec<&Uri> = urls.iter().filter(|url| url.scheme_str() != Some(encrypted)).collect();
    if let Some(secret) = secret {
        for host in open.iter().filter(|url| !is_loopback(url)).filter_map(|url| url.host()) {
            warnings.push(format!(
                "sink `{name}` sends its {secret} to `{host}` unencrypted: use {encrypted}"
            ));
        }
    }
    if let Some(key) = tls.filter(|_| open.len() == urls.len()) {
        warnings.push(format!("sink `{name}` has a {key} but an {plain} URL: it has no effect"));
    }
    if let Some(doubt) = sink.kind.settings.doubts(urls) {
        warnings.push(format!("sink `{name}` {doubt}"));
    }
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
