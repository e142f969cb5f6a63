//! Fetches one page from a local port, of this daemon or of another outstation.

use std::path::PathBuf;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::TlsFiles;
use crate::credentials::SetupError;
use crate::credentials::file::{FileKind, NamedFile};
use crate::credentials::tls::{self, Io};

const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("`{url}` is not a URL like http://127.0.0.1:9437")]
    Url { url: String },
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(
        "failed to connect to `{address}`; is the daemon running, and is this its `http.listen`?"
    )]
    Connect { address: String, source: std::io::Error },
    #[error(
        "failed to agree on TLS with `{address}`; is the authority of its `http.cert_file` given \
         with --ca-file, and does it speak https at all?"
    )]
    Tls { address: String, source: std::io::Error },
    #[error("failed to read `{url}`; does it let this address in, and does it speak {other}?")]
    Exchange { url: String, other: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("`{url}` asks for a name and a password; give --username and --password-file")]
    Login { url: String },
    #[error("`{url}` does not know `{username}` with the password given")]
    Password { url: String, username: String },
    #[error("no answer from `{url}` within {} s", PATIENCE.as_secs())]
    Timeout { url: String },
}

/// The proofs of identity that a local port may ask for.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// The files for TLS, which are used with `https`.
    pub tls: TlsFiles,
    /// The user name, and the path of the file that holds the password.
    pub login: Option<(String, PathBuf)>,
}

/// Fetches `url` and returns the status and the body, which may have up to 4 MiB. Fails if there is no
/// answer within 10 s, or if the server asks for a login that `proof` does not give.
pub async fn get(url: &str, proof: &Proof) -> Result<(StatusCode, Bytes), FetchError> {
    let exchange = exchange(url, proof);
    timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| Err(FetchError::Timeout { url: url.to_owned() }))
}

async fn exchange(url: &str, proof: &Proof) -> Result<(StatusCode, Bytes), FetchError> {
    let wrong = || FetchError::Url { url: url.to_owned() };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let (usual, other) = match uri.scheme_str() {
        Some("http") => (80, "http and not https"),
        Some("https") => (443, "https and not http"),
        _ => return Err(wrong()),
    };
    let host = uri.host().ok_or_else(wrong)?;
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(usual));
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
        let url = url.to_owned();
        FetchError::Exchange { url, other, source }
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path).header(HOST, &address);
    if let Some((username, file)) = &proof.login {
        let password = NamedFile::secret(FileKind::Password, file).password()?;
        let login = BASE64_STANDARD.encode(format!("{username}:{password}"));
        request = request.header(AUTHORIZATION, format!("Basic {login}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(error.into()))?;
    let stream = connect(host, address, usual == 443, proof).await?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(error.into()))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| failed(error.into()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok::<_, FetchError>((status, body.map_err(failed)?.to_bytes()))
    };
    tokio::pin!(answer);
    // The connection makes progress only while it is polled; the exchange is over when the answer is
    // complete.
    let (status, body) = tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }?;
    match &proof.login {
        None if status == StatusCode::UNAUTHORIZED => {
            Err(FetchError::Login { url: url.to_owned() })
        }
        Some((username, _)) if status == StatusCode::UNAUTHORIZED => {
            Err(FetchError::Password { url: url.to_owned(), username: username.clone() })
        }
        _ => Ok((status, body)),
    }
}

async fn connect(
    host: &str,
    address: String,
    encrypted: bool,
    proof: &Proof,
) -> Result<Box<dyn Io>, FetchError> {
    // The files are read before anything is sent, so that a missing file is reported as such.
    let config = encrypted.then(|| tls::client_config(&proof.tls)).transpose()?;
    let stream = TcpStream::connect(&address).await;
    let stream =
        stream.map_err(|source| FetchError::Connect { address: address.clone(), source })?;
    let Some(config) = config else { return Ok(Box::new(stream)) };
    let agreed = tls::connect(stream, host.trim_matches(['[', ']']), config)?.await;
    let stream = agreed.map_err(|source| FetchError::Tls { address, source })?;
    Ok(Box::new(stream))
}
