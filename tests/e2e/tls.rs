//! HTTPS: a private authority is trusted when configured, and nobody else is; a server that asks who
//! we are is shown our certificate.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::kit::certificates::{Authority, authority, signed};
use crate::kit::collector::Collector;
use crate::kit::readings::{json_lines, json_values};
use crate::kit::site::{Site, json_port, sink};

/// A TLS front for a plain server; its address, and the authority that vouches for it.
struct Front {
    address: String,
    authority: String,
}

fn front(backend: &str) -> Front {
    front_for(backend, None, 2000)
}

/// One that only lets those in whom `clients` vouches for, with a certificate valid from this year on.
fn front_for(backend: &str, clients: Option<&Authority>, year: i32) -> Front {
    let authority = authority();
    let (certificate, key) = signed(&authority, "localhost", year);
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("protocol versions");
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let config = config.with_single_cert(chain, private).expect("a certificate that fits its key");
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
    assert!(open["last_error"].as_str().is_some_and(|e| e.contains("in `ca_file`")), "{open}");
    assert_eq!(daemon.said().matches("ERROR").count(), 1, "{}", daemon.said());
    assert!(daemon.said().contains("in `ca_file`"), "what to fix: {}", daemon.said());
    assert_eq!(collector.stats()["unique"], 0);
    daemon.stop();
}

#[test]
fn a_server_that_asks_who_we_are_is_shown_our_certificate() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let clients = authority();
    let front = front_for(&collector.address, Some(&clients), 2000);
    let (certificate, key) = signed(&clients, "board-7", 2000);
    let files = [
        site.write("ca.pem", &front.authority),
        site.write("cert.pem", &certificate.pem()),
        site.write("key.pem", &key.serialize_pem()),
    ];
    let [ca, cert, key] = files.map(|file| file.display().to_string());
    let mut line = site.plug("text");
    let rest = format!("ca_file = {ca:?}\ncert_file = {cert:?}\nkey_file = {key:?}");
    let daemon = site.start(&(json_port(&line) + &https_sink(&front, &rest)));
    line.send(json_lines(0..100));
    daemon.delivered(100);
    assert_eq!(collector.holds(100), 0);
    daemon.stop();
}

#[test]
fn a_server_that_asks_who_we_are_in_vain_is_a_misconfiguration_with_its_remedy() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let front = front_for(&collector.address, Some(&authority()), 2000);
    let ca = site.write("ca.pem", &front.authority);
    let mut line = site.plug("text");
    let rest = format!("ca_file = {:?}", ca.display().to_string());
    let daemon = site.start(&(json_port(&line) + &https_sink(&front, &rest)));
    line.send(json_lines(0..10));
    daemon.stored(10);
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["pending"]), (&"misconfigured".into(), &10.into()), "{open}");
    let error = open["last_error"].as_str().expect("an error");
    assert!(error.contains("set `cert_file` and `key_file`"), "{error}");
    assert_eq!(collector.stats()["unique"], 0);
    daemon.stop();
}

#[test]
fn a_certificate_from_the_future_says_that_the_clock_is_behind() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let front = front_for(&collector.address, None, 2200);
    let authority = site.write("ca.pem", &front.authority);
    let mut line = site.plug("text");
    let rest = format!("ca_file = \"{}\"", authority.display());
    let daemon = site.start(&(json_port(&line) + &https_sink(&front, &rest)));
    line.send(json_lines(0..10));
    daemon.stored(10);
    assert_eq!(daemon.breaker("open")["cause"], "misconfigured");
    let said = daemon.said();
    assert!(said.contains("ERROR") && said.contains("the board's clock is behind"), "{said}");
    daemon.stop();
}
