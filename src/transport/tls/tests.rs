//! TLS against a real server: each failure says what to change, and renewed files are used.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::header::HeaderMap;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::Access;
use crate::credentials::SetupError;
use crate::credentials::file::write_secret;
use crate::domain::policy::breaker::Cause;
use crate::transport::http_client::HttpClient;
use crate::upload::{SinkRefusal, Wire};

type Authority = CertifiedIssuer<'static, KeyPair>;

struct Site {
    folder: TempDir,
    authority: Authority,
}

impl Site {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let site = Self { folder: TempDir::new().expect("a folder"), authority };
        site.write("ca.pem", &site.authority.pem());
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file with another length each time, because the timestamp of a file may be too coarse for a
    /// test.
    fn write(&self, name: &str, text: &str) {
        let before = std::fs::metadata(self.path(name)).map_or(0, |metadata| metadata.len());
        let padding = if before == text.len() as u64 { "\n" } else { "" };
        write_secret(&self.path(name), &format!("{text}{padding}"));
    }

    /// Renews our certificate and, if `write_key`, its key. Returns the certificate as a server sees it.
    fn renew(&self, write_key: bool) -> Vec<u8> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["board".into()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        self.write("cert.pem", &certificate.pem());
        if write_key {
            self.write("key.pem", &key.serialize_pem());
        }
        certificate.der().to_vec()
    }

    /// Starts a server that accepts every request and reports the client certificate of each connection.
    async fn server(
        &self,
        change: impl FnOnce(&mut CertificateParams),
        mutual: bool,
    ) -> (String, mpsc::Receiver<Option<Vec<u8>>>) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("parameters");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("protocol versions");
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = if mutual { verifier } else { verifier.allow_unauthenticated() };
        let private = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = config
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(vec![certificate.der().clone()], private)
            .expect("a certificate that fits its key");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let port = listener.local_addr().expect("an address").port();
        let (sender, shown) = mpsc::channel(8);
        serve(listener, TlsAcceptor::from(Arc::new(config)), sender);
        (format!("https://localhost:{port}/"), shown)
    }

    fn trusting(&self) -> TlsFiles {
        TlsFiles { ca_file: Some(self.path("ca.pem")), ..TlsFiles::default() }
    }

    fn mutual(&self) -> TlsFiles {
        let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|name| Some(self.path(name)));
        TlsFiles { cert_file, key_file, ..self.trusting() }
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of a test ends with its runtime")]
fn serve(listener: TcpListener, acceptor: TlsAcceptor, sender: mpsc::Sender<Option<Vec<u8>>>) {
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let shown = stream.get_ref().1.peer_certificates();
            let shown = shown.and_then(|chain| chain.first()).map(|first| first.to_vec());
            drop(stream.read(&mut [0; 4096]).await);
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            drop(stream.write_all(answer).await);
            drop(stream.shutdown().await);
            sender.send(shown).await.expect("the test listens");
        }
    });
}

fn client(url: &str, tls: TlsFiles) -> HttpClient {
    let access = Access { tls, ..Access::default() };
    HttpClient::new(url.to_owned(), access, Wire::default())
}

