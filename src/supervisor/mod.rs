//! Starts the actors, restarts those that crash, and stops them along the flow of data.
//!
//! ```text
//!  start:  log ▶ http ▶ uploads ▶ ports        (against the flow: a consumer runs before its producers)
//!  stop:   ports ▶ uploads ▶ log ▶ http        (along the flow: the next stage takes unfinished work)
//! ```
//!
//! Single actors are stopped and started in between, when the configuration changes.
//!
//! An actor ends well when its input ended or its stop was requested. A panic or an error is a crash: the
//! actor is started again within a budget; once the budget is spent the daemon stops and systemd starts it
//! again. The log has no budget: the readings that it had accepted and not stored are still in the ports'
//! tails, and only a process that starts reads those. Every task and thread is awaited here, so no panic
//! goes unseen.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::clock::Clock;
use crate::telemetry::events::{ActorDropped, ActorStuck, Report, StageLate};

mod error;
mod guard;
mod stage;
mod stop;

pub mod heartbeat;
pub mod notify;

pub use error::SupervisorError;
pub use guard::{BoxError, Executor};
use guard::{Guard, Incarnation};
use heartbeat::{Heartbeat, Liveness};
use notify::Notifier;
use stage::STOP_ORDER;
pub use stage::Stage;
pub use stop::Stop;

/// The interval between two liveness checks. An idle daemon wakes this often.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Supervises the actors of one daemon.
#[derive(Debug)]
pub struct ActorSupervisor {
    clock: Clock,
    liveness: Liveness,
    guards: JoinSet<Result<(), SupervisorError>>,
    running: Vec<Running>,
    stops: Vec<(Stage, watch::Sender<bool>)>,
    check_at: Option<Instant>,
}

/// An actor that was started and has not ended.
#[derive(Debug)]
struct Running {
    stage: Stage,
    name: String,
    guard: AbortHandle,
    stop: watch::Sender<bool>,
}

impl ActorSupervisor {
    pub fn new(clock: Clock) -> Self {
        let stops = STOP_ORDER.map(|stage| (stage, watch::channel(false).0)).into();
        Self {
            clock,
            liveness: Liveness::default(),
            guards: JoinSet::new(),
            running: Vec::new(),
            stops,
            check_at: None,
        }
    }

    pub fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    /// The stop request of a whole stage, for tests that run an actor without starting it here.
    #[cfg(test)]
    pub fn stop_of(&self, stage: Stage) -> Stop {
        let stage = self.stop_sender(stage).subscribe();
        Stop { own: stage.clone(), stage }
    }

    /// Starts an actor; `incarnate` makes a new run of it for the start and for each restart.
    pub fn start<F, E>(
        &mut self,
        stage: Stage,
        name: impl Into<String>,
        executor: Executor,
        mut incarnate: impl FnMut(Heartbeat, Stop) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let name = name.into();
        let incarnate = move |heartbeat, stop| -> Incarnation {
            let run = incarnate(heartbeat, stop);
            Box::pin(async move { run.await.map_err(Into::into) })
        };
        let (stop, own) = watch::channel(false);
        let guard = Guard {
            name: name.clone(),
            executor,
            clock: self.clock.clone(),
            liveness: self.liveness.clone(),
            stop: Stop { own, stage: self.stop_sender(stage).subscribe() },
            budget: stage.budget(),
        };
        let guard = self.guards.spawn(guard.keep(incarnate));
        self.running.push(Running { stage, name, guard, stop });
    }

    /// Stops the actors of these names and no others. An actor that does not end within `deadline` is
    /// dropped at its next await point: its successor must find its resources free, and the bytes that a
    /// port had read are in its tail.
    pub async fn stop(
        &mut self,
        names: &[String],
        deadline: Duration,
    ) -> Result<(), SupervisorError> {
        let end = Instant::now() + deadline;
        let meant = |running: &Running| names.contains(&running.name);
        for running in self.running.iter().filter(|running| meant(running)) {
            running.stop.send_replace(true);
        }
        while self.running.iter().any(meant) {
            match timeout_at(end, self.guards.join_next_with_id()).await {
                Ok(Some(ended)) => match self.note_end(ended) {
                    // This actor was to end anyway, and its crash was reported.
                    Err(SupervisorError::CrashedAtStop { actor }) if names.contains(&actor) => {}
                    ended => ended?,
                },
                Ok(None) => break,
                Err(_) => {
                    let (late, others) =
                        std::mem::take(&mut self.running).into_iter().partition(meant);
                    self.running = others;
                    self.give_up_on(late, deadline);
                }
            }
        }
        Ok(())
    }

