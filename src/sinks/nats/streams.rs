//! Questions to the JetStream API: which stream has a subject, asked when a message is not accepted, and
//! which messages a stream holds, asked when some may lack their acknowledgement.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::client::{DELIVERIES, Failure, NatsConnection};
use super::wire::NatsMessage;
use crate::domain::model::boots::rfc3339;
use crate::domain::policy::breaker::Cause;
use crate::upload::{CHECK_SETTINGS, Class, DeliveryError};

/// The most ids that are read back, about 10 MB on the wire. If there are more, none are.
const IDS_MAX: u64 = 65_536;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    /// `null` when there are none.
    streams: Option<Vec<String>>,
}

/// Why no stream accepts messages on a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoStream {
    #[error("the server has no JetStream for this account; start nats-server with -js")]
    NoJetStream,
    #[error(
        "no stream takes `{subject}`; create one: nats stream add TELEMETRY --subjects '{subject}' \
         --defaults"
    )]
    Missing { subject: String },
    /// The stream exists but belongs to a cluster that is electing a leader for it.
    #[error("stream `{stream}` has `{subject}` but takes no messages now")]
    NoLeader { stream: String, subject: String },
}

impl DeliveryError for NoStream {
    fn class(&self) -> Class {
        Class::retry(match self {
            Self::NoJetStream | Self::Missing { .. } => Cause::Misconfigured,
            Self::NoLeader { .. } => Cause::ServerBusy,
        })
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::NoJetStream => "start nats-server with -js",
            Self::Missing { .. } => "create the stream, or correct `subject`",
            Self::NoLeader { .. } => CHECK_SETTINGS,
        }
    }
}

/// The stream that has `subject`, or the reason why there seems to be none. The question is limited to
/// `patience`; without an answer the stream counts as missing.
pub(super) async fn stream_of(
    connection: &mut NatsConnection,
    subject: &str,
    patience: Duration,
) -> Result<Result<String, NoStream>, Failure> {
    let question = json!({ "subject": subject }).to_string();
    let asked = connection.ask("$JS.API.STREAM.NAMES", question.as_bytes(), |_| {});
    match timeout(patience, asked).await {
        Ok(Ok(answer)) => Ok(named(subject, answer.as_deref())),
        // An account that may only publish gets no answer.
        Ok(Err(Failure::Said(_))) | Err(_) => Ok(named(subject, Some(b"{}"))),
        Ok(Err(failure)) => Err(failure),
    }
}

fn named(subject: &str, answer: Option<&[u8]>) -> Result<String, NoStream> {
    let names: Option<Names> = answer.and_then(|answer| serde_json::from_slice(answer).ok());
    let first = names.ok_or(NoStream::NoJetStream)?.streams.unwrap_or_default().into_iter().next();
    first.ok_or_else(|| NoStream::Missing { subject: subject.to_owned() })
}

/// Explains why no stream accepts messages on a subject.
pub(super) async fn why_nobody_takes(
    connection: &mut NatsConnection,
    subject: &str,
    patience: Duration,
) -> Result<NoStream, Failure> {
    Ok(match stream_of(connection, subject, patience).await? {
        Ok(stream) => NoStream::NoLeader { stream, subject: subject.to_owned() },
        Err(missing) => missing,
    })
}

/// Where reading back begins in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The last message only.
    Last,
    /// The messages after this sequence number.
    After(u64),
    /// The messages stored since this time of the server, in Unix milliseconds.
    Since(i64),
}

/// The part of the API's description of a consumer that is needed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Consumer {
    num_pending: u64,
    delivered: Delivered,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delivered {
    consumer_seq: u64,
}

/// A message that a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredMessage<'a> {
    pub(super) id: &'a str,
    /// When the message was stored, in Unix milliseconds of the server.
    pub(super) stored_ms: i64,
}

