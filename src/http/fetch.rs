//! Asks a local port, ours or another outstation's: one GET, one answer.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("`{url}` is not a URL like http://127.0.0.1:9437")]
    Url { url: String },
    #[error(
        "failed to connect to `{address}`; is the daemon running, and is this its `http.listen`?"
    )]
    Connect { address: String, source: std::io::Error },
    #[error("failed to read `{url}`")]
    Exchange { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("no answer from `{url}` within {} s", PATIENCE.as_secs())]
    Timeout { url: String },
}

/// Gets `url`, which must be plain `http`.
pub async fn get(url: &str) -> Result<(StatusCode, Bytes), FetchError> {
    let wrong = || FetchError::Url { url: url.to_owned() };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    let exchange = exchange(url, &uri, address);
    timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| Err(FetchError::Timeout { url: url.to_owned() }))
}

async fn exchange(
    url: &str,
    uri: &Uri,
    address: String,
) -> Result<(StatusCode, Bytes), FetchError> {
    let failed =
        |source: hyper::Error| FetchError::Exchange { url: url.to_owned(), source: source.into() };
    let stream = TcpStream::connect(&address)
        .await
        .map_err(|source| FetchError::Connect { address: address.clone(), source })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(HOST, address).body(Empty::<Bytes>::new());
    let request = request
        .map_err(|source| FetchError::Exchange { url: url.to_owned(), source: source.into() })?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|source| FetchError::Exchange { url: url.to_owned(), source })?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(answer);
    // The connection makes progress only while polled; the answer decides when it is over.
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
