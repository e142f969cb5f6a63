//! A port beside a log that takes nothing: the port must stay alive, and lose nothing it need not.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::actor::{Ingest, run};
use super::*;
use crate::clock::Clock;
use crate::config::{Framing, LineSettings, Port};
use crate::demo::pty::Pty;
use crate::event_log::{self, Append};
use crate::supervisor::pulse::Rounds;
use crate::supervisor::{Stage, Supervisor};

#[tokio::test]
async fn a_port_that_vanishes_while_the_log_is_stuck_still_answers_rounds() {
    let (log, _mailbox) = event_log::channel();
    while let Ok(place) = timeout(Duration::ZERO, log.appender().place()).await {
        place.expect("open").send(Append::default());
    }
    let mut pty = Pty::open().expect("a pseudo-terminal");
    let (status, mut seen) = watch::channel(PortStatus::new("p", "p"));
    let rounds = Rounds::default();
    let supervisor = Supervisor::new(Clock::system());
    let mut running = JoinSet::new();
    running.spawn(run(Ingest {
        config: Port {
            name: "p".into(),
            path: pty.path().to_owned(),
            line: LineSettings::default(),
            framing: Framing::Postcard,
        },
        appender: log.appender(),
        clock: Clock::system(),
        status,
        stop: supervisor.stop_of(Stage::Ports),
        pulse: rounds.register("port p"),
    }));
    seen.wait_for(|port| port.state == PortState::Open).await.expect("running");
    pty.send(b"garbage\0").await.expect("sent");
    drop(pty);
    seen.wait_for(|port| matches!(port.state, PortState::Absent { .. })).await.expect("running");
    (0..3).for_each(|_| rounds.call());
    let answers = async {
        while !rounds.stuck().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), answers).await.expect("the port answers");
}

#[test]
fn the_read_that_fills_the_outbox_still_fits() {
    let sensor = Arc::new(Sensor { port: "p".into(), name: "s".into(), channels: Vec::new() });
    let mut out = Outbox::default();
    while !out.is_full() {
        out.push(&sensor, Stamp::boot(0), [(0, Value::Int(1))].into_iter());
    }
    for _ in 0..SLACK_READINGS {
        out.push(&sensor, Stamp::boot(0), [(0, Value::Int(1))].into_iter());
    }
    assert_eq!(out.intake.overflow, 0);
    out.push(&sensor, Stamp::boot(0), [(0, Value::Int(1))].into_iter());
    assert_eq!(out.intake.overflow, 1, "and memory has a bound");
}

#[test]
fn long_texts_fill_the_outbox_sooner() {
    let sensor = Arc::new(Sensor { port: "p".into(), name: "s".into(), channels: Vec::new() });
    let mut out = Outbox::default();
    let text = Value::Text("x".repeat(4096).into());
    while !out.is_full() {
        out.push(&sensor, Stamp::boot(0), [(0, text.clone())].into_iter());
    }
    assert!(out.readings.len() < 300, "{}", out.readings.len());
}
