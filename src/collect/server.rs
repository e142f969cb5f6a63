//! The HTTP server of the receiver: connections, routes and answers.
//!
//! No client can block it: the number of connections and the times for headers and body are bounded, and
//! only uploads wait for the store. Checking an upload is left to `reception`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::intake::UploadReceipt;
use super::reception::{self, Reception};
use super::refusal::UploadRefusal;
use super::stats::Stats;
use super::store::Store;

/// The largest number of connections. A small site has a few dozen devices; more clients wait in the
/// kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// The time for the headers of a request, and so for an idle connection too.
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// The pause after a failed accept. If the process is out of file descriptors, trying again at once would
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The state that all connections share.
#[derive(Debug)]
pub(super) struct CollectorService {
    store: Store,
    stats: watch::Receiver<Stats>,
    reception: Reception,
}

type Answer = Response<Full<Bytes>>;

pub(super) async fn serve(
    listener: TcpListener,
    service: Arc<CollectorService>,
    stop: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            // Cancel-safe: a connection that has ended is joined the next time.
            Some(ended) = connections.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "answering a connection failed; this is a bug");
            },
            // Cancel-safe: a connection that is not accepted stays in the kernel's queue.
            stream = accept(&listener), if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(converse(stream, Arc::clone(&service)));
            }
        }
    }
    connections.shutdown().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => tracing::warn!(%error, "failed to accept a connection"),
        }
        sleep(ACCEPT_PAUSE).await;
    }
}

async fn converse(stream: TcpStream, service: Arc<CollectorService>) {
    let answer = service_fn(|request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

impl CollectorService {
    pub(super) fn new(store: Store, token: Option<String>) -> Self {
        Self { stats: store.stats(), store, reception: Reception::new(token) }
    }

    pub(super) fn stats(&self) -> watch::Receiver<Stats> {
        self.stats.clone()
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/health") => json(StatusCode::OK, &serde_json::json!({"ok": true})),
            (&Method::GET, "/stats") => self.tell(request.headers()),
            (&Method::POST, "/health" | "/stats") => not_allowed("GET"),
            (&Method::POST, _) => self.receive(request).await,
            (&Method::GET, _) => json(StatusCode::NOT_FOUND, &reason("try /stats or /health")),
            _ => not_allowed("GET, POST"),
        }
    }

    fn tell(&self, headers: &HeaderMap) -> Answer {
        match self.reception.admit(headers) {
            Ok(()) => json(StatusCode::OK, &*self.stats.borrow()),
            Err(refusal) => refused(&refusal),
        }
    }

    async fn receive(&self, request: Request<Incoming>) -> Answer {
        let (head, mut body) = request.into_parts();
        match timeout(BODY_TIME_MAX, self.reception.take(&head.headers, &mut body)).await {
            Ok(Ok((upload, room))) => {
                let outcome = self.store.accept(upload).await;
                drop(room);
                outcome.map_or_else(|refusal| refused(&refusal), accepted)
            }
            Ok(Err(refusal)) => {
                // The refusal is the answer whether the whole body was read or not.
                let _ = timeout(BODY_TIME_MAX, reception::drain(body)).await;
                refused(&refusal)
            }
            Err(_) => refused(&UploadRefusal::Slow { seconds: BODY_TIME_MAX.as_secs() }),
        }
    }
}

fn accepted(receipt: UploadReceipt) -> Answer {
    json(StatusCode::OK, &receipt)
}

fn refused(refusal: &UploadRefusal) -> Answer {
    let (status, why) = (refusal.status(), refusal.reason());
    if status.is_server_error() {
        tracing::warn!(error = why, "refused an upload; its sender keeps it");
    }
    let mut answer = json(status, &reason(&why));
    if matches!(refusal, UploadRefusal::Token) {
        let challenge = HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

fn not_allowed(methods: &'static str) -> Answer {
    let why = reason("method not allowed here");
    let mut answer = json(StatusCode::METHOD_NOT_ALLOWED, &why);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    answer
}

fn reason(text: &str) -> serde_json::Value {
    serde_json::json!({ "error": text })
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
