//! The `http` sink: one POST per batch. The only place that knows the HTTP client.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::timeout;
use tower::Service;

use super::{Offer, Receipt, Refusal, json};
use crate::config::{Encoding, HttpSink as HttpSinkConfig};
use crate::domain::batch::Batch;
use crate::domain::breaker::Cause;
use crate::telemetry::error_chain;

/// The media type of a packed batch.
pub const PACKED: &str = "application/vnd.outstation.packed";
/// The media type of one JSON object per line.
pub const NDJSON: &str = "application/x-ndjson";
/// How much of an answer is read: enough for a reason, too little to be a burden.
const ANSWER_BYTES_MAX: usize = 4096;
/// How long the body of an answer is waited for once its status is known.
const BODY_PATIENCE: Duration = Duration::from_secs(1);
/// A connection unused for this long is closed: most routers forget it soon after.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Segments are compressed already; this level catches what repeats between them.
const ZSTD_LEVEL: i32 = 3;

/// Why a sink cannot be set up. `check` finds it; the daemon takes it as a misconfigured sink.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("failed to read the token file `{}`", .path.display())]
    Token { path: PathBuf, source: std::io::Error },
    #[error("the token file `{}` holds no usable token; it must be one line of visible ASCII", .path.display())]
    TokenContent { path: PathBuf },
    #[error("failed to read certificates from `{}`", .path.display())]
    Authorities { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("`{}` holds no certificate", .path.display())]
    NoAuthority { path: PathBuf },
    #[error("failed to set up TLS")]
    Tls(#[source] rustls::Error),
}

#[derive(Clone, Debug)]
pub struct HttpSink(Arc<Inner>);

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

#[derive(Debug)]
struct Inner {
    config: HttpSinkConfig,
    /// Made at first use: a missing certificate file must not keep readings from being recorded.
    client: OnceLock<HttpClient>,
}

impl HttpSink {
    pub fn new(config: &HttpSinkConfig) -> Self {
        Self(Arc::new(Inner { config: config.clone(), client: OnceLock::new() }))
    }

    /// What would keep this sink from ever sending.
    pub fn check(config: &HttpSinkConfig) -> Result<(), SetupError> {
        config.token_file.as_deref().map(read_token).transpose()?;
        connector(config.ca_file.as_deref()).map(drop)
    }
}

impl Service<Offer> for HttpSink {
    type Response = Receipt;
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Receipt, Refusal>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, offer: Offer) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.send(&offer.0).await })
    }
}

impl Inner {
    async fn send(&self, batch: &Batch) -> Result<Receipt, Refusal> {
        let body = encode(batch, self.config.encoding)?;
        let bytes = body.len() as u64;
        let request = self.request(batch, body).map_err(refused_by_setup)?;
        let client = self.client().map_err(refused_by_setup)?;
        let response = client.request(request).await.map_err(|error| refused_by_link(&error))?;
        if response.status().is_success() {
            // Read to the end, so that the connection can be used again; its content is no matter,
            // and a body that never ends does not take the acceptance back.
            let rest = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
            drop(timeout(BODY_PATIENCE, rest).await);
            return Ok(Receipt { bytes });
        }
        Err(self.refused_by_server(response).await)
    }

