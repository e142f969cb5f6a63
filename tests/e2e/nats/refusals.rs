//! What a real nats-server has against a sink, and what the sink makes of it.

use std::net::TcpListener;

use outstation::clock::Clock;
use outstation::config::{Config, Sink};
use outstation::domain::model::endpoint::Endpoint;
use outstation::domain::policy::breaker::Cause;
use outstation::event_log::LogStatus;
use outstation::sinks::connect::connector;
use outstation::upload::{AnySink, Offer, Receipt, Rejection, SinkRefusal, Wire};
use outstation_codec::{
    Batch, Channel, Lane, Segment, Sensor, Stamp, StoredSegment, Value, ValueType,
};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::kit::certificates::{authority, issue};
use crate::kit::site::Site;
use crate::kit::wait::PATIENCE;

use super::keys::operated;
use super::server::{Client, Cutter, NatsServer, installed};

fn configured(url: &str, rest: &str) -> Sink {
    let text = format!("[[sink]]\nname = \"n\"\nkind = \"nats\"\nurl = \"{url}\"\n{rest}\n");
    Config::parse(&text, "test").expect("a configuration").sinks.remove(0)
}

/// A sink without breaker or deadline, and what runs it.
struct Bare {
    sink: AnySink,
    runtime: Runtime,
    wire: Wire,
}

fn sink(url: &str, rest: &str) -> Bare {
    let endpoint = Endpoint { priority: 0, weight: 1, url: url.to_owned() };
    let wire = Wire::default();
    let log = watch::channel(LogStatus::default()).1;
    let sink = connector(&configured(url, rest), &wire, &Clock::system(), log)(&endpoint);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Bare { sink, runtime: runtime.expect("a runtime"), wire }
}

/// Readings of these texts, numbered from `first`.
fn batch<'a>(first: u64, texts: impl IntoIterator<Item = &'a str>) -> Offer {
    let mut segment = Segment::default();
    for text in texts {
        segment.push(0, Stamp::unix(0), [(0, Value::Text(text.into()))].into_iter());
    }
    let channel = Channel { name: "text".into(), unit: String::new(), kind: ValueType::Text };
    let sensor = Sensor { port: "p".into(), name: "s".into(), channels: vec![channel] };
    let count = u32::try_from(segment.len()).expect("few");
    let sealed = StoredSegment::sealed(first, count, Lane::Live, 0, segment.encode());
    Offer(std::sync::Arc::new(Batch {
        device: "site".into(),
        epoch: 9,
        lane: Lane::Live,
        sensors: vec![(0, sensor)],
        boots: vec![(0, None)],
        segments: vec![sealed],
        events: vec![],
    }))
}

fn offer(to: &Bare, offer: Offer) -> Result<Receipt, SinkRefusal> {
    let answer = async { timeout(PATIENCE, to.sink.clone().oneshot(offer)).await };
    to.runtime.block_on(answer).expect("an answer in time")
}

fn retried(result: Result<Receipt, SinkRefusal>) -> (Cause, String) {
    match result {
        Err(SinkRefusal::Retry { cause, reason, .. }) => (cause, reason.to_string()),
        other => panic!("{other:?}"),
    }
}

fn rejected(result: Result<Receipt, SinkRefusal>) -> String {
    match result {
        Err(SinkRefusal::Rejected { what: Rejection::Content, reason }) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

fn misconfigured(result: Result<Receipt, SinkRefusal>, expected: &str) {
    let (cause, detail) = retried(result);
    assert!(cause == Cause::Misconfigured && detail.contains(expected), "{cause:?}: {detail}");
}

#[test]
fn a_stream_that_is_created_later_gets_what_waited_for_it() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let server = NatsServer::start(&site, &[]);
    let sink = sink(&server.url(), "");
    misconfigured(offer(&sink, batch(1, ["a", "b"])), "no stream takes `telemetry.site`");
    server.client().create_stream(&json!({}));
    offer(&sink, batch(1, ["a", "b"])).expect("stored");
    assert_eq!(server.client().count(), 2);
}

#[test]
fn a_server_without_jetstream_is_a_misconfiguration() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let server = NatsServer::start_without(&site, &[]);
    let result = offer(&sink(&server.url(), ""), batch(1, ["a"]));
    misconfigured(result, "start nats-server with -js");
}

#[test]
fn a_stream_other_than_the_one_that_is_named_gets_nothing() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let server = NatsServer::start(&site, &[]).with_stream(&json!({}));
    let result = offer(&sink(&server.url(), "stream = \"OTHER\""), batch(1, ["a"]));
    misconfigured(result, "expected stream does not match");
    assert_eq!(server.client().count(), 0);
    offer(&sink(&server.url(), "stream = \"T\""), batch(1, ["a"])).expect("stored");
}

