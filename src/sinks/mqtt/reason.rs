//! The refusal codes of a broker: what each means for delivery, and how it is explained to a person.

use std::fmt;

use super::config::MqttVersion;
use crate::domain::policy::breaker::Cause;
use crate::upload::{CHECK_SETTINGS, Class, DeliveryError, Rejection};

/// A refusal by the broker, with its code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BrokerError {
    #[error("the broker refused the connection: {}{}", Said(connection, *.code), other(*.version, *.code))]
    Connection { version: MqttVersion, code: u8 },
    #[error("the broker refused a message to `{topic}`: {}", Said(message, *.code))]
    Message { topic: String, code: u8 },
    /// The message is too large. The size in bytes is known if the message was not sent for that reason. A
    /// smaller batch would not help, so this is a rejection of the content.
    #[error("a message{} to `{topic}` is larger than the broker takes", Bytes(*.size))]
    TooLarge { topic: String, size: Option<usize> },
    /// The broker closed the connection and gave a reason, which only version 5 can do.
    #[error("the broker hung up: {}", Said(ended, *.code))]
    Ended { code: u8 },
    #[error("the broker hung up: a message is larger than it takes")]
    EndedTooLarge,
}

/// The code of a message that was accepted but has no subscriber.
pub(super) const NO_SUBSCRIBER: u8 = 0x10;
/// The code of a connection that is refused because the broker does not support QoS 1.
pub(super) const NO_QOS_1: u8 = 0x9B;
const TOO_LARGE: u8 = 0x95;

impl BrokerError {
    /// The error for the acknowledgement of one message. `None` if the message was accepted, even without a
    /// subscriber.
    pub(super) fn of_message(topic: &str, code: u8) -> Option<Self> {
        let topic = topic.to_owned();
        match code {
            0x00..=0x7F => None,
            TOO_LARGE => Some(Self::TooLarge { topic, size: None }),
            code => Some(Self::Message { topic, code }),
        }
    }

    /// The error for a connection that the broker has closed.
    pub(super) fn of_end(code: u8) -> Self {
        match code {
            TOO_LARGE => Self::EndedTooLarge,
            code => Self::Ended { code },
        }
    }
}

impl DeliveryError for BrokerError {
    fn class(&self) -> Class {
        match self {
            Self::Connection { code, .. } => connection(*code).0,
            Self::Message { code, .. } => message(*code).0,
            Self::Ended { code } => ended(*code).0,
            Self::TooLarge { .. } | Self::EndedTooLarge => REJECTED,
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Connection { code: 0x04 | 0x05 | 0x86 | 0x87 | 0x8C, .. }
            | Self::Message { code: 0x87, .. }
            | Self::Ended { code: 0x87 } => {
                "correct this sink's credentials, or what the broker lets them do"
            }
            Self::Connection { code: 0x01 | 0x84, .. } => "set `version` to what the broker speaks",
            Self::Connection { code: 0x02 | 0x85, .. } | Self::Ended { code: 0x8E } => {
                "give this sink a `client_id` of its own that the broker accepts"
            }
            _ => CHECK_SETTINGS,
        }
    }
}

const MISCONFIGURED: Class = Class::retry(Cause::Misconfigured);
const BUSY: Class = Class::retry(Cause::ServerBusy);
const LINK_DOWN: Class = Class::retry(Cause::LinkDown);
const REJECTED: Class = Class::Rejected(Rejection::Content);

