//! Tests of the socket with everything that a program of this user may send.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::server::{Control, run};
use crate::clock::Clock;
use crate::supervisor::heartbeat::{Heartbeat, Liveness};
use crate::supervisor::{ActorSupervisor, Stage};
use crate::test_kit::log::{TestLog, settings};

/// A log with its control socket.
struct Rig {
    folder: tempfile::TempDir,
    liveness: Liveness,
    log: TestLog,
    _running: JoinSet<()>,
    _supervisor: ActorSupervisor,
}

impl Rig {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::simulated("boot", 0);
        let log = TestLog::start(settings(folder.path(), &["a"]), clock.clone());
        let supervisor = ActorSupervisor::new(clock);
        let liveness = Liveness::default();
        let control = Control {
            path: folder.path().join("log.db.control"),
            curator: log.curator(),
            stop: supervisor.stop_of(Stage::Uploads),
            heartbeat: liveness.register("control"),
        };
        let mut running = JoinSet::new();
        running.spawn(async move { run(control).await.expect("no error") });
        Self { folder, liveness, log, _running: running, _supervisor: supervisor }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log.db.control")
    }

    async fn listening(&self) {
        while UnixStream::connect(self.path()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    async fn say(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path()).await.expect("listens");
        // The daemon may answer and close before it has read everything.
        drop(stream.write_all(request).await);
        let mut answer = String::new();
        drop(stream.read_to_string(&mut answer).await);
        answer
    }
}

const DROP_ALL: &[u8] = b"{\"command\":\"drop\",\"sink\":null,\"numbers\":null}\n";
const NOTHING: &str =
    "{\"error\":\"nothing such is in quarantine; `outstation quarantine list` shows what is\"}\n";

#[tokio::test]
async fn whatever_is_said_gets_one_line_and_the_next_is_heard() {
    let rig = Rig::start();
    rig.listening().await;
    for (request, says) in [
        (&b"hello\n"[..], "no order this daemon knows"),
        (b"\xff\xfe\n", "no order this daemon knows"),
        (b"{\"command\":\"burn\",\"sink\":null,\"numbers\":null}\n", "unknown variant `burn`"),
        (&[b'x'; 20 << 10], "not one line, or too long"),
    ] {
        let answer = rig.say(request).await;
        // Excess bytes in the request may cut the answer off.
        assert!(answer.contains(says) || request.len() > 16 << 10, "{answer}");
        assert!(answer.matches('\n').count() <= 1, "{answer}");
    }
    assert_eq!(rig.say(DROP_ALL).await, NOTHING);
}

#[tokio::test]
async fn those_who_say_nothing_keep_nobody_out_for_long() {
    let rig = Rig::start();
    rig.listening().await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(UnixStream::connect(rig.path()).await.expect("connects"));
    }
    tokio::time::pause();
    assert_eq!(rig.say(DROP_ALL).await, NOTHING);
}

#[tokio::test]
async fn the_socket_is_for_its_user_alone_and_is_made_anew_when_it_is_gone() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let rig = Rig::start();
    rig.listening().await;
    assert_eq!(mode(&rig.path()), 0o600);
    std::fs::remove_file(rig.path()).expect("removed");
    rig.liveness.check();
    rig.listening().await;
    assert_eq!(mode(&rig.path()), 0o600);
    assert_eq!(rig.say(DROP_ALL).await, NOTHING);
}

#[tokio::test]
async fn it_takes_the_place_of_a_dead_one_and_leaves_nothing_behind() {
    let rig = Rig::start();
    let path = rig.folder.path().join("other.control");
    // A killed daemon leaves a socket behind at which no process listens.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    assert!(UnixStream::connect(&path).await.is_err(), "dead");
    let supervisor = ActorSupervisor::new(Clock::simulated("boot", 0));
    let control = Control {
        path: path.clone(),
        curator: rig.log.curator(),
        stop: supervisor.stop_of(Stage::Uploads),
        heartbeat: Heartbeat::unwatched(),
    };
    let mut running = JoinSet::new();
    running.spawn(async move { run(control).await.expect("no error") });
    while UnixStream::connect(&path).await.is_err() {
        tokio::task::yield_now().await;
    }
    drop(supervisor);
    running.join_next().await.expect("running").expect("ended well");
    assert!(!path.exists());
}
