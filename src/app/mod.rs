//! The composition root: it starts the parts, and changes them when the configuration changes.
//!
//! ```text
//!  nothing ──start──▶ configuration ──reload──▶ configuration ──▶ …
//!            └─ one path for both: `change` lists the differences, `parts` ends and starts parts,
//!               `start` knows how each part is started
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

/// The reason why the daemon did not start or did not end well.
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

/// The next thing that the daemon has to act on while its parts work.
enum Command {
    Stop,
    Ready,
    Reload(Box<Result<Config, String>>),
}

impl App {
    /// Starts every part, against the flow of data: log, local port, uploads, ports.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, AppError> {
        let device = device::id(config.device.id.as_deref())?;
        Started { version: env!("CARGO_PKG_VERSION"), device: &device }.report();
        let mut supervisor = ActorSupervisor::new(clock.clone());
        let (mut parts, board) = Parts::begin(&mut supervisor, &config, &device, clock)?;
        parts.apply(&mut supervisor, config).await?;
        Ok(Self { supervisor, parts, board })
    }

    /// A handle on the statuses of all parts.
    pub fn board(&self) -> StatusBoard {
        self.board.clone()
    }

    /// The address that the local port listens at; `None` while it is off or could not be bound.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.parts.local_addr()
    }

    /// Runs until `stop` resolves, then stops the stages in order; `hurry` ends that wait at once. `news`
    /// must resolve whenever a new configuration is requested: with the configuration, or with the reason
    /// in words for a person why it cannot be used. `news` is dropped and called again, so it must be
    /// cancel-safe.
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

/// Resolves once the log accepts readings and an attempt was made to open every configured port.
async fn ready(mut board: StatusBoard) {
    drop(board.log.wait_for(|log| log.accepting).await);
    loop {
        let ports = board.configured.borrow_and_update().ports.clone();
        let tried = async {
            for mut port in ports {
                drop(port.wait_for(|port| port.state != PortState::Untried).await);
            }
        };
        // Both arms are cancel-safe: a port that was tried does not become untried again.
        tokio::select! {
            () = tried => return,
            Ok(()) = board.configured.changed() => {}
        }
    }
}
