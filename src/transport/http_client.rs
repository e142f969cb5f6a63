//! The HTTP client of every sink that posts: it sends one request and reads one bounded answer.
//!
//! ```text
//!  post ─▶ http_access ─▶ pool ─▶ TLS (tls) ─▶ bytes counted (http_wire, wire) ─▶ TCP
//!       ◀─ http_answer ◀──┘
//! ```
//!
//! Only the status decides whether a batch is accepted, always as a whole. The body and the content type of
//! an answer have no influence; the body is read within bounds, for a reason to show.

use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use super::http_access::Credentials;
use super::http_answer::Heard;
use super::http_wire::{Metered, is_premature};
use super::tls::{self, FilesStamp, TlsFault};
use crate::clock::Clock;
use crate::credentials::SetupError;
use crate::domain::model::endpoint::without_query;
use crate::domain::policy::breaker::Cause;
use crate::error_chain::error_chain;
use crate::telemetry::events::{Report, TlsFilesUnusable};
use crate::upload::{Class, DeliveryError, SinkRefusal, Wire};

pub(crate) use super::http_answer::Unsuccessful;
pub(crate) use crate::config::Access;

/// The most bytes of an answer's body that are read. It is enough for a reason in text.
const ANSWER_BYTES_MAX: usize = 4096;
/// The longest head of an answer in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long the client waits for the body of an answer after its status.
const BODY_PATIENCE: Duration = Duration::from_secs(1);
/// The idle time after which a connection is closed. Most routers forget a connection soon after.
const IDLE_MAX: Duration = Duration::from_secs(60);

impl Access {
    /// Checks the files that the sink needs. An error means that the sink could never send anything.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        Credentials::read(self)?;
        tls::client_config(&self.tls).map(drop)
    }
}

type Pool = Client<HttpsConnector<Metered>, Full<Bytes>>;

/// A client that posts to one URL.
#[derive(Debug)]
pub(crate) struct HttpClient {
    url: String,
    access: Access,
    wire: Wire,
    clock: Clock,
    /// The connections. They are created at first use, because a missing certificate file must not keep
    /// readings from being recorded, and created again when the certificate files have changed.
    pool: Mutex<Option<(FilesStamp, Pool)>>,
}

impl HttpClient {
    pub(crate) fn new(url: String, access: Access, wire: Wire) -> Self {
        Self { url, access, wire, clock: Clock::system(), pool: Mutex::new(None) }
    }

    /// Posts a body. The inner error is an answer without success, which the caller has to judge. The outer
    /// error is a refusal that needs no judgement.
    pub(crate) async fn post(
        &self,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Result<(), Unsuccessful>, SinkRefusal> {
        let credentials = Credentials::read(&self.access)?;
        let request = self.request(headers, &credentials, body)?;
        let pool = self.pool()?;
        let response = pool.request(request).await.map_err(|error| self.unanswered(error))?;
        if !response.status().is_success() {
            return Ok(Err(self.unsuccessful(response, &credentials).await));
        }
        if is_premature(&response) {
            return Err(AcceptedUnread(response.status()).into());
        }
        // The body is read to its end so that the connection can be used again. Its content has no meaning,
        // and a body that never ends does not revoke the acceptance.
        let rest = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        drop(timeout(BODY_PATIENCE, rest).await);
        Ok(Ok(()))
    }

    /// The connections, with the certificates that are in the files now. If new files do not fit each
    /// other, the old certificates stay in use, because a renewal writes one file after the other.
    fn pool(&self) -> Result<Pool, SetupError> {
        // Every change is a single assignment, so a panic elsewhere leaves no inconsistent state.
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = FilesStamp::of(self.access.tls.paths());
        if let Some((_, pool)) = pool.as_ref().filter(|(known, _)| *known == stamp) {
            return Ok(pool.clone());
        }
        match (self.connect(), pool.as_mut()) {
            (Ok(new), _) => {
                *pool = Some((stamp, new.clone()));
                Ok(new)
            }
            (Err(error), Some((known, old))) => {
                TlsFilesUnusable { url: without_query(&self.url), detail: &error_chain(&error) }
                    .report();
                *known = stamp;
                Ok(old.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    fn connect(&self) -> Result<Pool, SetupError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(IDLE_MAX));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(&self.access.tls)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Metered::new(http, self.wire.clone()));
        Ok(Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector))
    }

    fn request(
        &self,
        headers: HeaderMap,
        credentials: &Credentials,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, SetupError> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.parse().map_err(|_| SetupError::Url(self.url.clone()))?;
        let all = request.headers_mut();
        *all = credentials.headers.clone();
        // Headers of the protocol take precedence over configured ones.
        all.extend(headers);
        let agent = concat!("outstation/", env!("CARGO_PKG_VERSION"));
        all.insert(USER_AGENT, HeaderValue::from_static(agent));
        Ok(request)
    }

    async fn unsuccessful(
        &self,
        response: Response<Incoming>,
        credentials: &Credentials,
    ) -> Unsuccessful {
        let (head, body) = response.into_parts();
        let body = timeout(BODY_PATIENCE, beginning(body)).await.unwrap_or_default();
        let heard = Heard { status: head.status, headers: &head.headers, body: &body };
        Unsuccessful::of(heard, credentials, self.clock.wall_ms())
    }

    /// Converts a failed request. A certificate that is not accepted needs a person; other failures are
    /// transient.
    fn unanswered(&self, error: ClientError) -> SinkRefusal {
        match TlsFault::behind(&error, &self.access.tls) {
            Some(fault) => fault.into(),
            None => NoAnswer(error).into(),
        }
    }
}

/// The beginning of a body. If the body breaks off, the part that was read is returned.
async fn beginning(mut body: Incoming) -> Vec<u8> {
    let mut begin = Vec::new();
    while begin.len() < ANSWER_BYTES_MAX {
        let Some(Ok(frame)) = body.frame().await else { break };
        begin.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    begin.truncate(ANSWER_BYTES_MAX);
    begin
}

/// The request got no answer.
#[derive(Debug)]
struct NoAnswer(ClientError);

impl fmt::Display for NoAnswer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self.0.is_connect() {
            true => "failed to connect",
            false => "there was no answer",
        })
    }
}

impl Error for NoAnswer {
    /// The outermost error of the client says only that it is the client's, so it is skipped.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.source().unwrap_or(&self.0))
    }
}

impl DeliveryError for NoAnswer {
    fn class(&self) -> Class {
        Class::retry(Cause::LinkDown)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the server answered {0} before it was sent the whole request, which accepts nothing")]
struct AcceptedUnread(StatusCode);

impl DeliveryError for AcceptedUnread {
    fn class(&self) -> Class {
        Class::retry(Cause::ServerBusy)
    }
}

#[cfg(test)]
mod tests;
