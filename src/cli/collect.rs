//! `outstation collect`: runs the reference receiver.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::CliError;
use super::arguments::LogFormatArg;
use super::runtime::{Signals, runtime};
use crate::collect::{Collector, CollectorConfig, Store};
use crate::console::say;
use crate::credentials::file::{FileKind, NamedFile};
use crate::discovery::mdns::{Announcement, COLLECTOR};
use crate::telemetry::{self, LogFilter};

#[derive(Debug, clap::Args)]
pub(super) struct CollectArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:9438")]
    listen: SocketAddr,
    /// The SQLite file that keeps the readings; without it they are gone when this command ends.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// A file with the bearer token that senders must show; no other user may be able to read it.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Announce the receiver on the local network by multicast DNS, for sinks with
    /// url = "mdns:_outstation-collect._tcp.local".
    #[arg(long)]
    announce: bool,
    /// How log records are written.
    #[arg(long, value_enum, default_value = "auto")]
    log_format: LogFormatArg,
}

pub(super) fn run(args: &CollectArgs) -> Result<(), CliError> {
    let _logging = telemetry::init(&LogFilter::default(), args.log_format.into())?;
    let token =
        args.token_file.as_ref().map(|path| NamedFile::secret(FileKind::Token, path).token());
    let config = CollectorConfig { listen: args.listen, token: token.transpose()? };
    let store = Store::open(args.store.as_deref())?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let collector = Collector::bind(config, store).await?;
        let announcement = match args.announce {
            true => Some(announce(collector.local_addr())?),
            false => None,
        };
        say(&format!(
            "listening on http://{}/v1/readings, counts at /stats",
            collector.local_addr()
        ));
        collector.run(signals.next()).await;
        if let Some(announcement) = announcement {
            announcement.end().await;
        }
        Ok(())
    });
    runtime.shutdown_background();
    ended
}

/// Announces the receiver under the host's name, so that a person who browses the network recognises it.
fn announce(listens: SocketAddr) -> Result<Announcement, CliError> {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let instance = host.split('.').next().filter(|host| !host.is_empty()).unwrap_or("outstation");
    Announcement::start(COLLECTOR, instance, listens, &[("path", "/v1/readings")])
        .map_err(CliError::Announce)
}
