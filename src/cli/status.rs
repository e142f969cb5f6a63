//! `outstation status`: shows the status of a running daemon to a person or a script.

use std::path::PathBuf;

use hyper::StatusCode;
use serde_json::Value;

use super::runtime::runtime;
use super::{CliError, StatusError};
use crate::config::TlsFiles;
use crate::console::say;
use crate::http::fetch::{self, Proof};
use crate::telemetry::harmless;

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// URL of the daemon's local port.
    #[arg(long, default_value = "http://127.0.0.1:9437")]
    url: String,
    /// Print the daemon's JSON unchanged.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    proof: ProofArgs,
}

/// The proofs of identity for a local port that asks for them.
#[derive(Debug, clap::Args)]
struct ProofArgs {
    /// Certificates in PEM of the authority to trust with https; without it, Mozilla's.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// Certificate in PEM to show if the port has `http.client_ca_file`.
    #[arg(long, requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// Private key of that certificate.
    #[arg(long, requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// Name to log in with if the port has `http.users_file`.
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// File that holds the password; no other user may be able to read it.
    #[arg(long, requires = "username")]
    password_file: Option<PathBuf>,
}

impl ProofArgs {
    fn proof(&self) -> Proof {
        let tls = TlsFiles {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
        };
        Proof { tls, login: self.username.clone().zip(self.password_file.clone()) }
    }
}

pub(super) fn run(args: &StatusArgs) -> Result<(), CliError> {
    let status = runtime()?.block_on(fetch(&args.url, &args.proof.proof()))?;
    if args.json {
        say(&status.to_string());
    } else {
        lines(&status).iter().for_each(|line| say(line));
    }
    Ok(())
}

async fn fetch(url: &str, proof: &Proof) -> Result<Value, StatusError> {
    let scheme = if url.contains("://") { "" } else { "http://" };
    let url = format!("{scheme}{}/status", url.trim_end_matches('/').trim_end_matches("/status"));
    let (status, body) = fetch::get(&url, proof).await?;
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        let said = String::from_utf8_lossy(&body);
        let said = harmless(said.lines().next().unwrap_or_default(), "");
        return Err(StatusError::Refused { url, status, said });
    }
    if !status.is_success() {
        return Err(StatusError::Answer { url, status });
    }
    serde_json::from_slice(&body).map_err(|source| StatusError::Json { url, source })
}

/// The status as lines for a person: device, ports, log, sinks, ledger.
fn lines(status: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{}  outstation {}  up {}",
        text(&status["device"]),
        text(&status["version"]),
        duration(&status["uptime_s"])
    )];
    lines.extend(warnings(status));
    lines.extend(rows(&status["ports"]).map(port));
    lines.push(log(&status["log"], &status["clock"]));
    lines.extend(rows(&status["sinks"]).flat_map(sink_and_endpoints));
    lines.extend(ledger(&status["ledger"]));
    lines
}

/// The conditions that need a person.
fn warnings(status: &Value) -> Vec<String> {
    let stuck: Vec<String> = rows(&status["stuck"]).map(text).collect();
    let stuck = (!stuck.is_empty()).then(|| format!("STUCK: {}", stuck.join(", ")));
    let refused = &status["reload_refused_age_s"];
    let refused = (!refused.is_null())
        .then(|| format!("RELOAD REFUSED {} ago: the journal says why", duration(refused)));
    stuck.into_iter().chain(refused).collect()
}

fn port(port: &Value) -> String {
    let (name, state) = (text(&port["name"]), text(&port["state"]));
    let faults = counts(&port["faults"]);
    let reason = if port["reason"].is_null() {
        String::new()
    } else {
        format!(": {}", text(&port["reason"]))
    };
    let last = &port["last_reading_age_s"];
    let last =
        if last.is_null() { String::new() } else { format!(", last {} ago", duration(last)) };
    let waiting = match port["waiting_frames"].as_u64() {
        None | Some(0) => String::new(),
        Some(count) => format!(", {count} frames wait until the sensor describes itself"),
    };
    format!(
        "port {name:<12} {state}{reason}  {} readings{last}{waiting}{}",
        text(&port["accepted"]),
        if faults.is_empty() { String::new() } else { format!(", faults: {faults}") },
    )
}

fn log(log: &Value, clock: &Value) -> String {
    let state = if log["accepting"] == true {
        "accepting".to_owned()
    } else {
        format!("TROUBLE: {}", text(&log["trouble"]))
    };
    let clock = if clock["set"] == true { "" } else { "  CLOCK NOT SET" };
    format!(
        "log  {:<12} {state}  {} bytes, head {}{clock}",
        text(&log["path"]),
        text(&log["bytes"]),
        text(&log["head"])
    )
}