/// What a code means for delivery, and its explanation.
type Meaning = (Class, &'static str);

fn connection(code: u8) -> Meaning {
    match code {
        // The codes of version 3.1.1. A broker of that version also gives them in answer to version 5.
        0x01 | 0x84 => (MISCONFIGURED, "it does not speak this version of MQTT"),
        0x02 | 0x85 => (MISCONFIGURED, "it does not accept this client_id"),
        0x03 | 0x88 => (BUSY, "it is unavailable"),
        0x04 | 0x86 => (MISCONFIGURED, "wrong username or password"),
        0x05 | 0x87 => (MISCONFIGURED, "not authorised: wrong username, password or client_id"),
        0x89 => (BUSY, "it is busy"),
        0x8A => (MISCONFIGURED, "this client is banned"),
        0x8C => (MISCONFIGURED, "it wants another way to authenticate"),
        0x90 => (MISCONFIGURED, "it does not accept status_topic"),
        0x97 => (BUSY, "quota exceeded"),
        0x9A => (MISCONFIGURED, "it keeps no retained messages: set status_topic = \"off\""),
        NO_QOS_1 => (MISCONFIGURED, "it takes no messages of QoS 1"),
        0x9C => (BUSY, "another server is to be used for a while"),
        0x9D => (MISCONFIGURED, "it has moved"),
        0x9F => (BUSY, "too many connections at once"),
        // The packet was malformed or the like: a repeat would not help.
        0x81..=0x83 => (MISCONFIGURED, "it does not understand the request to connect"),
        _ => (BUSY, "for no reason we know"),
    }
}

/// The advice to change the version, where that helps.
fn other(version: MqttVersion, code: u8) -> &'static str {
    match (code, version) {
        (0x01 | 0x84, MqttVersion::V5) => "; set version = \"3.1.1\"",
        (0x01 | 0x84, MqttVersion::V3_1_1) => "; set version = \"5\"",
        _ => "",
    }
}

fn message(code: u8) -> Meaning {
    match code {
        0x83 => (REJECTED, "it is not willing to take it"),
        0x87 => (MISCONFIGURED, "not authorised to publish there"),
        0x90 => (REJECTED, "it does not accept the topic"),
        0x91 => (LINK_DOWN, "its number is in use"),
        0x97 => (BUSY, "quota exceeded"),
        0x99 => (REJECTED, "it does not accept the payload"),
        _ => (BUSY, "for no reason we know"),
    }
}

fn ended(code: u8) -> Meaning {
    match code {
        0x87 => (MISCONFIGURED, "not authorised"),
        0x89 => (BUSY, "it is busy"),
        0x8B => (LINK_DOWN, "it is shutting down"),
        0x8E => (MISCONFIGURED, "another client with the same client_id has connected"),
        0x96 => (BUSY, "messages come too fast"),
        0x97 => (BUSY, "quota exceeded"),
        0x98 => (BUSY, "its administrator wants it"),
        _ => (LINK_DOWN, "it does not say why in words"),
    }
}

/// Displays the explanation of a code, and the code.
struct Said(fn(u8) -> Meaning, u8);

impl fmt::Display for Said {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(meaning, code) = self;
        write!(to, "{} (code {code:#04x})", meaning(*code).1)
    }
}

/// Displays a size, if it is known.
struct Bytes(Option<usize>);

impl fmt::Display for Bytes {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |size| write!(to, " of {size} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `None` if the error is a rejection.
    fn cause(error: &BrokerError) -> Option<Cause> {
        match error.class() {
            Class::Retry { cause, .. } => Some(cause),
            Class::Rejected(_) => None,
        }
    }

    fn connection(version: MqttVersion, code: u8) -> BrokerError {
        BrokerError::Connection { version, code }
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
        assert_eq!(
            (BrokerError::of_message("t", 0), BrokerError::of_message("t", NO_SUBSCRIBER)),
            (None, None)
        );
        let causes: Vec<_> = [0x80, 0x87, 0x91, 0x97, 0x83, 0x90, 0x95, 0x99]
            .map(|code| cause(&BrokerError::of_message("t", code).expect("a refusal")))
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
        assert_eq!(cause(&BrokerError::of_end(0x8E)), Some(Cause::Misconfigured));
        assert_eq!(cause(&BrokerError::of_end(0x8B)), Some(Cause::LinkDown));
        assert_eq!(cause(&BrokerError::of_end(0x97)), Some(Cause::ServerBusy));
        assert_eq!(cause(&BrokerError::of_end(0x95)), None);
    }
}
