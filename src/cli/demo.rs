//! `outstation demo`: runs a whole site on one machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::CliError;
use super::runtime::{Signals, runtime};
use crate::console::{complain, say};
use crate::demo::{self, DATABASES, Glimpse, Script};
use crate::telemetry::{self, LogFilter, LogFormat};

/// The longest time after the sensors have stopped in which the collector may come back. The drain waits
/// longer than this.
const LATE_RETURN_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// How long the sensors send, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many sensors there are; every other one sends frames, the rest lines.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    sensors: u16,
    /// Readings per second and sensor.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    rate: u32,
    /// When the collector is away, in seconds from the start: START..END, or `none`
    /// [default: the middle third].
    #[arg(long, value_name = "START..END")]
    outage: Option<String>,
    /// Address on which the local port listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Keep the log and the collector's database in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(super) fn run(args: &DemoArgs) -> Result<(), CliError> {
    let outage = outage(args)?;
    let _logging = telemetry::init(&LogFilter::warnings(), LogFormat::Text)?;
    let temporary = Temporary::new(args.keep.as_deref())?;
    let script = Script {
        length: Duration::from_secs(args.seconds),
        sensors: usize::from(args.sensors),
        rate: args.rate,
        outage,
        listen: args.listen,
        folder: temporary.path.clone(),
    };
    let runtime = runtime()?;
    let played = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let started = |address: Option<SocketAddr>| {
            if let Some(address) = address {
                complain(&format!("local port: http://{address}/status"));
            }
        };
        Ok::<_, CliError>(demo::play(&script, started, glance, signals.next()).await?)
    });
    runtime.shutdown_background();
    let outcome = played?;
    if args.json {
        complain(&outcome.to_string());
        say(&serde_json::to_string(&outcome).unwrap_or_default());
    } else {
        say(&outcome.to_string());
    }
    if outcome.balanced { Ok(()) } else { Err(CliError::Unbalanced) }
}

fn glance(glimpse: Glimpse) {
    let Glimpse { elapsed, produced, rate, delivered, pending, breaker, collector_up } = glimpse;
    let collector = if collector_up { "up" } else { "AWAY" };
    complain(&format!(
        "{:>4} s  {rate:>7}/s  produced {produced:>9}  delivered {delivered:>9}  pending {pending:>8}  \
         breaker {breaker:<9}  collector {collector}",
        elapsed.as_secs()
    ));
}

/// The time of the outage as `START..END`; `None` for `none`. The default is the middle third of the demo.
fn outage(args: &DemoArgs) -> Result<Option<(Duration, Duration)>, CliError> {
    let Some(text) = &args.outage else {
        let length = Duration::from_secs(args.seconds);
        return Ok(Some((length / 3, length * 2 / 3)));
    };
    if text == "none" {
        return Ok(None);
    }
    let seconds = |text: &str| {
        text.trim().parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    };
    let parts =
        text.split_once("..").and_then(|(start, end)| Some((seconds(start)?, seconds(end)?)));
    let length = Duration::from_secs(args.seconds);
    let within = |(start, end): &(Duration, Duration)| {
        start < end && *start < length && *end <= length + LATE_RETURN_MAX
    };
    let ordered = parts.filter(within);
    ordered.map(Some).ok_or_else(|| {
        let late = LATE_RETURN_MAX.as_secs();
        CliError::Usage(format!(
            "--outage `{text}` is neither `none` nor START..END in seconds with START before END, \
             within the {} s of the demo and at most {late} s beyond",
            args.seconds
        ))
    })
}

/// The folder of the demo, which is removed in the end unless it is to be kept.
struct Temporary {
    path: PathBuf,
    keep: bool,
}

impl Temporary {
    fn new(keep: Option<&Path>) -> Result<Self, CliError> {
        let fresh = || {
            let name = format!("outstation-demo-{:016x}", crate::clock::Clock::entropy());
            std::env::temp_dir().join(name)
        };
        let path = keep.map_or_else(fresh, Path::to_owned);
        if let Some(old) = DATABASES.iter().find(|name| path.join(name).exists()) {
            let path = path.display();
            return Err(CliError::Usage(format!(
                "`{path}` holds the `{old}` of an earlier demo; name another folder"
            )));
        }
        let create =
            |source| CliError::File { operation: "create the folder", path: path.clone(), source };
        std::fs::create_dir_all(&path).map_err(create)?;
        Ok(Self { path, keep: keep.is_some() })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.keep {
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}