    fn client(&self) -> Result<&HttpClient, SetupError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .build(connector(self.config.ca_file.as_deref())?);
        Ok(self.client.get_or_init(|| client))
    }

    /// The token is read for each request, so that it can be replaced while the daemon runs.
    fn request(&self, batch: &Batch, body: Vec<u8>) -> Result<Request<Full<Bytes>>, SetupError> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.config.url.clone();
        let headers = request.headers_mut();
        let (media, coding) = match self.config.encoding {
            Encoding::Packed => (PACKED, Some("zstd")),
            Encoding::Json => (NDJSON, None),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("outstation/", env!("CARGO_PKG_VERSION"))),
        );
        if let Ok(id) = HeaderValue::from_str(&batch.id().to_string()) {
            headers.insert(HeaderName::from_static("idempotency-key"), id);
        }
        if let Some(path) = &self.config.token_file {
            headers.insert(AUTHORIZATION, read_token(path)?);
        }
        Ok(request)
    }

    async fn refused_by_server(&self, response: Response<Incoming>) -> Refusal {
        let (status, after) = (response.status(), retry_after(response.headers()));
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body = timeout(BODY_PATIENCE, body).await.ok().and_then(Result::ok);
        let reason =
            body.map(|body| excerpt(&body.to_bytes(), self.token().as_deref())).unwrap_or_default();
        let detail = format!("the server answered {status}{reason}");
        match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Refusal::Rejected { detail },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Refusal::Retry { cause: Cause::ServerBusy, after, detail }
            }
            _ if status.is_server_error() => {
                Refusal::Retry { cause: Cause::ServerBusy, after, detail }
            }
            // Redirects too: the readings and the token go where they were configured to go.
            _ => Refusal::Retry { cause: Cause::Misconfigured, after: None, detail },
        }
    }

    /// The token, to keep it out of what is said about an answer.
    fn token(&self) -> Option<String> {
        let path = self.config.token_file.as_ref()?;
        std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    }
}

fn encode(batch: &Batch, encoding: Encoding) -> Result<Vec<u8>, Refusal> {
    let rejected = |detail: String| Refusal::Rejected { detail };
    match encoding {
        Encoding::Packed => {
            let packed = batch
                .to_packed()
                .map_err(|error| rejected(format!("failed to pack the batch: {error}")))?;
            zstd::bulk::compress(&packed, ZSTD_LEVEL)
                .map_err(|error| rejected(format!("failed to compress the batch: {error}")))
        }
        Encoding::Json => json::encode(batch)
            .map_err(|error| rejected(format!("failed to encode the batch: {error}"))),
    }
}

fn refused_by_setup(error: SetupError) -> Refusal {
    Refusal::Retry { cause: Cause::Misconfigured, after: None, detail: error_chain(&error) }
}

/// No answer at all. A certificate that is not accepted is a person's business, the rest weather.
fn refused_by_link(error: &hyper_util::client::legacy::Error) -> Refusal {
    let detail = error_chain(error);
    let tls = std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| {
        error.source()
    })
    .any(is_tls);
    let cause = if tls { Cause::Misconfigured } else { Cause::LinkDown };
    Refusal::Retry { cause, after: None, detail }
}

fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    // An I/O error keeps what it wraps out of `source`, and the connector wraps twice.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|error| is_tls(error))
}

/// The first line of an answer, fit for one line of our log. A server that echoes what it was sent
/// must not put our token there.
fn excerpt(body: &[u8], token: Option<&str>) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.lines().next().unwrap_or_default().trim().to_owned();
    let line = match token.filter(|token| !token.is_empty()) {
        Some(token) => line.replace(token, "[token]"),
        None => line,
    };
    let short: String = line.chars().take(200).collect();
    if short.is_empty() { short } else { format!(": {}", short.escape_debug()) }
}

/// `Retry-After` in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn read_token(path: &Path) -> Result<HeaderValue, SetupError> {
    let failed = |source| SetupError::Token { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let token = text.trim();
    let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = usable.then(|| HeaderValue::from_str(&format!("Bearer {token}")).ok()).flatten();
    let mut value = value.ok_or_else(|| SetupError::TokenContent { path: path.to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}

fn connector(ca_file: Option<&Path>) -> Result<HttpsConnector<HttpConnector>, SetupError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(IDLE_MAX));
    let builder = HttpsConnectorBuilder::new();
    let builder = match ca_file {
        None => builder
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(SetupError::Tls)?,
        Some(path) => builder.with_tls_config(private_tls(path)?),
    };
    Ok(builder.https_or_http().enable_http1().wrap_connector(http))
}

/// Trusts the authorities of one file and no others.
fn private_tls(path: &Path) -> Result<rustls::ClientConfig, SetupError> {
    let failed = |source| SetupError::Authorities { path: path.to_owned(), source };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
        roots.add(certificate.map_err(failed)?).map_err(SetupError::Tls)?;
    }
    if roots.is_empty() {
        return Err(SetupError::NoAuthority { path: path.to_owned() });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(SetupError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
