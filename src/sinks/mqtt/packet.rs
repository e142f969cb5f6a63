//! The packets of MQTT 3.1.1 and 5 that a publisher sends and receives. No other file uses rumqttc.
//!
//! Only the packets of rumqttc are used, not its event loop. The event loop opens the connection itself, so
//! the bytes on the wire would not be counted and TLS would need a second, older generation of crates.
//! After a lost connection it repeats messages that the log offers again too. And it writes to the socket
//! once per message. Refusal codes are parsed here, because rumqttc takes unknown codes for malformed
//! packets.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{Error, QoS, check, v4};
use rumqttc::v5::mqttbytes::{QoS as QoS5, v5};

use super::config::MqttVersion;

/// The largest packet in bytes that is accepted from a broker. Its packets are short; only reasons in text
/// have some length.
const INCOMING_MAX: u32 = 64 << 10;
/// For how many seconds a broker keeps the session of a device that is disconnected. Version 3.1.1 cannot
/// express this.
const SESSION_EXPIRY_S: u32 = 3600;
/// The largest packet of the protocol, in bytes.
const PACKET_MAX: u32 = 268_435_455;

/// The content of CONNECT.
#[derive(Debug)]
pub(super) struct ConnectPacket {
    pub(super) client_id: String,
    pub(super) keep_alive_s: u16,
    /// The user name and the password.
    pub(super) login: Option<(String, String)>,
    /// The topic and the payload of the message that the broker publishes when the connection is lost.
    pub(super) will: Option<(String, &'static str)>,
}

/// A message with its packet identifier.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishPacket<'a> {
    pub(super) id: u16,
    pub(super) repeated: bool,
    pub(super) retain: bool,
    pub(super) topic: &'a str,
    pub(super) payload: &'a Bytes,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Connected(Terms),
    Refused(u8),
    Acknowledged { id: u16, reason: u8 },
    Alive,
    Ended(u8),
}

/// What the broker announces when it accepts a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Whether the broker has a session with messages that were not acknowledged.
    pub(super) session_present: bool,
    /// The most messages that may be unacknowledged at a time.
    pub(super) window: u16,
    pub(super) packet_max: u32,
    /// The keep-alive time that the broker requires instead of ours.
    pub(super) keep_alive_s: Option<u16>,
    /// Whether the broker acknowledges messages at all (QoS 1).
    pub(super) acknowledges: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            session_present: false,
            window: u16::MAX,
            packet_max: PACKET_MAX,
            keep_alive_s: None,
            acknowledges: true,
        }
    }
}

/// The server does not speak MQTT, or sends a packet that a publisher never gets.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server does not answer in MQTT")]
pub(super) struct MalformedPacket;

const BOUNDED: &str = "every packet is far below the protocol's limit";

pub(super) fn connect(version: MqttVersion, hello: &ConnectPacket, to: &mut BytesMut) {
    let id = hello.client_id.clone();
    match version {
        MqttVersion::V3_1_1 => {
            let mut connect = v4::Connect::new(id);
            connect.keep_alive = hello.keep_alive_s;
            connect.clean_session = false;
            connect.login = hello.login.clone().map(|(name, word)| v4::Login::new(name, word));
            let will = hello.will.clone();
            connect.last_will =
                will.map(|(topic, text)| v4::LastWill::new(topic, text, QoS::AtLeastOnce, true));
            connect.write(to).expect(BOUNDED);
        }
        MqttVersion::V5 => {
            let mut properties = v5::ConnectProperties::new();
            properties.session_expiry_interval = Some(SESSION_EXPIRY_S);
            properties.max_packet_size = Some(INCOMING_MAX);
            let connect = v5::Connect {
                keep_alive: hello.keep_alive_s,
                client_id: id,
                clean_start: false,
                properties: Some(properties),
            };
            let login = hello.login.clone().map(|(name, word)| v5::Login::new(name, word));
            let will = hello
                .will
                .clone()
                .map(|(topic, text)| v5::LastWill::new(topic, text, QoS5::AtLeastOnce, true, None));
            connect.write(&will, &login, to).expect(BOUNDED);
        }
    }
}