fn sink(sink: &Value) -> String {
    let last = &sink["last_delivery_age_s"];
    let last =
        if last.is_null() { String::new() } else { format!(", last {} ago", duration(last)) };
    let events = match sink["pending_events"].as_u64() {
        None | Some(0) => String::new(),
        Some(pending) => format!(", {pending} events pending"),
    };
    let quarantined = match sink["quarantined"].as_u64() {
        None | Some(0) => String::new(),
        Some(count) => format!(", {count} refused (`outstation quarantine list`)"),
    };
    let (cause, retry) = (cause(sink), retry(sink));
    let error = if sink["last_error"].is_null() {
        String::new()
    } else {
        format!("  last error: {}", text(&sink["last_error"]))
    };
    format!(
        "sink {:<12} breaker {}{cause}  {} delivered, {} pending{quarantined}{events}{last}{retry}{error}",
        text(&sink["name"]),
        text(&sink["breaker"]),
        text(&sink["delivered"]),
        text(&sink["pending"]),
    )
}

/// The lines of a sink: a line for each endpoint if there are several, or a line that says there is none.
fn sink_and_endpoints(of: &Value) -> Vec<String> {
    let endpoints: Vec<&Value> = rows(&of["endpoints"]).collect();
    let mut lines = vec![sink(of)];
    match endpoints.len() {
        0 => lines.push("     no endpoint is known".to_owned()),
        1 => {}
        _ => lines.extend(endpoints.into_iter().map(endpoint)),
    }
    lines.extend(budget(of));
    lines
}

fn endpoint(endpoint: &Value) -> String {
    let (cause, retry) = (cause(endpoint), retry(endpoint));
    format!(
        "     {} {}{cause}, {} of {} requests failed{retry}",
        text(&endpoint["url"]),
        text(&endpoint["breaker"]),
        text(&endpoint["failures"]),
        text(&endpoint["requests"]),
    )
}

/// The reason why the breaker of a sink or endpoint is not closed.
fn cause(of: &Value) -> String {
    match &of["cause"] {
        Value::Null => String::new(),
        cause => format!(" ({})", text(cause)),
    }
}

/// The time until a sink or endpoint gets its next request, if its breaker waits.
fn retry(of: &Value) -> String {
    match &of["retry_in_s"] {
        Value::Null => String::new(),
        retry => format!(", asked again in {}", duration(retry)),
    }
}

/// The state of the sink's budget, or the reason why only alarms are sent.
fn budget(sink: &Value) -> Option<String> {
    let held = match sink["held_back"].as_str() {
        Some("budget_spent") => "ONLY ALARMS LEAVE: the budget is spent",
        Some(_) => "only alarms leave: quiet hours",
        None => "",
    };
    let budget = &sink["budget"];
    let name = text(&sink["name"]);
    if budget.is_null() {
        return (!held.is_empty()).then(|| format!("     {name:<12} {held}"));
    }
    let mut line = format!(
        "     {name:<12} budget of this {}: {} of {} bytes spent, {} left for {}, forecast {}",
        text(&budget["period"]),
        text(&budget["spent"]),
        text(&budget["bytes"]),
        text(&budget["remaining"]),
        duration(&budget["ends_in_s"]),
        text(&budget["forecast"]),
    );
    if !held.is_empty() {
        line.push_str(&format!("  {held}"));
    }
    Some(line)
}

fn ledger(ledger: &Value) -> Vec<String> {
    let books = ["accepted", "stored", "delivered", "pending", "quarantined"];
    let line: Vec<String> =
        books.iter().map(|name| format!("{name} {}", text(&ledger[name]))).collect();
    let balanced = if ledger["balanced"] == true { "balanced" } else { "NOT BALANCED" };
    vec![format!("ledger {}  lost: {}  {balanced}", line.join(", "), counts(&ledger["lost"]))]
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn counts(value: &Value) -> String {
    let counts = value.as_object().into_iter().flatten();
    let texts: Vec<String> =
        counts.map(|(name, count)| format!("{name} {}", text(count))).collect();
    texts.join(", ")
}

fn text(value: &Value) -> String {
    match value {
        // The program that answers at another `--url` may be hostile.
        Value::String(text) => harmless(text, ""),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn duration(value: &Value) -> String {
    let Some(seconds) = value.as_f64().filter(|seconds| *seconds >= 0.0) else {
        return "-".to_owned();
    };
    let whole = std::time::Duration::try_from_secs_f64(seconds.round());
    whole.map_or_else(|_| "-".to_owned(), |whole| humantime::format_duration(whole).to_string())
}
