//! Starts the actors, restarts the ones that crash, stops them along the flow.
//!
//! ```text
//!  start:  log ▶ http ▶ uploads ▶ ports        (backwards: nobody produces before it is consumed)
//!  stop:   ports ▶ uploads ▶ log ▶ http        (forwards: what one stage has under way the next still takes)
//! ```
//!
//! An actor ends well when its input ended or it was asked to stop. A panic or an error is a
//! crash: it is started again, with a budget; when that is spent the daemon stops and systemd
//! takes over. The log has no budget: what it had taken and not stored is still in the ports' tails,
//! which only a process that starts can take up. Every spawned thing is awaited here, so no panic goes unseen.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout_at};

use crate::clock::Clock;
use crate::domain::restart::RestartBudget;
use crate::telemetry::error_chain;
use crate::telemetry::events::{ActorCrashed, ActorStuck, Report, StageLate};

pub mod notify;
pub mod pulse;

use notify::Notifier;
use pulse::{Pulse, Rounds};

/// How often rounds are called. An idle daemon wakes this often.
const ROUND: Duration = Duration::from_secs(10);

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Incarnation = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// The stages, in the order in which they stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Ports,
    Uploads,
    Log,
    Http,
}

impl Stage {
    fn budget(self) -> RestartBudget {
        match self {
            Self::Log => RestartBudget::none(),
            Self::Ports | Self::Uploads | Self::Http => RestartBudget::default(),
        }
    }
}

const STOP_ORDER: [Stage; 4] = [Stage::Ports, Stage::Uploads, Stage::Log, Stage::Http];

/// Where an actor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the runtime of all I/O.
    Here,
    /// On a thread of its own, because it blocks.
    Thread,
}

/// The wish that an actor should end.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Resolves once stopping is wished for. Cancel-safe.
    pub async fn requested(&mut self) {
        // A dropped sender means that everything is going down.
        drop(self.0.wait_for(|stop| *stop).await);
    }

    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    #[error("`{actor}` crashed and is given up")]
    GaveUp { actor: String },
    #[error("`{actor}` crashed while stopping")]
    CrashedAtStop { actor: String },
    #[error("shutdown did not finish within {}; still running: {}", humantime::format_duration(*deadline), late.join(", "))]
    Late { deadline: Duration, late: Vec<String> },
    #[error("stopped at once by a second signal")]
    Interrupted,
}

/// Supervises the actors of one daemon.
#[derive(Debug)]
pub struct Supervisor {
    clock: Clock,
    rounds: Rounds,
    guards: JoinSet<Result<(), SupervisorError>>,
    running: Vec<(Stage, String, tokio::task::Id)>,
    stops: Vec<(Stage, watch::Sender<bool>)>,
}

impl Supervisor {
    pub fn new(clock: Clock) -> Self {
        let stops = STOP_ORDER.map(|stage| (stage, watch::channel(false).0)).into();
        Self {
            clock,
            rounds: Rounds::default(),
            guards: JoinSet::new(),
            running: Vec::new(),
            stops,
        }
    }

    pub fn rounds(&self) -> Rounds {
        self.rounds.clone()
    }

    pub fn stop_of(&self, stage: Stage) -> Stop {
        Stop(self.stop_sender(stage).subscribe())
    }

    /// Starts an actor; `incarnate` makes a new one each time it is (re)started.
    pub fn start<F, E>(
        &mut self,
        stage: Stage,
        name: impl Into<String>,
        place: Place,
        mut incarnate: impl FnMut(Pulse) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let name = name.into();
        let incarnate = move |pulse| -> Incarnation {
            let run = incarnate(pulse);
            Box::pin(async move { run.await.map_err(Into::into) })
        };
        let guard = Guard {
            name: name.clone(),
            place,
            clock: self.clock.clone(),
            rounds: self.rounds.clone(),
            stop: self.stop_of(stage),
            budget: stage.budget(),
        };
        let handle = self.guards.spawn(guard.keep(incarnate));
        self.running.push((stage, name, handle.id()));
    }

