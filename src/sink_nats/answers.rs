//! What a NATS server's answers mean for a batch. Pure.

use serde::Deserialize;

use super::wire::Message;
use crate::domain::policy::breaker::Cause;
use crate::upload::Refusal;

/// How much of a server's own words goes into our log.
const WORDS_MAX: usize = 200;

/// What JetStream says of one message.
pub(super) type Verdict = Result<Stored, Unstored>;

/// It has it, from now on or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) stream: String,
    /// The place in the stream.
    pub(super) seq: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unstored {
    /// Nobody takes messages on its subject.
    NoStream,
    Refused(Refusal),
}

impl Unstored {
    /// Whether asking again would not help.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(Refusal::Rejected { .. }))
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

// What a person has to put right, although its `code` does not say so.
const NOT_ENABLED: [u16; 2] = [10_039, 10_076];
const EXPECTED_STREAM: u16 = 10_060;
const SEALED: u16 = 10_109;

/// Reads the answer to a message.
pub(super) fn verdict(answer: &Message<'_>) -> Verdict {
    if answer.status() == Some(503) {
        return Err(Unstored::NoStream);
    }
    match serde_json::from_slice(answer.body) {
        Ok(Ack { error: Some(error), .. }) => Err(Unstored::Refused(error.into_refusal())),
        Ok(Ack { stream, seq, error: None }) if seq > 0 && !stream.is_empty() => {
            Ok(Stored { stream, seq })
        }
        _ => Err(Unstored::Refused(Refusal::retry(
            Cause::Misconfigured,
            "something that is no stream answers on this subject; let the stream have the \
             subject to itself",
        ))),
    }
}

impl ApiError {
    fn into_refusal(self) -> Refusal {
        let words = excerpt(&self.description);
        let detail = format!("the stream refused a message: {words} (error {})", self.err_code);
        match (self.err_code, self.code) {
            (code, _) if NOT_ENABLED.contains(&code) => Refusal::retry(
                Cause::Misconfigured,
                format!("{detail}; start nats-server with -js"),
            ),
            (EXPECTED_STREAM, _) => Refusal::retry(
                Cause::Misconfigured,
                format!("{detail}; `stream` is not the one that has this subject"),
            ),
            (SEALED, _) => Refusal::retry(Cause::Misconfigured, detail),
            // Full, out of storage, without a leader, asked too fast: that passes.
            (_, 429 | 500..) => Refusal::retry(Cause::ServerBusy, detail),
            (_, 400) => Refusal::rejected(detail),
            _ => Refusal::retry(Cause::Misconfigured, detail),
        }
    }
}

/// What `-ERR` means. The server closes the connection after most of them.
pub(super) fn refused(words: &str) -> Refusal {
    let detail = format!("the server says: {}", excerpt(words));
    let is = |known: &[&str]| {
        let words = words.to_ascii_lowercase();
        known.iter().any(|known| words.contains(known))
    };
    if is(&["authorization violation", "authentication expired", "authentication revoked"]) {
        let remedy = "check token_file, username and password_file, or creds_file";
        return Refusal::retry(Cause::Misconfigured, format!("{detail}; {remedy}"));
    }
    if is(&["permissions violation", "tls required", "invalid publish subject"]) {
        return Refusal::retry(Cause::Misconfigured, detail);
    }
    if is(&["maximum payload"]) {
        return Refusal::rejected(detail);
    }
    if is(&["exceeded", "slow consumer"]) {
        return Refusal::retry(Cause::ServerBusy, detail);
    }
    Refusal::retry(Cause::LinkDown, detail)
}

/// A server's own words, fit for one line of our log.
fn excerpt(words: &str) -> String {
    let short: String = words.chars().take(WORDS_MAX).collect();
    short.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::Rejection;

    fn said(body: &str) -> Verdict {
        let (subject, head, body) = ("_INBOX.x.1", &b""[..], body.as_bytes());
        verdict(&Message { subject, subscription: "1", reply: None, head, body })
    }

    fn error(code: u16, err_code: u16) -> Refusal {
        let error = format!(r#"{{"code":{code},"err_code":{err_code},"description":"no\nway"}}"#);
        match said(&format!(r#"{{"error":{error},"stream":"T","seq":0}}"#)) {
            Err(Unstored::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    fn cause(refusal: Refusal) -> Cause {
        match refusal {
            Refusal::Retry { cause, .. } => cause,
            Refusal::Rejected { detail, .. } => panic!("rejected: {detail}"),
        }
    }

    #[test]
    fn a_message_is_stored_when_the_stream_says_where_and_also_if_it_was_before() {
        let stored = Ok(Stored { stream: "T".to_owned(), seq: 7 });
        assert_eq!(said(r#"{"stream":"T","seq":7}"#), stored);
        assert_eq!(said(r#"{"stream":"T","domain":"d","seq":7,"duplicate": true}"#), stored);
    }

    #[test]
    fn no_other_answer_makes_a_message_stored() {
        for body in ["", "+OK", "ok", "{}", r#"{"stream":"T"}"#, r#"{"seq":7}"#, "[]", "null"] {
            let Err(Unstored::Refused(refusal)) = said(body) else { panic!("{body}") };
            assert_eq!(cause(refusal), Cause::Misconfigured, "{body}");
        }
        let head = b"NATS/1.0 503\r\n\r\n";
        let nobody = Message { subject: "s", subscription: "1", reply: None, head, body: b"" };
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
        let Refusal::Rejected { what, detail } = error(400, 10_054) else { panic!("retried") };
        assert_eq!(what, Rejection::Content, "smaller batches would not help");
        assert_eq!(detail, "the stream refused a message: no\\nway (error 10054)");
    }

    #[test]
    fn what_the_server_says_before_it_hangs_up_is_told_apart() {
        for words in [
            "Authorization Violation",
            "User Authentication Expired",
            "Permissions Violation for Publish to \"telemetry.x\"",
            "Secure Connection - TLS Required",
        ] {
            assert_eq!(cause(refused(words)), Cause::Misconfigured, "{words}");
        }
        for words in ["maximum connections exceeded", "Slow Consumer"] {
            assert_eq!(cause(refused(words)), Cause::ServerBusy, "{words}");
        }
        for words in ["Stale Connection", "Server Shutdown", "Authentication Timeout", ""] {
            assert_eq!(cause(refused(words)), Cause::LinkDown, "{words}");
        }
        let payload = refused("Maximum Payload Violation");
        assert!(matches!(payload, Refusal::Rejected { what: Rejection::Content, .. }));
    }
}
