//! Tests of the real server on a loopback socket with well and badly behaved clients.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;
use crate::clock::Clock;
use crate::status::test_site::{Site, site};
use crate::supervisor::{ActorSupervisor, Stage};

/// A running server; it ends when its task set is dropped.
struct Rig {
    port: Arc<LocalPort>,
    site: Site,
    supervisor: ActorSupervisor,
    tasks: JoinSet<Result<(), HttpError>>,
}

impl Rig {
    async fn start(connections_max: usize) -> Self {
        Self::with(Http { connections_max, ..Http::default() }).await
    }

    async fn with(http: Http) -> Self {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let port = Arc::new(LocalPort::bind(any, &http).await.expect("loopback"));
        let supervisor = ActorSupervisor::new(Clock::simulated("boot", 0));
        let mut rig = Self { port, site: site(), supervisor, tasks: JoinSet::new() };
        rig.incarnate();
        rig
    }

    fn incarnate(&mut self) {
        let stop = self.supervisor.stop_of(Stage::Http);
        let (port, board) = (Arc::clone(&self.port), self.site.board.clone());
        self.tasks.spawn(port.run(board, Metrics::default(), stop, Heartbeat::unwatched()));
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.port.local_addr()).await.expect("it listens")
    }

    /// Sends a request and returns everything until the connection ends.
    async fn talk(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.expect("it is taken");
        heard(&mut stream).await
    }

    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        self.talk(request.as_bytes()).await
    }
}

/// Reads until the other side ends the connection, be it by a reset.
async fn heard(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a request and reads one whole answer on a connection that stays open.
async fn answered(stream: &mut TcpStream) -> bool {
    drop(stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await);
    let mut answer = Vec::new();
    while !answer.ends_with(b"}\n") {
        match stream.read_buf(&mut answer).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
    }
    answer.starts_with(b"HTTP/1.1 200 OK\r\n")
}

#[tokio::test]
async fn every_page_is_served_over_the_wire() {
    let rig = Rig::start(4).await;
    for path in ["/", "/health", "/ready", "/status", "/metrics"] {
        assert!(rig.get(path).await.starts_with("HTTP/1.1 200 OK\r\n"), "{path}");
    }
    assert!(rig.get("/status?pretty").await.contains("\"device\": \"pump-7\""));
    assert!(rig.get("/no").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let rig = Rig::start(4).await;
    let got = rig.get("/ready").await;
    let head = rig.talk(b"HEAD /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let (headers, body) = got.split_once("\r\n\r\n").expect("headers end");
    assert_eq!(head, format!("{headers}\r\n\r\n"));
    assert!(headers.contains(&format!("content-length: {}", body.len())));
}

#[tokio::test]
async fn an_upload_is_refused_unread() {
    let rig = Rig::start(4).await;
    let request = b"POST /status HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\nabc";
    assert!(rig.talk(request).await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn garbage_is_refused_and_disturbs_nobody() {
    let rig = Rig::start(4).await;
    let mut kept = rig.connect().await;
    assert!(rig.talk(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    assert!(rig.talk(b"GET\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    assert!(answered(&mut kept).await);
}

#[tokio::test]
async fn a_head_without_end_is_cut_at_its_limit() {
    let rig = Rig::start(4).await;
    let mut head = b"GET / HTTP/1.1\r\nx: ".to_vec();
    head.resize(HEAD_BYTES_MAX + 1, b'a');
    assert!(rig.talk(&head).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn clients_that_say_nothing_or_half_do_not_lock_others_out() {
    let rig = Rig::start(4).await;
    let (mut lame, began) = (Vec::new(), Instant::now());
    for _ in 0..20 {
        let mut stream = rig.connect().await;
        drop(stream.write_all(b"GET /health HT").await);
        lame.push(stream);
        assert!(rig.get("/health").await.starts_with("HTTP/1.1 200"));
    }
    assert!(began.elapsed() < HEAD_TIME_MAX, "nobody waited for a place to time out");
}

#[tokio::test]
async fn the_newcomer_gets_the_place_of_the_oldest() {
    let rig = Rig::start(2).await;
    let (mut first, mut second) = (rig.connect().await, rig.connect().await);
    assert!(answered(&mut first).await && answered(&mut second).await);
    let mut third = rig.connect().await;
    assert!(answered(&mut third).await);
    heard(&mut first).await;
    assert!(!answered(&mut first).await, "the oldest made room");
    assert!(answered(&mut second).await && answered(&mut third).await);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_cut_after_its_time() {
    let rig = Rig::start(4).await;
    let mut stream = rig.connect().await;
    stream.write_all(b"GET /health HT").await.expect("it is taken");
    let began = Instant::now();
    assert_eq!(heard(&mut stream).await, "");
    let took = began.elapsed();
    assert!(took >= HEAD_TIME_MAX && took < HEAD_TIME_MAX * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_stops_asking_connects_anew_now_and_then() {
    let rig = Rig::start(4).await;
    let (mut stream, began) = (rig.connect().await, Instant::now());
    while answered(&mut stream).await {
        sleep(Duration::from_secs(1)).await;
    }
    let took = began.elapsed();
    assert!(took >= CONNECTION_TIME_MAX && took < CONNECTION_TIME_MAX * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_and_does_not_read_is_cut() {
    let rig = Rig::start(4).await;
    let mut stream = rig.connect().await;
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(64);
    while stream.write_all(&request).await.is_ok() {}
}

#[tokio::test]
async fn it_ends_when_stopped_and_its_successor_takes_the_same_address() {
    let mut rig = Rig::start(4).await;
    let mut kept = rig.connect().await;
    assert!(answered(&mut kept).await);
    rig.tasks.abort_all();
    while rig.tasks.join_next().await.is_some() {}
    heard(&mut kept).await;
    rig.incarnate();
    assert!(rig.get("/health").await.starts_with("HTTP/1.1 200"));
    drop(std::mem::replace(&mut rig.supervisor, ActorSupervisor::new(Clock::simulated("boot", 0))));
    assert!(matches!(rig.tasks.join_next().await, Some(Ok(Ok(())))));
}

#[tokio::test]
async fn an_address_in_use_is_said_with_the_next_step() {
    let rig = Rig::start(4).await;
    let address = rig.port.local_addr();
    let error = LocalPort::bind(address, &Http::default()).await.expect_err("it is taken");
    let expected = format!(
        "failed to listen on `{address}`; another program listens on it; change `http.listen`"
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        crate::error_chain::error_chain(&error),
        format!("{expected}: Address already in use (os error 98)")
    );
}
