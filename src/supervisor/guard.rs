//! Keeps one actor running: it runs the actor, turns a panic into an error, and starts the actor again
//! until the restart budget is spent.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::heartbeat::{Heartbeat, Liveness};
use super::{Stop, SupervisorError};
use crate::clock::Clock;
use crate::domain::policy::restart::RestartBudget;
use crate::error_chain::error_chain;
use crate::telemetry::events::{ActorCrashed, Report};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// One run of an actor, from a start to its end.
pub(super) type Incarnation = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// The executor that an actor runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// The runtime that all I/O shares.
    SharedRuntime,
    /// A thread of its own, for an actor that blocks.
    OwnThread,
}

/// The means to start an actor again.
pub(super) struct Guard {
    pub(super) name: String,
    pub(super) executor: Executor,
    pub(super) clock: Clock,
    pub(super) liveness: Liveness,
    pub(super) stop: Stop,
    pub(super) budget: RestartBudget,
}

impl Guard {
    /// Runs the actor until it ends well, its stop is requested, or its budget is spent. A crash while a
    /// stop is requested is an error, too.
    pub(super) async fn keep(
        mut self,
        mut incarnate: impl FnMut(Heartbeat, Stop) -> Incarnation + Send,
    ) -> Result<(), SupervisorError> {
        let mut rng = fastrand::Rng::with_seed(Clock::entropy());
        loop {
            let run = incarnate(self.liveness.register(&self.name), self.stop.clone());
            let ended = match self.executor {
                Executor::SharedRuntime => on_runtime(run).await,
                Executor::OwnThread => on_thread(&self.name, run).await,
            };
            self.liveness.retire(&self.name);
            let Err(cause) = ended else { return Ok(()) };
            let wait = self.budget.spend(self.clock.now(), &mut rng);
            ActorCrashed { actor: &self.name, cause: &cause, restart_in: wait }.report();
            let Some(wait) = wait else { return Err(SupervisorError::GaveUp { actor: self.name }) };
            if self.stop.is_requested() {
                return Err(SupervisorError::CrashedAtStop { actor: self.name });
            }
            tokio::select! {
                () = sleep(wait) => {}
                // The stopped actor may hold mail that will not be processed, so this is not a clean end.
                () = self.stop.requested() => {
                    return Err(SupervisorError::CrashedAtStop { actor: self.name });
                }
            }
        }
    }
}

/// Runs an actor to its end on this runtime; a panic is returned as an error.
async fn on_runtime(run: Incarnation) -> Result<(), String> {
    let mut alone = JoinSet::new();
    alone.spawn(run);
    match alone.join_next().await {
        Some(Ok(ended)) => ended.map_err(|error| error_chain(&*error)),
        Some(Err(error)) => {
            Err(format!("panicked: {}", panic_message(error.try_into_panic().ok())))
        }
        None => Ok(()),
    }
}

/// Runs an actor to its end on a thread with its own runtime; a panic is returned as an error.
async fn on_thread(name: &str, run: Incarnation) -> Result<(), String> {
    let (ended, end) = oneshot::channel();
    let body = move || {
        let guarded = std::panic::AssertUnwindSafe(|| block_on(run));
        let result = std::panic::catch_unwind(guarded)
            .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(Some(panic)))));
        drop(ended.send(result));
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the supervisor; the thread reports its end"
    )]
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map_err(|error| format!("failed to start the thread `{name}`: {error}"))?;
    end.await.unwrap_or_else(|_| Err("ended without a word".into()))
}

fn block_on(run: Incarnation) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| format!("failed to build a runtime: {error}"))?;
    runtime.block_on(run).map_err(|error| error_chain(&*error))
}

fn panic_message(panic: Option<Box<dyn std::any::Any + Send>>) -> String {
    let Some(panic) = panic else { return "cancelled".into() };
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