/// Appends a message. If the packet is larger than `most` bytes, appends nothing and fails with its size.
pub(super) fn publish(
    version: MqttVersion,
    message: PublishPacket<'_>,
    most: u32,
    to: &mut BytesMut,
) -> Result<(), usize> {
    let PublishPacket { id, repeated, retain, topic, payload } = message;
    let most = usize::try_from(most.min(PACKET_MAX)).unwrap_or(usize::MAX);
    match version {
        MqttVersion::V3_1_1 => {
            let mut publish = v4::Publish::from_bytes(topic, QoS::AtLeastOnce, payload.clone());
            (publish.pkid, publish.dup, publish.retain) = (id, repeated, retain);
            match publish.size() {
                size if size > most => return Err(size),
                _ => publish.write(to).expect(BOUNDED),
            };
        }
        MqttVersion::V5 => {
            let mut publish = v5::Publish::new(topic, QoS5::AtLeastOnce, payload.clone(), None);
            (publish.pkid, publish.dup, publish.retain) = (id, repeated, retain);
            match publish.size() {
                size if size > most => return Err(size),
                _ => publish.write(to).expect(BOUNDED),
            };
        }
    }
    Ok(())
}

pub(super) fn ping(to: &mut BytesMut) {
    v4::PingReq.write(to).expect(BOUNDED);
}

pub(super) fn disconnect(to: &mut BytesMut) {
    // Without a reason code the packet is the same in both versions and means a normal end.
    v4::Disconnect.write(to).expect(BOUNDED);
}

/// Removes the next packet from the buffer, if it is complete.
pub(super) fn read(
    version: MqttVersion,
    from: &mut BytesMut,
) -> Result<Option<Incoming>, MalformedPacket> {
    let length = match check(from.iter(), INCOMING_MAX as usize) {
        Ok(header) => header.frame_length(),
        Err(Error::InsufficientBytes(_)) => return Ok(None),
        Err(_) => return Err(MalformedPacket),
    };
    let packet = from.split_to(length);
    parse(version, &packet).map(Some)
}

fn parse(version: MqttVersion, packet: &BytesMut) -> Result<Incoming, MalformedPacket> {
    let length_bytes = packet.iter().skip(1).take_while(|byte| **byte >= 0x80).count() + 1;
    match (packet[0] >> 4, &packet[1 + length_bytes..]) {
        (2, [_, 0, ..]) => terms(version, packet).map(Incoming::Connected),
        (2, [_, code, ..]) => Ok(Incoming::Refused(*code)),
        (4, [high, low, rest @ ..]) => Ok(Incoming::Acknowledged {
            id: u16::from_be_bytes([*high, *low]),
            reason: rest.first().copied().unwrap_or(0),
        }),
        (13, []) => Ok(Incoming::Alive),
        (14, rest) => Ok(Incoming::Ended(rest.first().copied().unwrap_or(0))),
        _ => Err(MalformedPacket),
    }
}

fn terms(version: MqttVersion, packet: &BytesMut) -> Result<Terms, MalformedPacket> {
    let mut packet = packet.clone();
    match version {
        MqttVersion::V3_1_1 => match v4::Packet::read(&mut packet, INCOMING_MAX as usize) {
            Ok(v4::Packet::ConnAck(answer)) => {
                Ok(Terms { session_present: answer.session_present, ..Terms::default() })
            }
            _ => Err(MalformedPacket),
        },
        MqttVersion::V5 => match v5::Packet::read(&mut packet, Some(INCOMING_MAX)) {
            Ok(v5::Packet::ConnAck(answer)) => Ok(terms_of(answer)),
            _ => Err(MalformedPacket),
        },
    }
}

