//! Restarts, budgets and the order of stopping, on stepped time.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::*;

type Journal = Arc<Mutex<Vec<String>>>;

fn note(journal: &Journal, line: impl Into<String>) {
    journal.lock().expect("no panic").push(line.into());
}

fn lines(journal: &Journal) -> Vec<String> {
    journal.lock().expect("no panic").clone()
}

fn supervisor() -> ActorSupervisor {
    ActorSupervisor::new(Clock::simulated("boot", 0))
}

const DEADLINE: Duration = Duration::from_secs(5);

async fn run_until(
    mut supervisor: ActorSupervisor,
    stop: impl Future<Output = ()>,
) -> Result<(), SupervisorError> {
    let notifier = Notifier::new(String::new);
    let ended = supervisor.watch_over(stop, &notifier).await;
    ended.and(supervisor.stop_all(std::future::pending(), DEADLINE).await)
}

/// Starts an actor that runs until its stop is requested and then notes its name.
fn start_patient(
    supervisor: &mut ActorSupervisor,
    stage: Stage,
    name: &'static str,
    journal: &Journal,
) {
    let journal = Arc::clone(journal);
    supervisor.start(stage, name, Executor::SharedRuntime, move |_, mut stop| {
        let journal = Arc::clone(&journal);
        async move {
            stop.requested().await;
            note(&journal, name);
            Ok::<(), BoxError>(())
        }
    });
}

#[tokio::test(start_paused = true)]
async fn stages_stop_along_the_flow() {
    let (mut supervisor, journal) = (supervisor(), Journal::default());
    for (stage, name) in [
        (Stage::Log, "log"),
        (Stage::Http, "http"),
        (Stage::Uploads, "sink"),
        (Stage::Ports, "port"),
    ] {
        start_patient(&mut supervisor, stage, name, &journal);
    }
    run_until(supervisor, sleep(Duration::from_secs(1))).await.expect("clean");
    assert_eq!(lines(&journal), ["port", "sink", "log", "http"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_restarts_one_actor_and_no_other() {
    let (mut supervisor, journal) = (supervisor(), Journal::default());
    start_patient(&mut supervisor, Stage::Log, "log", &journal);
    let own = Arc::clone(&journal);
    supervisor.start(Stage::Ports, "shaky", Executor::SharedRuntime, move |_, mut stop| {
        let journal = Arc::clone(&own);
        async move {
            note(&journal, "started");
            assert!(lines(&journal).len() > 2, "the first two times");
            stop.requested().await;
            Ok::<(), BoxError>(())
        }
    });
    run_until(supervisor, sleep(Duration::from_secs(30))).await.expect("clean");
    assert_eq!(lines(&journal), ["started", "started", "started", "log"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_ends_the_daemon_after_stopping_the_others() {
    let (mut supervisor, journal) = (supervisor(), Journal::default());
    start_patient(&mut supervisor, Stage::Log, "log", &journal);
    supervisor.start(Stage::Ports, "broken", Executor::SharedRuntime, |_, _| async {
        Err::<(), _>(BoxError::from("broken"))
    });
    let ended = run_until(supervisor, std::future::pending()).await.expect_err("given up");
    assert_eq!(ended.to_string(), "`broken` crashed and is given up");
    assert_eq!(lines(&journal), ["log"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_log_ends_the_daemon_at_once() {
    let (mut supervisor, journal) = (supervisor(), Journal::default());
    start_patient(&mut supervisor, Stage::Ports, "port", &journal);
    let own = Arc::clone(&journal);
    supervisor.start(Stage::Log, "log", Executor::OwnThread, move |_, _| {
        note(&own, "started");
        async {
            let broken = true;
            assert!(!broken, "broken");
            Ok::<(), BoxError>(())
        }
    });
    let ended = run_until(supervisor, std::future::pending()).await.expect_err("given up");
    assert_eq!(ended.to_string(), "`log` crashed and is given up");
    assert_eq!(lines(&journal), ["started", "port"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_late_is_named() {
    let (mut supervisor, journal) = (supervisor(), Journal::default());
    start_patient(&mut supervisor, Stage::Ports, "port", &journal);
    supervisor.start(Stage::Uploads, "deaf", Executor::SharedRuntime, |_, _| {
        std::future::pending::<Result<(), BoxError>>()
    });
    let ended = run_until(supervisor, async {}).await.expect_err("late");
    assert_eq!(ended.to_string(), "shutdown did not finish within 5s; still running: deaf");
}

#[tokio::test]
async fn a_thread_that_panics_is_restarted_too() {
    let (mut supervisor, journal) = (supervisor(), Journal::default());
    let (again, mut seen) = (watch::channel(0).0, 0);
    let mut started = again.subscribe();
    let own = Arc::clone(&journal);
    supervisor.start(Stage::Http, "thread", Executor::OwnThread, move |_, mut stop| {
        seen += 1;
        again.send_replace(seen);
        let (first, journal) = (seen == 1, Arc::clone(&own));
        async move {
            assert!(!first, "the first time");
            note(&journal, std::thread::current().name().unwrap_or_default());
            stop.requested().await;
            Ok::<(), BoxError>(())
        }
    });
    let stop = async { drop(started.wait_for(|count| *count == 2).await) };
    run_until(supervisor, stop).await.expect("clean");
    assert_eq!(lines(&journal), ["thread"]);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_waits_for_its_restart_can_be_stopped_alone() {
    let (mut supervisor, journal) = (supervisor(), Journal::default());
    start_patient(&mut supervisor, Stage::Ports, "other", &journal);
    let own = Arc::clone(&journal);
    supervisor.start(Stage::Uploads, "shaky", Executor::SharedRuntime, move |_, _| {
        note(&own, "crashed");
        async { Err::<(), _>(BoxError::from("broken")) }
    });
    tokio::task::yield_now().await;
    supervisor.stop(&["shaky".to_owned()], DEADLINE).await.expect("nobody else minds");
    assert_eq!(supervisor.running(), BTreeSet::from(["other".to_owned()]));
    run_until(supervisor, sleep(Duration::from_secs(30))).await.expect("clean");
    assert_eq!(lines(&journal), ["crashed", "other"]);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_stopped_alone_may_be_started_again_and_nobody_else_notices() {
    let (mut supervisor, journal) = (supervisor(), Journal::default());
    start_patient(&mut supervisor, Stage::Ports, "one", &journal);
    start_patient(&mut supervisor, Stage::Ports, "other", &journal);
    supervisor.stop(&["one".to_owned()], DEADLINE).await.expect("it ends");
    assert_eq!(lines(&journal), ["one"]);
    start_patient(&mut supervisor, Stage::Ports, "one", &journal);
    run_until(supervisor, sleep(Duration::from_secs(30))).await.expect("clean");
    assert_eq!(lines(&journal).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_does_not_stop_alone_is_dropped_and_owes_no_answers() {
    let mut supervisor = supervisor();
    let (held, dropped) = oneshot::channel::<()>();
    let mut held = Some(held);
    supervisor.start(Stage::Uploads, "deaf", Executor::SharedRuntime, move |_, _| {
        let held = held.take();
        async move {
            std::future::pending::<()>().await;
            drop(held);
            Ok::<(), BoxError>(())
        }
    });
    supervisor.stop(&["deaf".to_owned()], DEADLINE).await.expect("it goes on");
    assert!(dropped.await.is_err(), "what it held is free");
    run_until(supervisor, sleep(Duration::from_secs(60))).await.expect("clean");
}
