//! Pure functions that tell what the answers of a NATS server mean for a batch.

use std::fmt;

use serde::Deserialize;

use super::wire::NatsMessage;
use crate::domain::policy::breaker::Cause;
use crate::transport::server_words::ServerWords;
use crate::upload::{CHECK_SETTINGS, Class, DeliveryError, Rejection};

/// The answer of JetStream to one message.
pub(super) type PublishVerdict = Result<PubAck, Unstored>;

/// The acknowledgement of a message that the stream holds, either from now on or from an earlier attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PubAck {
    pub(super) stream: String,
    /// The sequence number of the message in the stream.
    pub(super) seq: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unstored {
    /// No stream has the subject of the message, or none is ready to accept it.
    NoStream,
    Refused(StreamError),
}

impl Unstored {
    /// Whether a repeat would be refused again.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(error) if matches!(error.class(), Class::Rejected(_)))
    }
}

/// Why a stream refuses a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamError {
    #[error(transparent)]
    Api(ApiError),
    #[error(
        "something that is no stream answers on this subject; let the stream have the subject to \
         itself"
    )]
    NotAStream,
}

impl DeliveryError for StreamError {
    fn class(&self) -> Class {
        match self {
            Self::Api(error) => error.class(),
            Self::NotAStream => Class::retry(Cause::Misconfigured),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Ack {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    error: Option<ApiError>,
}

/// An error of the JetStream API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct ApiError {
    code: u16,
    err_code: u16,
    description: String,
}

// The errors that only a person can correct, although their `code` does not show it.
const NOT_ENABLED: u16 = 10_076;
const NOT_ENABLED_FOR_ACCOUNT: u16 = 10_039;
const EXPECTED_STREAM: u16 = 10_060;
const SEALED: u16 = 10_109;

/// Parses the answer to a message.
pub(super) fn verdict(answer: &NatsMessage<'_>) -> PublishVerdict {
    if answer.status() == Some(503) {
        return Err(Unstored::NoStream);
    }
    match serde_json::from_slice(answer.body) {
        Ok(Ack { error: Some(error), .. }) => Err(Unstored::Refused(StreamError::Api(error))),
        Ok(Ack { stream, seq, error: None }) if seq > 0 && !stream.is_empty() => {
            Ok(PubAck { stream, seq })
        }
        _ => Err(Unstored::Refused(StreamError::NotAStream)),
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, code) = (ServerWords::of(&self.description), self.err_code);
        write!(to, "the stream refused a message: {words} (error {code})")?;
        to.write_str(match code {
            NOT_ENABLED | NOT_ENABLED_FOR_ACCOUNT => "; start nats-server with -js",
            EXPECTED_STREAM => "; `stream` is not the one that has this subject",
            _ => "",
        })
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    fn class(&self) -> Class {
        match (self.err_code, self.code) {
            (NOT_ENABLED | NOT_ENABLED_FOR_ACCOUNT | EXPECTED_STREAM | SEALED, _) => {
                Class::retry(Cause::Misconfigured)
            }
            // The stream is full, has no storage or leader, or gets too many requests: that is transient.
            (_, 429 | 500..) => Class::retry(Cause::ServerBusy),
            (_, 400) => Class::Rejected(Rejection::Content),
            _ => Class::retry(Cause::Misconfigured),
        }
    }
}

/// An error that a server sends with `-ERR`. The server closes the connection after most of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server says: {words}{}", .kind.advice())]
pub(super) struct ServerError {
    kind: ErrorKind,
    words: ServerWords,
}

/// The errors that are distinguished. The protocol has no error codes, so the text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorKind {
    Login,
    Forbidden,
    TooLarge,
    Overload,
    Other,
}

impl ServerError {
    /// Parses the argument of `-ERR`.
    pub(super) fn parse(words: &str) -> Self {
        Self { kind: ErrorKind::parse(words), words: ServerWords::of(words) }
    }
}

impl ErrorKind {
    /// Texts of the protocol. Some servers add more words to them.
    const WORDS: [(&str, Self); 9] = [
        ("authorization violation", Self::Login),
        ("authentication expired", Self::Login),
        ("authentication revoked", Self::Login),
        ("permissions violation", Self::Forbidden),
        ("tls required", Self::Forbidden),
        ("invalid publish subject", Self::Forbidden),
        ("maximum payload", Self::TooLarge),
        ("exceeded", Self::Overload),
        ("slow consumer", Self::Overload),
    ];

