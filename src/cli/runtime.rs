//! The runtime of a command, with one thread for all I/O, and the signals that end it.

use super::CliError;

/// Creates a runtime on this thread alone: a field board has better uses for its other cores.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::System { operation: "start the runtime", source })
}

/// The requests to end this process: SIGTERM and SIGINT.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, CliError> {
        use tokio::signal::unix::{SignalKind, signal};
        let install = |kind| {
            signal(kind).map_err(|source| CliError::System {
                operation: "install a signal handler",
                source,
            })
        };
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
        })
    }

    /// Resolves at the next signal. Cancel-safe.
    pub(super) async fn next(&mut self) {
        // Both arms are cancel-safe: a signal is consumed only when `recv` resolves.
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