#[test]
fn a_stream_that_is_full_is_busy_and_gets_the_rest_when_it_has_room() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let full = json!({"max_msgs": 3, "discard": "new"});
    let server = NatsServer::start(&site, &[]).with_stream(&full);
    let sink = sink(&server.url(), "");
    let (cause, detail) = retried(offer(&sink, batch(1, ["a", "b", "c", "d", "e"])));
    assert_eq!(cause, Cause::ServerBusy);
    assert!(detail.contains("maximum messages exceeded"), "{detail}");
    let roomy = json!({"name": "T", "subjects": ["telemetry.>"], "storage": "file"});
    server.client().ask("STREAM.UPDATE.T", &roomy);
    offer(&sink, batch(1, ["a", "b", "c", "d", "e"])).expect("stored");
    let stored = server.client().consume();
    let texts: Vec<_> = stored.iter().map(|stored| stored.body["values"]["text"].clone()).collect();
    assert_eq!(texts, ["a", "b", "c", "d", "e"], "each once");
}

#[test]
fn a_message_that_is_too_large_is_rejected_and_the_connection_survives_it() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let config = site.write("nats.conf", "max_payload: 1024\n").display().to_string();
    let small = json!({"max_msg_size": 512});
    let server = NatsServer::start(&site, &["--config", &config]).with_stream(&small);
    let sink = sink(&server.url(), "");
    let for_server = "x".repeat(1024);
    let said = rejected(offer(&sink, batch(1, ["a", &for_server, "b"])));
    assert!(said.contains("where the server takes 1024; raise max_payload"), "{said}");
    assert_eq!(server.client().count(), 0, "nothing was sent");
    let for_stream = "x".repeat(512);
    let said = rejected(offer(&sink, batch(1, ["a", &for_stream, "b"])));
    assert!(said.contains("message size exceeds maximum allowed"), "{said}");
    assert_eq!(server.client().count(), 2, "the others are there");
    offer(&sink, batch(4, ["c"])).expect("stored");
}

/// A server without a stream, and somebody who hears what is published to one.
fn impostor(site: &Site) -> (NatsServer, Client) {
    let server = NatsServer::start_without(site, &[]);
    let mut other = Client::connect(&server.address, &json!({}));
    other.subscribe("telemetry.>");
    (server, other)
}

#[test]
fn something_that_answers_in_the_place_of_a_stream_gets_nothing_accepted() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let (server, mut other) = impostor(&site);
    let served = std::thread::spawn(move || other.reply("ok"));
    let result = offer(&sink(&server.url(), ""), batch(1, ["a"]));
    misconfigured(result, "something that is no stream answers on this subject");
    served.join().expect("it was asked");
}

#[test]
fn an_acknowledgement_of_another_batch_accepts_nothing() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let (server, mut other) = impostor(&site);
    let served = std::thread::spawn(move || {
        let stored = r#"{"stream":"S","seq":1}"#;
        let first = other.asked();
        other.reply_to(&first, stored);
        let second = other.asked();
        other.reply_to(&first, stored);
        other.reply_to(&second, r#"{"error":{"code":400,"err_code":1,"description":"never"}}"#);
        other
    });
    let sink = sink(&server.url(), "");
    offer(&sink, batch(1, ["a"])).expect("stored");
    let detail = rejected(offer(&sink, batch(2, ["b"])));
    assert!(detail.contains("never"), "the answer that is its own counts: {detail}");
    served.join().expect("it was asked");
}

#[test]
fn what_does_not_speak_nats_is_no_different_from_a_link_that_is_down() {
    let endless = "INFO ".to_owned() + &"x".repeat(200_000);
    for says in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", &endless, ""] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let url = format!("nats://{}", listener.local_addr().expect("an address"));
        let says = says.to_owned();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            drop(std::io::Write::write_all(&mut stream, says.as_bytes()));
        });
        let (cause, detail) = retried(offer(&sink(&url, ""), batch(1, ["a"])));
        assert_eq!(cause, Cause::LinkDown, "{detail}");
        server.join().expect("it was asked");
    }
    let (cause, detail) = retried(offer(&sink("nats://127.0.0.1:1", ""), batch(1, ["a"])));
    assert!(cause == Cause::LinkDown && detail.contains("127.0.0.1:1"), "{detail}");
}

#[test]
fn each_byte_on_the_wire_is_counted_in_both_directions() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let server = NatsServer::start(&site, &[]).with_stream(&json!({}));
    let cutter = Cutter::start(&server.address, 0);
    let sink = sink(&format!("nats://{}", cutter.address), "");
    for first in [1, 4, 7] {
        offer(&sink, batch(first, ["a", "b", "c"])).expect("stored");
    }
    assert_eq!(cutter.connections(), 1, "it is used again");
    // What the server said last may still be on its way through the proxy.
    let (counted, passed) = (sink.wire.total(), cutter.passed());
    assert!(counted > 9 * 200 && passed >= counted, "{counted} of {passed}");
    assert!(passed - counted < 100, "{counted} of {passed}");
}

#[test]
fn a_connection_that_the_server_has_closed_meanwhile_costs_no_failure() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let mut server = NatsServer::start(&site, &[]).with_stream(&json!({}));
    let sink = sink(&server.url(), "");
    for first in 1..4 {
        offer(&sink, batch(first, ["a"])).expect("stored");
        server.kill();
        server.restart();
    }
    assert_eq!(server.client().count(), 3);
}