    fn parse(words: &str) -> Self {
        let words = words.to_ascii_lowercase();
        let known = Self::WORDS.into_iter().find(|(known, _)| words.contains(known));
        known.map_or(Self::Other, |(_, kind)| kind)
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Login => "; check token_file, username and password_file, or creds_file",
            _ => "",
        }
    }
}

impl DeliveryError for ServerError {
    fn class(&self) -> Class {
        match self.kind {
            ErrorKind::Login | ErrorKind::Forbidden => Class::retry(Cause::Misconfigured),
            ErrorKind::TooLarge => Class::Rejected(Rejection::Content),
            ErrorKind::Overload => Class::retry(Cause::ServerBusy),
            ErrorKind::Other => Class::retry(Cause::LinkDown),
        }
    }

    fn remedy(&self) -> &'static str {
        match self.kind {
            ErrorKind::Login | ErrorKind::Forbidden => {
                "correct this sink's credentials, or what the server lets them do"
            }
            _ => CHECK_SETTINGS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> PublishVerdict {
        let (subject, head, body) = ("_INBOX.x.1", &b""[..], body.as_bytes());
        verdict(&NatsMessage { subject, subscription: "1", reply: None, head, body })
    }

    fn error(code: u16, err_code: u16) -> StreamError {
        let error = format!(r#"{{"code":{code},"err_code":{err_code},"description":"no\nway"}}"#);
        match said(&format!(r#"{{"error":{error},"stream":"T","seq":0}}"#)) {
            Err(Unstored::Refused(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn cause(error: impl DeliveryError) -> Cause {
        match error.class() {
            Class::Retry { cause, .. } => cause,
            Class::Rejected(_) => panic!("rejected: {error}"),
        }
    }

    #[test]
    fn a_message_is_stored_when_the_stream_says_where_and_also_if_it_was_before() {
        let stored = Ok(PubAck { stream: "T".to_owned(), seq: 7 });
        assert_eq!(said(r#"{"stream":"T","seq":7}"#), stored);
        assert_eq!(said(r#"{"stream":"T","domain":"d","seq":7,"duplicate": true}"#), stored);
    }

    #[test]
    fn no_other_answer_makes_a_message_stored() {
        for body in ["", "+OK", "ok", "{}", r#"{"stream":"T"}"#, r#"{"seq":7}"#, "[]", "null"] {
            let Err(Unstored::Refused(error)) = said(body) else { panic!("{body}") };
            assert_eq!(cause(error), Cause::Misconfigured, "{body}");
        }
        let head = b"NATS/1.0 503\r\n\r\n";
        let nobody = NatsMessage { subject: "s", subscription: "1", reply: None, head, body: b"" };
        assert_eq!(verdict(&nobody), Err(Unstored::NoStream));
    }

    #[test]
    fn a_stream_that_is_full_or_without_means_is_busy() {
        for (code, err_code) in [(503, 10_077), (503, 10_023), (500, 10_047), (429, 10_167)] {
            assert_eq!(cause(error(code, err_code)), Cause::ServerBusy, "{err_code}");
        }
    }

    #[test]
    fn what_a_person_has_to_put_right_is_a_misconfiguration() {
        for (code, err_code) in [(503, 10_039), (503, 10_076), (400, 10_060), (400, 10_109)] {
            assert_eq!(cause(error(code, err_code)), Cause::Misconfigured, "{err_code}");
        }
    }

    #[test]
    fn a_message_that_is_too_large_for_the_stream_is_rejected_for_what_it_is() {
        let error = error(400, 10_054);
        let content = Class::Rejected(Rejection::Content);
        assert_eq!(error.class(), content, "smaller batches would not help");
        assert_eq!(error.to_string(), "the stream refused a message: no\\nway (error 10054)");
    }

    #[test]
    fn what_the_server_says_before_it_hangs_up_is_told_apart() {
        for words in [
            "Authorization Violation",
            "User Authentication Expired",
            "Permissions Violation for Publish to \"telemetry.x\"",
            "Secure Connection - TLS Required",
        ] {
            assert_eq!(cause(ServerError::parse(words)), Cause::Misconfigured, "{words}");
        }
        for words in ["maximum connections exceeded", "Slow Consumer"] {
            assert_eq!(cause(ServerError::parse(words)), Cause::ServerBusy, "{words}");
        }
        for words in ["Stale Connection", "Server Shutdown", "Authentication Timeout", ""] {
            assert_eq!(cause(ServerError::parse(words)), Cause::LinkDown, "{words}");
        }
        let payload = ServerError::parse("Maximum Payload Violation");
        assert_eq!(payload.class(), Class::Rejected(Rejection::Content));
    }
}
