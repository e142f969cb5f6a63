//! The client against servers that misbehave.
//!
//! Invariants checked: only a 2xx status for a request that was sent completely is an acceptance, whatever
//! else the server sends; its answer is read within bounds; every byte is counted.

use std::future::Future;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

type Answered = Result<Result<(), Unsuccessful>, SinkRefusal>;

/// Serves one connection after the other. Returns the URL of the server.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let url = format!("http://{}/v1/readings", listener.local_addr().expect("an address"));
    start(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            serve(stream).await;
        }
    });
    url
}

#[expect(clippy::disallowed_methods, reason = "a server of a test ends with its runtime")]
fn start(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

/// Reads a request to its end. Returns its length in bytes.
async fn request(stream: &mut TcpStream) -> usize {
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut bytes).await {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        if bytes.len() >= head.len() + 4 + length {
            return bytes.len();
        }
    }
    bytes.len()
}

/// A server that answers every request with these bytes and then stays silent.
async fn saying(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    server(move |mut stream| {
        let answer = answer.clone();
        async move {
            request(&mut stream).await;
            drop(stream.write_all(&answer).await);
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
    })
    .await
}

async fn post(url: &str, body: usize) -> Answered {
    let client = HttpClient::new(url.to_owned(), Access::default(), Wire::default());
    let answered = client.post(HeaderMap::new(), vec![b'x'; body]);
    timeout(Duration::from_secs(20), answered).await.expect("an answer is bounded in time")
}

async fn post_to(answer: impl Into<Vec<u8>>) -> Answered {
    post(&saying(answer).await, 1000).await
}

fn link_down(answered: &Answered) -> bool {
    matches!(answered, Err(SinkRefusal::Retry { cause: Cause::LinkDown, .. }))
}

#[tokio::test]
async fn only_the_status_decides_whatever_the_body_claims() {
    let lies = [
        ("application/json", r#"{"accepted":0,"error":"nothing was stored"}"#),
        ("image/png", "\u{89}PNG\u{0}\u{0}"),
        ("text/html", "<h1>500 Internal Server Error</h1>"),
        ("application/json", r#"{"acknowledged":[1,18446744073709551615]}"#),
    ];
    for (media, body) in lies {
        let rest = format!("content-type: {media}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        assert_eq!(post_to(format!("HTTP/1.1 200 OK\r\n{rest}")).await, Ok(Ok(())), "{body}");
        let refused = post_to(format!("HTTP/1.1 500 Oh\r\n{rest}")).await.expect("an answer");
        assert!(refused.is_err(), "{body}");
    }
}

#[tokio::test]
async fn an_acceptance_stands_although_its_body_breaks_off_or_never_ends() {
    let accepted = "HTTP/1.1 200 OK\r\n";
    assert_eq!(post_to(format!("{accepted}content-length: 1000\r\n\r\nxy")).await, Ok(Ok(())));
    assert_eq!(
        post_to(format!("{accepted}transfer-encoding: chunked\r\n\r\nzz")).await,
        Ok(Ok(()))
    );
    let endless = [accepted.as_bytes(), b"\r\n", &[b'x'; 4 << 20]].concat();
    assert_eq!(post_to(endless).await, Ok(Ok(())));
}

#[tokio::test]
async fn a_body_without_end_is_read_within_bounds_whatever_the_status() {
    for status in ["200 OK", "400 No", "503 Later"] {
        let wire = Wire::default();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 8388608\r\n\r\n");
        let url = saying([head.into_bytes(), vec![b'x'; 8 << 20]].concat()).await;
        let client = HttpClient::new(url, Access::default(), wire.clone());
        let answered = client.post(HeaderMap::new(), vec![]).await.expect("an answer");
        assert_eq!(answered.is_ok(), status == "200 OK");
        assert!(wire.total() < 256 << 10, "{status}: {} bytes were read", wire.total());
    }
}

#[tokio::test]
async fn what_is_no_whole_head_of_an_answer_accepts_nothing() {
    let half = "HTTP/1.1 200 OK\r\ncontent-le";
    let url = server(move |mut stream| async move {
        request(&mut stream).await;
        drop(stream.write_all(half.as_bytes()).await);
    })
    .await;
    assert!(link_down(&post(&url, 10).await));
    for nonsense in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let answered = post_to(nonsense).await;
        assert!(link_down(&answered), "{nonsense}: {answered:?}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_read_within_bounds() {
    let wire = Wire::default();
    let url = saying([b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; 8 << 20]].concat()).await;
    let client = HttpClient::new(url, Access::default(), wire.clone());
    let answered = client.post(HeaderMap::new(), vec![]).await;
    assert!(link_down(&answered), "{answered:?}");
    assert!(wire.total() < 64 << 10, "{} bytes were read", wire.total());
}

#[tokio::test]
async fn informational_answers_without_end_are_read_within_bounds() {
    let wire = Wire::default();
    let url = saying(b"HTTP/1.1 102 Processing\r\n\r\n".repeat(200_000)).await;
    let client = HttpClient::new(url, Access::default(), wire.clone());
    let answered = client.post(HeaderMap::new(), vec![]).await;
    assert!(link_down(&answered), "{answered:?}");
    assert!(wire.total() < 512 << 10, "{} bytes were read", wire.total());
    let few = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(3);
    let accepted = [few, b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()].concat();
    assert_eq!(post_to(accepted).await, Ok(Ok(())));
}

#[tokio::test]
async fn an_acceptance_before_the_request_was_read_accepts_nothing() {
    // More bytes than the kernel accepts while the server does not read.
    const BODY: usize = 16 << 20;
    let url = server(|mut stream| async move {
        let mut some = [0; 100];
        drop(stream.read(&mut some).await);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await);
        std::future::pending::<()>().await;
    })
    .await;
    let answered = post(&url, BODY).await;
    let Err(SinkRefusal::Retry { cause, reason, .. }) = answered else { panic!("{answered:?}") };
    assert_eq!(cause, Cause::ServerBusy);
    let detail = reason.to_string();
    assert!(detail.contains("before it was sent the whole request"), "{detail}");
    // The same size is accepted once it was read.
    assert_eq!(
        post(&saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await, BODY).await,
        Ok(Ok(()))
    );
}

#[tokio::test]
async fn an_acceptance_of_nothing_asked_for_accepts_nothing() {
    let url = server(|mut stream| async move {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await);
        // The answer comes before the request; then the server hangs up.
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(stream.shutdown().await);
    })
    .await;
    let client = HttpClient::new(url, Access::default(), Wire::default());
    let pool = client.pool().expect("a pool");
    drop(pool);
    let answered =
        timeout(Duration::from_secs(5), client.post(HeaderMap::new(), vec![b'x'; 9])).await;
    assert!(!matches!(answered, Ok(Ok(Ok(())))), "{answered:?}");
}

#[tokio::test]
async fn every_byte_of_both_directions_is_counted() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    let (sender, mut sizes) = tokio::sync::mpsc::channel(8);
    let url = server(move |mut stream| {
        let sender = sender.clone();
        async move {
            for _ in 0..2 {
                let size = request(&mut stream).await;
                sender.send(size).await.expect("the test listens");
                stream.write_all(ANSWER.as_bytes()).await.expect("write");
            }
        }
    })
    .await;
    let wire = Wire::default();
    let client = HttpClient::new(url, Access::default(), wire.clone());
    let mut expected = 0;
    for body in [10, 300_000] {
        let answered = client.post(HeaderMap::new(), vec![b'x'; body]).await;
        assert_eq!(answered, Ok(Ok(())));
        expected += sizes.recv().await.expect("a size") + ANSWER.len();
        assert_eq!(wire.total(), expected as u64);
    }
}

#[tokio::test]
async fn secrets_and_headers_go_along_and_the_protocol_s_own_stay() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("headers");
    crate::credentials::file::write_secret(&file, "X-Api-Key: k3y\n");
    let (sender, mut heads) = tokio::sync::mpsc::channel(1);
    let url = server(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut head = vec![0; 4096];
            let count = stream.read(&mut head).await.expect("read");
            head.truncate(count);
            sender.send(String::from_utf8(head).expect("text")).await.expect("the test listens");
            drop(stream.write_all(b"HTTP/1.1 401 No\r\ncontent-length: 9\r\n\r\nnot k3y !").await);
        }
    })
    .await;
    let access = Access {
        headers: vec![("X-Site".into(), "north".into())],
        headers_file: Some(file),
        ..Access::default()
    };
    let client = HttpClient::new(url, access, Wire::default());
    let mut own = HeaderMap::new();
    own.insert("x-site", HeaderValue::from_static("ours"));
    let answered = client.post(own, b"body".to_vec()).await.expect("an answer");
    let detail = answered.expect_err("401").to_string();
    assert!(detail.contains("not [secret] !") && detail.contains("headers_file"), "{detail}");
    let head = heads.recv().await.expect("a head");
    assert!(head.contains("x-api-key: k3y\r\n") && head.contains("x-site: ours\r\n"), "{head}");
    assert!(!head.contains("north"), "{head}");
}
