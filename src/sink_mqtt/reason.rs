//! What the codes with which a broker refuses mean for us, and how they are put in words.

use crate::config::MqttVersion;
use crate::domain::policy::breaker::Cause;
use crate::upload::Refusal;

/// Of a connection.
pub(super) fn connection(version: MqttVersion, code: u8) -> Refusal {
    let (cause, reason) = match code {
        // Versions before 5, also as the answer of such a broker to version 5.
        0x01 | 0x84 => (Cause::Misconfigured, "it does not speak this version of MQTT"),
        0x02 | 0x85 => (Cause::Misconfigured, "it does not accept this client_id"),
        0x03 | 0x88 => (Cause::ServerBusy, "it is unavailable"),
        0x04 | 0x86 => (Cause::Misconfigured, "wrong username or password"),
        0x05 | 0x87 => {
            (Cause::Misconfigured, "not authorised: wrong username, password or client_id")
        }
        0x89 => (Cause::ServerBusy, "it is busy"),
        0x8A => (Cause::Misconfigured, "this client is banned"),
        0x8C => (Cause::Misconfigured, "it wants another way to authenticate"),
        0x90 => (Cause::Misconfigured, "it does not accept status_topic"),
        0x97 => (Cause::ServerBusy, "quota exceeded"),
        0x9A => (Cause::Misconfigured, "it keeps no retained messages: set status_topic = \"off\""),
        0x9B => (Cause::Misconfigured, "it takes no messages of QoS 1"),
        0x9C => (Cause::ServerBusy, "another server is to be used for a while"),
        0x9D => (Cause::Misconfigured, "it has moved"),
        0x9F => (Cause::ServerBusy, "too many connections at once"),
        // Malformed and the like: retrying the same would not help.
        0x81..=0x83 => (Cause::Misconfigured, "it does not understand the request to connect"),
        _ => (Cause::ServerBusy, "for no reason we know"),
    };
    let version = match (code, version) {
        (0x01 | 0x84, MqttVersion::V5) => "; set version = \"3.1.1\"",
        (0x01 | 0x84, MqttVersion::V3_1_1) => "; set version = \"5\"",
        _ => "",
    };
    let detail = format!("the broker refused the connection: {reason} (code {code:#04x}){version}");
    Refusal::retry(cause, detail)
}

/// The message was taken, and dropped.
pub(super) const NO_SUBSCRIBER: u8 = 0x10;

/// Of one message; `None` if it was taken, also if nobody subscribes to it.
pub(super) fn message(topic: &str, code: u8) -> Option<Refusal> {
    let said = |reason: &str| {
        format!("the broker refused a message to `{topic}`: {reason} (code {code:#04x})")
    };
    let retry = |cause, reason| Refusal::retry(cause, said(reason));
    let rejected = |reason| Refusal::rejected(said(reason));
    match code {
        0x00..=0x7F => None,
        0x83 => Some(rejected("it is not willing to take it")),
        0x87 => Some(retry(Cause::Misconfigured, "not authorised to publish there")),
        0x90 => Some(rejected("it does not accept the topic")),
        0x91 => Some(retry(Cause::LinkDown, "its number is in use")),
        0x95 => Some(too_large(topic, None)),
        0x97 => Some(retry(Cause::ServerBusy, "quota exceeded")),
        0x99 => Some(rejected("it does not accept the payload")),
        _ => Some(retry(Cause::ServerBusy, "for no reason we know")),
    }
}

/// A message that the broker does not take for its size, which is known if we saw it beforehand. A
/// smaller batch is no help, so it is its content that is wrong.
pub(super) fn too_large(topic: &str, size: Option<usize>) -> Refusal {
    let size = size.map(|size| format!(" of {size} bytes")).unwrap_or_default();
    let detail = format!("a message{size} to `{topic}` is larger than the broker takes");
    Refusal::rejected(detail)
}

/// Of going on: the broker of version 5 says why it hangs up.
pub(super) fn ended(code: u8) -> Refusal {
    let (cause, reason) = match code {
        0x87 => (Cause::Misconfigured, "not authorised"),
        0x89 => (Cause::ServerBusy, "it is busy"),
        0x8E => (Cause::Misconfigured, "another client with the same client_id has connected"),
        0x95 => {
            let detail = "the broker hung up: a message is larger than it takes".to_owned();
            return Refusal::rejected(detail);
        }
        0x96 => (Cause::ServerBusy, "messages come too fast"),
        0x97 => (Cause::ServerBusy, "quota exceeded"),
        0x98 => (Cause::ServerBusy, "its administrator wants it"),
        0x8B => (Cause::LinkDown, "it is shutting down"),
        _ => (Cause::LinkDown, "it does not say why in words"),
    };
    let detail = format!("the broker hung up: {reason} (code {code:#04x})");
    Refusal::retry(cause, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(refusal: &Refusal) -> Option<Cause> {
        match refusal {
            Refusal::Retry { cause, .. } => Some(*cause),
            Refusal::Rejected { .. } => None,
        }
    }

    #[test]
    fn a_refused_connection_says_whether_waiting_or_a_person_helps() {
        let causes = |version, codes: &[u8]| -> Vec<_> {
            codes.iter().map(|code| cause(&connection(version, *code))).collect()
        };
        let wrong = Some(Cause::Misconfigured);
        let busy = Some(Cause::ServerBusy);
        assert_eq!(
            causes(MqttVersion::V3_1_1, &[1, 2, 3, 4, 5]),
            [wrong, wrong, busy, wrong, wrong]
        );
        let codes = [0x80, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x97, 0x9A, 0x9F];
        assert_eq!(
            causes(MqttVersion::V5, &codes),
            [busy, wrong, wrong, wrong, wrong, busy, busy, busy, wrong, busy]
        );
        let old = connection(MqttVersion::V5, 0x01).to_string();
        assert!(old.ends_with("set version = \"3.1.1\""), "{old}");
    }

    #[test]
    fn a_refused_message_is_poison_a_busy_server_or_a_misconfiguration() {
        assert_eq!((message("t", 0), message("t", NO_SUBSCRIBER)), (None, None));
        let causes: Vec<_> = [0x80, 0x87, 0x91, 0x97, 0x83, 0x90, 0x95, 0x99]
            .map(|code| cause(&message("t", code).expect("a refusal")))
            .into();
        let expected = [
            Some(Cause::ServerBusy),
            Some(Cause::Misconfigured),
            Some(Cause::LinkDown),
            Some(Cause::ServerBusy),
            None,
            None,
            None,
            None,
        ];
        assert_eq!(causes, expected);
    }

    #[test]
    fn a_broker_that_hangs_up_says_why() {
        assert_eq!(cause(&ended(0x8E)), Some(Cause::Misconfigured));
        assert_eq!(cause(&ended(0x8B)), Some(Cause::LinkDown));
        assert_eq!(cause(&ended(0x97)), Some(Cause::ServerBusy));
        assert_eq!(cause(&ended(0x95)), None);
    }
}