fn terms_of(answer: v5::ConnAck) -> Terms {
    let usual = Terms { session_present: answer.session_present, ..Terms::default() };
    let Some(said) = answer.properties else { return usual };
    Terms {
        window: said.receive_max.unwrap_or(usual.window),
        packet_max: said.max_packet_size.unwrap_or(usual.packet_max),
        keep_alive_s: said.server_keep_alive,
        acknowledges: said.max_qos != Some(0),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MqttVersion::{V3_1_1, V5};

    fn incoming(version: MqttVersion, bytes: &[u8]) -> Result<Option<Incoming>, MalformedPacket> {
        read(version, &mut BytesMut::from(bytes))
    }

    #[test]
    fn a_packet_is_taken_when_all_of_it_is_there_and_not_before() {
        let bytes = [0x40, 2, 0x12, 0x34, 0xD0, 0];
        let mut from = BytesMut::new();
        let mut seen = Vec::new();
        for byte in bytes {
            from.extend_from_slice(&[byte]);
            seen.extend(read(V3_1_1, &mut from).expect("MQTT"));
        }
        assert_eq!(seen, [Incoming::Acknowledged { id: 0x1234, reason: 0 }, Incoming::Alive]);
    }

    #[test]
    fn an_acknowledgement_of_version_5_brings_its_reason_even_one_unknown_to_rumqttc() {
        let acknowledged = |reason| Ok(Some(Incoming::Acknowledged { id: 7, reason }));
        assert_eq!(incoming(V5, &[0x40, 2, 0, 7]), acknowledged(0));
        assert_eq!(incoming(V5, &[0x40, 3, 0, 7, 0x95]), acknowledged(0x95));
        assert_eq!(incoming(V5, &[0x40, 4, 0, 7, 0x87, 0]), acknowledged(0x87));
    }

    #[test]
    fn what_the_broker_says_of_itself_is_heard() {
        // session present; receive maximum 20, maximum QoS 0, packets of 100 bytes, keep-alive 9 s
        let properties = [0x21, 0, 20, 0x24, 0, 0x27, 0, 0, 0, 100, 0x13, 0, 9];
        let bytes = [&[0x20, 16, 1, 0, 13][..], &properties].concat();
        let terms = Terms {
            session_present: true,
            window: 20,
            packet_max: 100,
            keep_alive_s: Some(9),
            acknowledges: false,
        };
        assert_eq!(incoming(V5, &bytes), Ok(Some(Incoming::Connected(terms))));
        let usual = Incoming::Connected(Terms::default());
        assert_eq!(incoming(V3_1_1, &[0x20, 2, 0, 0]), Ok(Some(usual)));
    }

    #[test]
    fn a_refusal_in_the_words_of_the_older_version_is_understood() {
        assert_eq!(incoming(V5, &[0x20, 2, 0, 1]), Ok(Some(Incoming::Refused(1))));
        assert_eq!(incoming(V5, &[0x20, 3, 0, 0x86, 0]), Ok(Some(Incoming::Refused(0x86))));
        assert_eq!(incoming(V5, &[0xE0, 0]), Ok(Some(Incoming::Ended(0))));
        assert_eq!(incoming(V5, &[0xE0, 1, 0x8E]), Ok(Some(Incoming::Ended(0x8E))));
    }

    #[test]
    fn anything_else_is_no_mqtt() {
        let endless = [0x40, 0xFF, 0xFF, 0xFF, 0x7F];
        let bad: [&[u8]; 7] = [
            b"HTTP/1.1 400 Bad Request\r\n\r\n and then a body that fills what the second byte says it has .",
            b"SSH-2.0-OpenSSH_9.2\r\n and a banner that is as long as its second byte says, that is 83 bytes long.",
            &endless,
            &[0x40, 1, 0],
            &[0x20, 1, 0],
            &[0x30, 3, 0, 1, b'x'],
            &[0xD0, 1, 0],
        ];
        for (version, bytes) in [V3_1_1, V5].into_iter().flat_map(|v| bad.map(|b| (v, b))) {
            let read = incoming(version, bytes);
            let harmless =
                matches!(read, Err(MalformedPacket) | Ok(Some(Incoming::Acknowledged { .. })));
            assert!(harmless, "{read:?} from {bytes:?}");
        }
        assert_eq!(incoming(V5, &endless), Err(MalformedPacket));
    }

    #[test]
    fn a_message_that_is_too_large_is_not_written_and_says_its_size() {
        let payload = Bytes::from_static(&[b'x'; 100]);
        for (version, size) in [(V3_1_1, 107), (V5, 108)] {
            let mut to = BytesMut::new();
            let message = PublishPacket {
                id: 1,
                repeated: false,
                retain: false,
                topic: "t",
                payload: &payload,
            };
            assert_eq!(publish(version, message, size - 1, &mut to), Err(size as usize));
            assert!(to.is_empty());
            assert_eq!(publish(version, message, size, &mut to), Ok(()));
            assert_eq!(to.len(), size as usize);
        }
    }

    #[test]
    fn a_message_sent_again_says_so_under_its_old_number() {
        let payload = Bytes::from_static(b"1");
        let mut to = BytesMut::new();
        let message = PublishPacket {
            id: 0x0102,
            repeated: true,
            retain: true,
            topic: "t",
            payload: &payload,
        };
        publish(V3_1_1, message, 100, &mut to).expect("it is small");
        assert_eq!(to.as_ref(), [0x3B, 6, 0, 1, b't', 1, 2, b'1']);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
            five: bool,
        ) {
            let mut from = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = read(if five { V5 } else { V3_1_1 }, &mut from) {}
        }

        #[test]
        fn no_terms_make_it_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        ) {
            let length = u8::try_from(bytes.len() + 2).expect("short");
            drop(incoming(V5, &[&[0x20, length, 1, 0][..], &bytes].concat()));
        }
    }
}
