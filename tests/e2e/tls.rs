//! HTTPS: a private authority is trusted when configured, and nobody else is.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::collector::Collector;
use crate::line::{json_lines, json_values};
use crate::site::{Site, json_port, sink};

/// A TLS front for a plain server; its address, and the authority that vouches for it.
struct Front {
    address: String,
    authority: String,
}

fn front(backend: &str) -> Front {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".into()]).expect("parameters");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .expect("a certificate that fits its key");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("an address").port();
    let (acceptor, backend) = (TlsAcceptor::from(Arc::new(config)), backend.to_owned());
    // Ends with the test process; nothing waits for it.
    std::thread::spawn(move || serve(listener, acceptor, backend));
    Front { address: format!("localhost:{port}"), authority: authority.pem() }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor, backend: String) {
    listener.set_nonblocking(true).expect("set nonblocking");
    let listener = TcpListener::from_std(listener).expect("listen");
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        let (acceptor, backend) = (acceptor.clone(), backend.clone());
        tokio::spawn(async move {
            // A client that trusts nobody hangs up here.
            let mut near = acceptor.accept(stream).await?;
            let mut far = TcpStream::connect(backend).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
    }
}

fn https_sink(front: &Front, rest: &str) -> String {
    sink(&front.address, rest).replace("http://", "https://")
}

#[test]
fn a_private_authority_is_trusted_when_it_is_configured() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let front = front(&collector.address);
    let authority = site.write("ca.pem", &front.authority);
    let mut line = site.plug("text");
    let rest = format!("ca_file = \"{}\"", authority.display());
    let daemon = site.start(&(json_port(&line) + &https_sink(&front, &rest)));
    line.send(json_lines(0..100));
    daemon.delivered(100);
    assert_eq!(collector.holds(100), 0);
    assert_eq!(collector.values("text"), json_values(0..100));
    daemon.stop();
}

#[test]
fn a_certificate_nobody_vouches_for_is_a_misconfiguration_and_gets_no_reading() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let front = front(&collector.address);
    let mut line = site.plug("text");
    let daemon = site.start(&(json_port(&line) + &https_sink(&front, "")));
    line.send(json_lines(0..10));
    daemon.stored(10);
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["pending"]), (&"misconfigured".into(), &10.into()), "{open}");
    assert!(open["last_error"].as_str().is_some_and(|e| e.contains("certificate")), "{open}");
    assert_eq!(daemon.said().matches("ERROR").count(), 1, "{}", daemon.said());
    assert_eq!(collector.stats()["unique"], 0);
    daemon.stop();
}
