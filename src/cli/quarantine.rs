//! `outstation quarantine`: shows the readings that sinks refused, and offers them again or drops them.

use std::path::PathBuf;

use clap::Subcommand;

use super::arguments::CONFIG_PATH;
use super::log::Which;
use super::runtime::runtime;
use super::{CliError, QuarantineError};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::console::{complain, say};
use crate::control::client::{self, ControlError};
use crate::device;
use crate::domain::model::quarantine::{Done, QuarantineCommand, QuarantineOrder};
use crate::event_log::actor::carry_out_alone;
use crate::event_log::store::error::StorageError;
use crate::event_log::{self};
use crate::inspect::InspectError;
use crate::inspect::quarantine::{self, Style, Wanted};
use crate::telemetry::{self, LogFormat};

#[derive(Debug, clap::Args)]
pub(super) struct QuarantineArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the readings that sinks refused, one line each.
    List(LookArgs),
    /// Show the readings in full: their values, when they were refused, and the server's whole reason.
    Show(LookArgs),
    /// Offer the readings to their sink once more.
    Replay(ChangeArgs),
    /// Discard the readings: they are counted as lost, with reason `refused`.
    Drop(ChangeArgs),
}

#[derive(Debug, clap::Args)]
struct LookArgs {
    #[command(flatten)]
    which: Which,
    /// Only readings that this sink refused.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Only these readings: numbers such as 17, ranges such as 17-20, or `all`.
    #[arg(value_parser = Numbers::parse)]
    numbers: Vec<Numbers>,
    /// Print JSON, one object for each reading.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// The configuration that names the log.
    #[arg(long, value_name = "FILE", default_value = CONFIG_PATH)]
    config: PathBuf,
    /// Only readings that this sink refused.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Numbers such as 17, ranges such as 17-20, or `all`.
    #[arg(required = true, value_parser = Numbers::parse)]
    numbers: Vec<Numbers>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    All,
    Range(u64, u64),
}

impl Numbers {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self::Range(first, last)),
            _ => Err("write it such as 17, 17-20 or all".to_owned()),
        }
    }

    /// The ranges that the arguments name; `None` stands for all readings.
    fn of(numbers: &[Self]) -> Option<Vec<(u64, u64)>> {
        let range = |numbers: &Self| match numbers {
            Self::All => None,
            Self::Range(first, last) => Some((*first, *last)),
        };
        numbers.iter().map(range).collect::<Option<Vec<_>>>().filter(|ranges| !ranges.is_empty())
    }
}

pub(super) fn run(args: &QuarantineArgs) -> Result<(), CliError> {
    match &args.command {
        Command::List(args) => look(args, Style::List),
        Command::Show(args) => look(args, Style::Full),
        Command::Replay(args) => change(args, QuarantineCommand::Replay),
        Command::Drop(args) => change(args, QuarantineCommand::Drop),
    }
}

fn look(args: &LookArgs, style: Style) -> Result<(), CliError> {
    let subject = args.which.subject(None)?;
    let style = if args.json { Style::Json } else { style };
    let wanted = Wanted { sink: args.sink.clone(), numbers: Numbers::of(&args.numbers), style };
    match quarantine::quarantine(&subject, &wanted) {
        Err(error) if error.is_enough() => Ok(()),
        Ok(0) if !args.json => {
            complain("nothing is in quarantine");
            Ok(())
        }
        done => done.map(drop).map_err(InspectError::into),
    }
}

fn change(args: &ChangeArgs, command: QuarantineCommand) -> Result<(), CliError> {
    let config = Config::load(&args.config)?;
    let order =
        QuarantineOrder { command, sink: args.sink.clone(), numbers: Numbers::of(&args.numbers) };
    let socket = event_log::control_path(&config.log.path);
    let done = match client::ask(&socket, &order) {
        Err(ControlError::Absent { .. }) => alone(&config, socket, &order)?,
        answer => answer.map_err(QuarantineError::from)?,
    };
    for Done { sink, readings } in done {
        say(&match command {
            QuarantineCommand::Replay => {
                format!("{readings} readings are offered to `{sink}` once more")
            }
            QuarantineCommand::Drop => {
                format!("{readings} readings that `{sink}` refused are dropped")
            }
        });
    }
    Ok(())
}

/// Carries the order out without a daemon. No daemon listens, so this process opens the log itself.
fn alone(config: &Config, socket: PathBuf, order: &QuarantineOrder) -> Result<Vec<Done>, CliError> {
    let path = &config.log.path;
    if !path.exists() {
        return Err(InspectError::Storage(StorageError::Absent { path: path.clone() }).into());
    }
    // Events that are found on opening the log are reported on stderr, because no daemon reports them.
    let _logging = telemetry::init(&"warn".parse().unwrap_or_default(), LogFormat::Text)?;
    let log = app::log_config(config, &device::id(config.device.id.as_deref())?);
    let done = runtime()?.block_on(async { carry_out_alone(log, Clock::system(), order) });
    match done {
        Ok(done) => Ok(done.map_err(|declined| QuarantineError::Declined(declined.to_string()))?),
        Err(StorageError::InUse { .. }) => Err(QuarantineError::Unheard { path: socket }.into()),
        Err(error) if error.is_transient() => {
            Err(QuarantineError::Alone { advice: error.advice() }.into())
        }
        Err(error) => Err(InspectError::Storage(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_one_by_one_as_ranges_or_all() {
        assert_eq!(Numbers::parse("17"), Ok(Numbers::Range(17, 17)));
        assert_eq!(Numbers::parse("17-20"), Ok(Numbers::Range(17, 20)));
        assert_eq!(Numbers::parse("all"), Ok(Numbers::All));
        for wrong in ["", "-", "20-17", "17-", "-17", "x", "1-2-3", "99999999999999999999"] {
            assert!(Numbers::parse(wrong).is_err(), "{wrong}");
        }
        let range = Numbers::Range(1, 2);
        assert_eq!(Numbers::of(&[range]), Some(vec![(1, 2)]));
        assert_eq!(Numbers::of(&[range, Numbers::All]), None);
        assert_eq!(Numbers::of(&[]), None);
    }
}
