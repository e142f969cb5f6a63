//! The whole app in this process: real ptys, real SQLite, real HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use outstation::app::App;
use outstation::clock::Clock;
use outstation::config::Config;
use outstation::demo::pty::Pty;
use outstation::demo::{Script, play};
use outstation::http::fetch::{self, Proof};
use tokio::sync::oneshot;

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test]
async fn every_reading_survives_an_outage_exactly_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = Script {
        length: Duration::from_secs(3),
        sensors: 4,
        rate: 200,
        outage: Some((Duration::from_secs(1), Duration::from_secs(2))),
        listen: local(),
        folder: folder.path().to_owned(),
    };
    let mut glances = 0;
    let outcome = play(
        &script,
        |address| assert!(address.is_some(), "the local port is open"),
        |_| glances += 1,
        std::future::pending(),
    )
    .await
    .expect("it plays to its end");
    assert_eq!(outcome.complaints, Vec::<String>::new());
    assert!(outcome.produced > 2000, "{outcome}");
    assert!(glances >= 3, "one a second, not {glances}");
}

#[tokio::test]
async fn without_a_sink_readings_are_kept_and_the_local_port_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pty = Pty::open().expect("a pseudo-terminal");
    let text = format!("[[port]]\nname = \"p\"\npath = {:?}\nframing = \"postcard\"\n", pty.path());
    let mut config = Config::parse(&text, "the test").expect("it is one");
    config.device.id = Some("d".into());
    config.log.path = folder.path().join("log.db");
    config.http.listen = Some(local());
    let app = App::start(config, Clock::system()).await.expect("it starts");
    let (board, address) = (app.board(), app.local_addr().expect("the local port is open"));
    let (stop, stopped) = oneshot::channel::<()>();
    let scene = async {
        let channels = [outstation_wire::Channel {
            id: 1,
            name: "t",
            unit: "Cel",
            kind: outstation_wire::ValueType::Int,
        }];
        let hello =
            outstation_wire::Hello { firmware: "f", version: "1", channels: (&channels).into() };
        let mut frame = [0; outstation_wire::MAX_FRAME];
        pty.send(hello.encode(&mut frame).expect("fits")).await.expect("sent");
        for seq in 0..10 {
            let values = [(1, outstation_wire::Value::Int(i64::from(seq)))];
            let sample =
                outstation_wire::Sample { seq, uptime_ms: 10 * seq, values: (&values).into() };
            pty.send(sample.encode(&mut frame).expect("fits")).await.expect("sent");
        }
        let mut log = board.log.clone();
        let ledger = log.wait_for(|log| log.head == 10).await.expect("stored").ledger.clone();
        assert_eq!((ledger.pending, ledger.imbalances()), (10, Vec::new()));
        let (status, body) = fetch::get(&format!("http://{address}/ready"), &Proof::default())
            .await
            .expect("answers");
        assert!(status.is_success(), "{}", String::from_utf8_lossy(&body));
        drop(stop);
    };
    let never = std::future::pending::<()>;
    let running = app.run(async { drop(stopped.await) }, never(), std::future::pending);
    let (ended, ()) = tokio::join!(running, scene);
    ended.expect("it ends cleanly");
}