    /// The names of the actors that were started and have not ended.
    pub fn running(&self) -> BTreeSet<String> {
        self.running.iter().map(|running| running.name.clone()).collect()
    }

    fn give_up_on(&self, late: Vec<Running>, deadline: Duration) {
        for running in late {
            ActorDropped { actor: &running.name, deadline }.report();
            running.guard.abort();
            self.liveness.retire(&running.name);
        }
    }

    /// Keeps all actors running until `until` resolves or an actor has spent its restart budget.
    pub async fn watch_over<T>(
        &mut self,
        until: impl Future<Output = T>,
        notifier: &Notifier,
    ) -> Result<T, SupervisorError> {
        tokio::pin!(until);
        loop {
            let check = *self.check_at.get_or_insert_with(Instant::now);
            // All arms are cancel-safe.
            tokio::select! {
                value = &mut until => return Ok(value),
                () = sleep_until(check) => self.check_liveness(notifier),
                Some(ended) = self.guards.join_next_with_id() => self.note_end(ended)?,
            }
        }
    }

    /// Reports the actors that missed the last check, notifies systemd, and starts the next check.
    fn check_liveness(&mut self, notifier: &Notifier) {
        self.check_at = Some(Instant::now() + CHECK_INTERVAL.min(notifier.watchdog_interval()));
        let stuck = self.liveness.stuck();
        for actor in &stuck {
            ActorStuck { actor }.report();
        }
        notifier.tell(stuck.is_empty());
        self.liveness.check();
    }

    fn note_end(
        &mut self,
        ended: Result<(tokio::task::Id, Result<(), SupervisorError>), tokio::task::JoinError>,
    ) -> Result<(), SupervisorError> {
        match ended {
            Ok((id, result)) => {
                self.forget(id);
                result
            }
            // This guard was aborted here, and its actor was removed from the list then.
            Err(error) if error.is_cancelled() => Ok(()),
            // A guard itself has no code that can panic; if it panics all the same, its actor is gone.
            Err(error) => {
                let actor = self.forget(error.id()).unwrap_or_else(|| "unknown".to_owned());
                Err(SupervisorError::GaveUp { actor })
            }
        }
    }

    fn forget(&mut self, guard: tokio::task::Id) -> Option<String> {
        let at = self.running.iter().position(|running| running.guard.id() == guard)?;
        Some(self.running.remove(at).name)
    }

    /// Stops all stages along the flow within `deadline`; when `hurry` resolves, the wait ends at once.
    pub async fn stop_all(
        mut self,
        hurry: impl Future<Output = ()>,
        deadline: Duration,
    ) -> Result<(), SupervisorError> {
        tokio::select! {
            stopped = self.stop_in_order(deadline) => stopped,
            () = hurry => Err(SupervisorError::Interrupted),
        }
    }

    async fn stop_in_order(&mut self, deadline: Duration) -> Result<(), SupervisorError> {
        let end = Instant::now() + deadline;
        let mut failed = Ok(());
        for stage in STOP_ORDER {
            self.stop_sender(stage).send_replace(true);
            while self.running.iter().any(|running| running.stage == stage) {
                match timeout_at(end, self.guards.join_next_with_id()).await {
                    Ok(Some(ended)) => failed = failed.and(self.note_end(ended)),
                    Ok(None) => break,
                    Err(_) => return Err(self.late(deadline)),
                }
            }
        }
        failed
    }

    fn late(&self, deadline: Duration) -> SupervisorError {
        let late: Vec<String> = self.running.iter().map(|running| running.name.clone()).collect();
        StageLate { late: &late, deadline }.report();
        SupervisorError::Late { deadline, late }
    }

    fn stop_sender(&self, stage: Stage) -> &watch::Sender<bool> {
        let found = self.stops.iter().find(|(of, _)| *of == stage);
        &found.expect("every stage is in STOP_ORDER").1
    }
}

#[cfg(test)]
mod tests;
