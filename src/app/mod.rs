//! The composition root: it starts the parts, and changes them when the configuration changes.
//!
//! ```text
//!  nothing ──start──▶ configuration ──reload──▶ configuration ──▶ …
//!            └─ one path for both: `change` says what differs, `parts` ends and begins it,
//!               `start` knows how
//! ```

use std::future::Future;
use std::net::SocketAddr;

use crate::clock::Clock;
use crate::config::Config;
use crate::device::{self, DeviceError};
use crate::event_log::store::error::StorageError;
use crate::ingest::PortState;
use crate::status::board::StatusBoard;
use crate::status::status_line::StatusLine;
use crate::supervisor::notify::Notifier;
use crate::supervisor::{ActorSupervisor, SupervisorError};
use crate::telemetry::events::{ReadingsUnsaved, Report, Started, Stopped};

mod actors;
mod change;
mod log_settings;
mod parts;
mod start;
mod statuses;
mod tails;

pub use log_settings::log_config;
use parts::Parts;

/// Why the daemon does not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Log(#[from] StorageError),
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
}

/// A daemon that is running.
#[derive(Debug)]
pub struct App {
    supervisor: ActorSupervisor,
    parts: Parts,
    board: StatusBoard,
}

/// What the daemon waits for while its parts work.
enum Command {
    Stop,
    Ready,
    Reload(Box<Result<Config, String>>),
}

impl App {
    /// Starts everything, backwards along the flow: log, local port, uploads, ports.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, AppError> {
        let device = device::id(config.device.id.as_deref())?;
        Started { version: env!("CARGO_PKG_VERSION"), device: &device }.report();
        let mut supervisor = ActorSupervisor::new(clock.clone());
        let (mut parts, board) = Parts::begin(&mut supervisor, &config, &device, clock)?;
        parts.apply(&mut supervisor, config).await?;
        Ok(Self { supervisor, parts, board })
    }

    /// What every part reports of itself.
    pub fn board(&self) -> StatusBoard {
        self.board.clone()
    }

    /// Where the local port listens, unless it is off.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.parts.local_addr()
    }

    /// Runs until `stop` resolves, then drains in order; `hurry` cuts that short. `news` resolves
    /// whenever a new configuration is requested: it, or in words for a person why not. Dropped
    /// before, it misses nothing.
    pub async fn run(
        mut self,
        stop: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
        news: impl AsyncFnMut() -> Result<Config, String>,
    ) -> Result<(), AppError> {
        let line = StatusLine::new(self.board.clone());
        let notifier = Notifier::new(move || line.say());
        let ended = self.serve(stop, news, &notifier).await;
        notifier.stopping();
        let log = self.board.log;
        let (deadline, cleanup) = self.parts.leave();
        let stopped = self.supervisor.stop_all(hurry, deadline).await;
        let count = log.borrow().ledger.uncommitted;
        if count > 0 {
            ReadingsUnsaved { count }.report();
        }
        cleanup.clear_what_is_stored(&log.borrow());
        ended.and(stopped)?;
        Stopped.report();
        Ok(())
    }

    async fn serve(
        &mut self,
        stop: impl Future<Output = ()>,
        mut news: impl AsyncFnMut() -> Result<Config, String>,
        notifier: &Notifier,
    ) -> Result<(), SupervisorError> {
        let ready = ready(self.board.clone());
        tokio::pin!(stop, ready);
        let mut is_ready = false;
        loop {
            let command = async {
                // All arms are cancel-safe.
                tokio::select! {
                    () = &mut stop => Command::Stop,
                    () = &mut ready, if !is_ready => Command::Ready,
                    config = news() => Command::Reload(Box::new(config)),
                }
            };
            match self.supervisor.watch_over(command, notifier).await? {
                Command::Stop => return Ok(()),
                Command::Ready => {
                    is_ready = true;
                    notifier.ready();
                }
                Command::Reload(config) => {
                    if is_ready {
                        notifier.reloading();
                    }
                    self.parts.reload(&mut self.supervisor, *config).await?;
                    if is_ready {
                        notifier.ready();
                    }
                }
            }
        }
    }
}

/// Resolves when the log accepts and every port was tried.
async fn ready(mut board: StatusBoard) {
    drop(board.log.wait_for(|log| log.accepting).await);
    loop {
        let ports = board.configured.borrow_and_update().ports.clone();
        let tried = async {
            for mut port in ports {
                drop(port.wait_for(|port| port.state != PortState::Untried).await);
            }
        };
        // Both arms are cancel-safe: what was tried stays so.
        tokio::select! {
            () = tried => return,
            Ok(()) = board.configured.changed() => {}
        }
    }
}