/// Passes the messages of a stream on a subject to `visit`, without bodies. It takes at most twice
/// `patience`. It visits nothing if the server does not answer, as for an account that may only publish, or
/// if there are more than `IDS_MAX`.
pub(super) async fn read_back(
    connection: &mut NatsConnection,
    stream: &str,
    subject: &str,
    start: Start,
    patience: Duration,
    visit: impl FnMut(StoredMessage<'_>),
) -> Result<(), Failure> {
    let mut visitor = Visitor { came: 0, was_last: false, visit };
    let deliveries = connection.deliveries();
    connection.write(format!("SUB {deliveries} {DELIVERIES}\r\n").as_bytes()).await?;
    let config = start.consumer(&deliveries, subject);
    let question = json!({ "stream_name": stream, "config": config }).to_string();
    let create = format!("$JS.API.CONSUMER.CREATE.{stream}");
    let asked = connection.ask(&create, question.as_bytes(), |message| visitor.hear(message));
    let consumer = match timeout(patience, asked).await {
        Ok(Ok(answer)) => answer.and_then(|body| serde_json::from_slice::<Consumer>(&body).ok()),
        Ok(Err(Failure::Said(_))) | Err(_) => None,
        Ok(Err(failure)) => return Err(failure),
    };
    let all = consumer.filter(|consumer| consumer.error.is_none());
    let all = all.map(|consumer| consumer.num_pending + consumer.delivered.consumer_seq);
    let wanted = all.filter(|all| *all <= IDS_MAX).unwrap_or(0);
    let until = Instant::now() + patience;
    while visitor.came < wanted && !visitor.was_last {
        let heard = timeout_at(until, connection.hear(|message| visitor.hear(message))).await;
        let Ok(heard) = heard else { break };
        heard?;
    }
    // Without a subscription the server drops the consumer.
    connection.write(format!("UNSUB {DELIVERIES}\r\n").as_bytes()).await
}

impl Start {
    /// The configuration of a consumer that delivers from here on, at once and without bodies.
    fn consumer(self, deliveries: &str, subject: &str) -> Value {
        let mut config = json!({
            "deliver_subject": deliveries, "filter_subject": subject, "headers_only": true,
            "ack_policy": "none",
        });
        let (policy, place) = match self {
            Self::Last => ("last", None),
            Self::After(seq) => ("by_start_sequence", Some(("opt_start_seq", json!(seq + 1)))),
            Self::Since(ms) => {
                ("by_start_time", Some(("opt_start_time", json!(rfc3339(ms).to_string()))))
            }
        };
        config["deliver_policy"] = json!(policy);
        if let Some((key, value)) = place {
            config[key] = value;
        }
        config
    }
}

struct Visitor<F> {
    came: u64,
    was_last: bool,
    visit: F,
}

impl<F: FnMut(StoredMessage<'_>)> Visitor<F> {
    fn hear(&mut self, message: &NatsMessage<'_>) {
        if message.subscription != DELIVERIES {
            return;
        }
        self.came += 1;
        let Some((stored_ms, behind)) = delivered(message) else { return };
        self.was_last = behind == 0;
        if let Some(id) = message.header("Nats-Msg-Id") {
            (self.visit)(StoredMessage { id, stored_ms });
        }
    }
}

/// When a delivered message was stored, in Unix milliseconds, and how many follow it, from its reply
/// subject: `$JS.ACK.[domain.account.]stream.consumer.delivered.seq.seq.NANOSECONDS.PENDING[.token]`.
fn delivered(message: &NatsMessage<'_>) -> Option<(i64, u64)> {
    let tokens: Vec<&str> = message.reply?.strip_prefix("$JS.ACK.")?.split('.').collect();
    let at = if tokens.len() > 7 { 7 } else { 5 };
    let nanoseconds: i64 = tokens.get(at)?.parse().ok()?;
    Some((nanoseconds / 1_000_000, tokens.get(at + 1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(answer: Option<&str>) -> (Cause, String) {
        match named("telemetry.pump-7", answer.map(str::as_bytes)) {
            Err(error) => match error.class() {
                Class::Retry { cause, .. } => (cause, error.to_string()),
                Class::Rejected(_) => panic!("rejected: {error}"),
            },
            Ok(stream) => panic!("{stream}"),
        }
    }

    #[test]
    fn a_missing_stream_is_told_from_missing_jetstream_and_both_say_what_to_do() {
        let (cause, detail) = refused(None);
        assert!(cause == Cause::Misconfigured && detail.contains("nats-server with -js"));
        for none in [r#"{"total":0,"streams":null}"#, r#"{"streams":[]}"#, "{}"] {
            let (cause, detail) = refused(Some(none));
            assert_eq!(cause, Cause::Misconfigured);
            assert!(detail.contains("nats stream add"), "{detail}");
            assert!(detail.contains("--subjects 'telemetry.pump-7'"), "{detail}");
        }
        assert_eq!(named("s", Some(br#"{"streams":["T","U"]}"#)), Ok("T".to_owned()));
    }

    #[test]
    fn a_reply_subject_of_either_form_says_when_it_was_stored_and_how_many_follow() {
        let said = |reply| {
            let (subject, head, body) = ("s", &b""[..], &b""[..]);
            delivered(&NatsMessage { subject, subscription: "2", reply, head, body })
        };
        let expected = Some((1_763_740_000_123, 3));
        assert_eq!(said(Some("$JS.ACK.T.c.1.10.1.1763740000123456789.3")), expected);
        let with_domain = "$JS.ACK.hub.ABCD.T.c.1.10.1.1763740000123456789.3.xyz";
        assert_eq!(said(Some(with_domain)), expected);
        assert_eq!([said(None), said(Some("$JS.ACK.T")), said(Some("x"))], [None; 3]);
    }
}