async fn refused(url: &str, files: TlsFiles) -> (Cause, String) {
    let client = client(url, files);
    match client.post(HeaderMap::new(), b"x".to_vec()).await {
        Err(SinkRefusal::Retry { cause, reason, .. }) => (cause, reason.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_from_the_future_makes_the_board_s_clock_suspect() {
    let site = Site::new();
    let (url, _) = site.server(|params| params.not_before = date_time_ymd(2999, 1, 1), false).await;
    let (cause, detail) = refused(&url, site.trusting()).await;
    assert_eq!(cause, Cause::Misconfigured);
    assert!(detail.contains("not valid before 2999-01-01T"), "{detail}");
    assert!(
        detail.contains("the board's clock shows 20") && detail.ends_with("is it set?"),
        "{detail}"
    );
}

#[tokio::test]
async fn each_fault_of_a_certificate_says_what_to_change() {
    let site = Site::new();
    let (expired, _) =
        site.server(|params| params.not_after = date_time_ymd(2020, 1, 1), false).await;
    let (_, detail) = refused(&expired, site.trusting()).await;
    assert!(
        detail.contains("expired at 2020-01-01T") && detail.contains("the server needs"),
        "{detail}"
    );
    let (url, _) = site.server(|_| (), false).await;
    let (cause, detail) = refused(&url, TlsFiles::default()).await;
    assert_eq!(cause, Cause::Misconfigured);
    assert!(detail.contains("name the certificate of its authority in `ca_file`"), "{detail}");
    let (_, detail) = refused(&url, Site::new().trusting()).await;
    assert!(detail.contains("is it the right file?"), "{detail}");
    let (_, detail) = refused(&url.replace("localhost", "127.0.0.1"), site.trusting()).await;
    assert!(detail.contains("not for `127.0.0.1`") && detail.contains("localhost"), "{detail}");
    let (mutual, _) = site.server(|_| (), true).await;
    let (cause, detail) = refused(&mutual, site.trusting()).await;
    assert_eq!(cause, Cause::Misconfigured);
    assert!(detail.contains("set `cert_file` and `key_file`"), "{detail}");
}

#[test]
fn each_fault_has_its_own_class_and_remedy() {
    use rustls::{AlertDescription as A, CertificateError as C, Error as E};

    let busy = Class::retry(Cause::ServerBusy);
    let link_down = Class::retry(Cause::LinkDown);
    let misconfigured = Class::retry(Cause::Misconfigured);
    for (error, class, remedy) in [
        (E::InvalidCertificate(C::NotValidYet), misconfigured, "the board's clock is behind"),
        (E::InvalidCertificate(C::Expired), misconfigured, "renewed"),
        (E::InvalidCertificate(C::UnknownIssuer), misconfigured, "`ca_file`"),
        (E::InvalidCertificate(C::BadEncoding), misconfigured, "`ca_file`"),
        (E::InvalidCertificate(C::NotValidForName), misconfigured, "host name in `url`"),
        (E::AlertReceived(A::CertificateRequired), misconfigured, "`cert_file`"),
        (E::AlertReceived(A::ProtocolVersion), misconfigured, "check `url`"),
        (E::AlertReceived(A::InternalError), busy, "check `url`"),
        (E::DecryptError, link_down, "check `url`"),
    ] {
        let fault = TlsFault::of(&error, &TlsFiles::default(), 0);
        assert_eq!(fault.class(), class, "{fault}");
        assert!(fault.remedy().contains(remedy), "{fault}: {}", fault.remedy());
    }
}

#[tokio::test]
async fn a_server_without_tls_is_named_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let port = listener.local_addr().expect("an address").port();
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        drop(stream.read_to_end(&mut Vec::new()).await);
    };
    let url = format!("https://localhost:{port}/");
    let (_, (cause, detail)) = tokio::join!(server, refused(&url, TlsFiles::default()));
    assert_eq!(cause, Cause::Misconfigured);
    assert!(detail.contains("should `url` have another port"), "{detail}");
}

#[cfg(feature = "link")]
#[tokio::test]
async fn a_sink_with_a_protocol_of_its_own_is_told_what_to_change_too() {
    use crate::transport::link::Address;

    let site = Site::new();
    let (url, _) = site.server(|_| (), false).await;
    let address = Address::of(&url, &[("https", 443)]).expect("a URL");
    for (files, said) in [
        (TlsFiles::default(), "name the certificate of its authority in `ca_file`"),
        (Site::new().trusting(), "is it the right file?"),
    ] {
        let plain = address.dial(&Wire::default()).await.expect("a server");
        let config = client_config(&files).expect("sound");
        let agreed = address.encrypt(plain, config, &files).await;
        let Some(SinkRefusal::Retry { cause: Cause::Misconfigured, reason, .. }) = agreed.err()
        else {
            panic!("it is no misconfiguration")
        };
        let detail = reason.to_string();
        assert!(detail.contains(said), "{detail}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let site = Site::new();
    let (url, mut shown) = site.server(|_| (), true).await;
    let first = site.renew(true);
    let client = client(&url, site.mutual());
    let mut post = async || {
        let answered = client.post(HeaderMap::new(), b"x".to_vec()).await;
        assert_eq!(answered, Ok(Ok(())));
        shown.recv().await.expect("the server says").expect("a certificate")
    };
    assert_eq!(post().await, first);
    let second = site.renew(true);
    assert_eq!(post().await, second);
    // The next renewal is half done: the key on disk does not fit the certificate.
    site.renew(false);
    assert_eq!(post().await, second);
    std::fs::remove_file(site.path("key.pem")).expect("remove a file");
    assert_eq!(post().await, second);
    let last = site.renew(true);
    assert_eq!(post().await, last);
}

#[test]
fn a_key_that_fits_no_certificate_is_found_before_anything_is_sent() {
    let site = Site::new();
    site.renew(true);
    assert!(client_config(&site.mutual()).is_ok());
    site.renew(false);
    assert!(matches!(client_config(&site.mutual()), Err(SetupError::Mismatch { .. })));
    site.write(
        "key.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let error = client_config(&site.mutual()).expect_err("no key").to_string();
    assert!(error.contains("passphrase"), "{error}");
}