    /// Keeps everything running until `stop` resolves or an actor is given up, then stops in
    /// order; `ready` says when to tell systemd so, `hurry` ends the wait at once.
    pub async fn run(
        mut self,
        ready: impl Future<Output = ()>,
        stop: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
        deadline: Duration,
        notifier: &Notifier,
    ) -> Result<(), SupervisorError> {
        let ended = self.watch_over(ready, stop, notifier).await;
        notifier.stopping();
        tokio::select! {
            stopped = self.stop_in_order(deadline) => ended.and(stopped),
            () = hurry => Err(SupervisorError::Interrupted),
        }
    }

    async fn watch_over(
        &mut self,
        ready: impl Future<Output = ()>,
        stop: impl Future<Output = ()>,
        notifier: &Notifier,
    ) -> Result<(), SupervisorError> {
        tokio::pin!(ready, stop);
        let mut waiting = true;
        let mut rounds = interval(ROUND.min(notifier.watchdog_interval()));
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                () = &mut stop => return Ok(()),
                _ = rounds.tick() => self.call_round(notifier),
                Some(ended) = self.guards.join_next_with_id() => self.note_end(ended)?,
                () = &mut ready, if waiting => {
                    waiting = false;
                    notifier.ready();
                }
            }
        }
    }

    fn call_round(&self, notifier: &Notifier) {
        let stuck = self.rounds.stuck();
        for actor in &stuck {
            ActorStuck { actor }.report();
        }
        notifier.tell(stuck.is_empty());
        self.rounds.call();
    }

    fn note_end(
        &mut self,
        ended: Result<(tokio::task::Id, Result<(), SupervisorError>), tokio::task::JoinError>,
    ) -> Result<(), SupervisorError> {
        match ended {
            Ok((id, result)) => {
                self.running.retain(|(_, _, known)| *known != id);
                result
            }
            // A guard has no code of its own that can panic; if one ends so, its actor is gone.
            Err(error) => {
                let gone = self.running.iter().find(|(_, _, known)| *known == error.id());
                let actor = gone.map_or_else(|| "unknown".to_owned(), |(_, name, _)| name.clone());
                Err(SupervisorError::GaveUp { actor })
            }
        }
    }

    async fn stop_in_order(&mut self, deadline: Duration) -> Result<(), SupervisorError> {
        let end = Instant::now() + deadline;
        let mut failed = Ok(());
        for stage in STOP_ORDER {
            self.stop_sender(stage).send_replace(true);
            while self.running.iter().any(|(of, ..)| *of == stage) {
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
        let late: Vec<String> = self.running.iter().map(|(_, name, _)| name.clone()).collect();
        StageLate { late: &late, deadline }.report();
        SupervisorError::Late { deadline, late }
    }

    fn stop_sender(&self, stage: Stage) -> &watch::Sender<bool> {
        let found = self.stops.iter().find(|(of, _)| *of == stage);
        &found.expect("every stage is in STOP_ORDER").1
    }
}

/// Keeps one actor going.
struct Guard {
    name: String,
    place: Place,
    clock: Clock,
    rounds: Rounds,
    stop: Stop,
    budget: RestartBudget,
}

impl Guard {
    async fn keep(
        mut self,
        mut incarnate: impl FnMut(Pulse) -> Incarnation + Send,
    ) -> Result<(), SupervisorError> {
        let mut rng = fastrand::Rng::with_seed(Clock::entropy());
        loop {
            let run = incarnate(self.rounds.register(&self.name));
            let ended = match self.place {
                Place::Here => on_runtime(run).await,
                Place::Thread => on_thread(&self.name, run).await,
            };
            self.rounds.retire(&self.name);
            let Err(cause) = ended else { return Ok(()) };
            let wait = self.budget.spend(self.clock.now(), &mut rng);
            ActorCrashed { actor: &self.name, cause: &cause, restart_in: wait }.report();
            let Some(wait) = wait else { return Err(SupervisorError::GaveUp { actor: self.name }) };
            if self.stop.is_requested() {
                return Err(SupervisorError::CrashedAtStop { actor: self.name });
            }
            tokio::select! {
                () = sleep(wait) => {}
                // Whoever is to be restarted may hold mail that nobody takes up any more.
                () = self.stop.requested() => {
                    return Err(SupervisorError::CrashedAtStop { actor: self.name });
                }
            }
        }
    }
}

/// Runs to the end on this runtime; a panic comes back as an error.
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

/// Runs to the end on a thread with its own runtime; a panic comes back as an error.
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

#[cfg(test)]
mod tests;