/// Options of a server with TLS that wants to see a certificate, and those of a sink that has one.
fn with_certificates(site: &Site) -> (Vec<String>, String) {
    let own = authority();
    let ca_file = site.write("ca.pem", &own.pem()).display().to_string();
    let [cert, key] = issue(site, &own, "127.0.0.1", 2000, "server");
    let [our_cert, our_key] = issue(site, &own, "pump-7", 2000, "client");
    let options = ["--tlsverify", "--tlscert", &cert, "--tlskey", &key, "--tlscacert", &ca_file];
    let settings =
        format!("ca_file = \"{ca_file}\"\ncert_file = \"{our_cert}\"\nkey_file = \"{our_key}\"\n");
    (options.map(str::to_owned).to_vec(), settings)
}

#[test]
fn tls_with_certificates_on_both_sides_is_spoken_and_demanded() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let (options, settings) = with_certificates(&site);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    // The client of this test speaks no TLS, so the stream is there before.
    let plain = NatsServer::start(&site, &[]).with_stream(&json!({}));
    drop(plain);
    let server = NatsServer::start(&site, &options);
    let url = format!("tls://{}", server.address);
    offer(&sink(&url, &settings), batch(1, ["a"])).expect("stored");
    offer(&sink(&server.url(), &settings), batch(2, ["b"])).expect("a server's demand is enough");
    let ca_file = settings.lines().next().expect("the first is ca_file");
    let (cause, detail) = retried(offer(&sink(&url, ca_file), batch(3, ["c"])));
    assert_eq!(cause, Cause::Misconfigured, "without our certificate: {detail}");
    let (cause, detail) = retried(offer(&sink(&url, ""), batch(3, ["c"])));
    assert_eq!(cause, Cause::Misconfigured, "of an unknown authority: {detail}");
    drop(server);
    let server = NatsServer::start(&site, &[]);
    assert_eq!(server.client().count(), 2);
    let url = format!("tls://{}", server.address);
    misconfigured(offer(&sink(&url, &settings), batch(3, ["c"])), "offers no TLS");
}

#[test]
fn a_user_name_and_password_let_a_sink_in() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let server = NatsServer::start(&site, &["--user", "pump", "--pass", "correct-horse"]);
    let login = json!({"user": "pump", "pass": "correct-horse"});
    Client::connect(&server.address, &login).create_stream(&json!({}));
    let password = site.write("password", "correct-horse\n");
    let rest = format!("username = \"pump\"\npassword_file = \"{}\"", password.display());
    offer(&sink(&server.url(), &rest), batch(1, ["a"])).expect("stored");
    misconfigured(offer(&sink(&server.url(), ""), batch(2, ["b"])), "Authorization Violation");
}

#[test]
fn credentials_of_a_user_let_a_sink_in() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let (config, [admin, ours]) = operated();
    let config = site.write("nats.conf", &config).display().to_string();
    let server = NatsServer::start(&site, &["--config", &config]);
    let file = site.write("admin.creds", &admin).display().to_string();
    let rest = |file: &str| format!("creds_file = \"{file}\"");
    // The server knows who asks: it has no stream, but neither has it anything against the user.
    let sink = |file: &str| sink(&server.url(), &rest(file));
    misconfigured(offer(&sink(&file), batch(1, ["a"])), "no stream takes `telemetry.site`");
    let file = site.write("ours.creds", &ours).display().to_string();
    misconfigured(offer(&sink(&file), batch(1, ["a"])), "no stream takes `telemetry.site`");
    // The JWT of one with the key of the other.
    let seed_of = |text: &str| text.lines().find(|line| line.starts_with("SU")).map(str::to_owned);
    let [theirs, own] = [&admin, &ours].map(|text| seed_of(text).expect("a seed"));
    let file = site.write("forged.creds", &ours.replace(&own, &theirs)).display().to_string();
    misconfigured(offer(&sink(&file), batch(1, ["a"])), "Authorization Violation");
    let plain = self::sink(&server.url(), "");
    misconfigured(offer(&plain, batch(1, ["a"])), "Authorization Violation");
}

#[test]
fn who_may_only_publish_is_delivered_all_the_same() {
    if !installed() {
        return;
    }
    let site = Site::new();
    let (server, mut admin, rest) = NatsServer::start_for_a_publisher(&site);
    let sink = sink(&server.url(), &rest);
    misconfigured(offer(&sink, batch(1, ["a"])), "no stream takes");
    admin.create_stream(&json!({}));
    offer(&sink, batch(1, ["a"])).expect("stored");
    offer(&sink, batch(2, ["b"])).expect("stored");
    assert_eq!(admin.count(), 2);
    let rest = rest + "subject = \"other\"";
    let other = self::sink(&server.url(), &rest);
    misconfigured(offer(&other, batch(3, ["c"])), "Permissions Violation for Publish");
}
