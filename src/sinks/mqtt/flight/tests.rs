//! Invariants checked: a message is sent once unless its connection is lost; an acknowledged message is
//! never sent again; no more messages than the broker allows are unacknowledged; a message that is refused
//! for itself holds up no other. The broker is played over a pipe, in version 3.1.1 or 5.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::sinks::mqtt::config::{MqttConfig, MqttVersion};
use crate::sinks::mqtt::connection::OFFLINE;
use crate::sinks::mqtt::messages::tests::{batch, config};
use crate::sinks::mqtt::packet::ConnectPacket;
use crate::upload::Rejection;

/// The broker's end of a connection.
struct Broker {
    pipe: DuplexStream,
    five: bool,
}

/// A message as the broker received it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    id: u16,
    repeated: bool,
    retained: bool,
    topic: String,
    payload: String,
}

impl Broker {
    /// The type and flags of the next packet, and its content. `None` at the end.
    async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.pipe.read_u8().await.ok()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.pipe.read_u8().await.ok()?;
            length += usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.pipe.read_exact(&mut body).await.ok()?;
        Some((head, body))
    }

    async fn answer_connect(&mut self, session_present: bool, properties: &[u8]) {
        let (head, _) = self.packet().await.expect("a packet");
        assert_eq!(head, 0x10, "it begins with CONNECT");
        let mut answer = vec![u8::from(session_present), 0];
        if self.five {
            answer.push(u8::try_from(properties.len()).expect("few"));
            answer.extend_from_slice(properties);
        }
        let length = u8::try_from(answer.len()).expect("short");
        let packet = [&[0x20, length][..], &answer].concat();
        self.pipe.write_all(&packet).await.expect("the client is there");
    }

    /// The next message. `None` if the client has disconnected.
    async fn message(&mut self) -> Option<Got> {
        let (head, body) = self.packet().await?;
        if head >> 4 != 3 {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let (topic, rest) = body[2..].split_at(length);
        let payload = if self.five { &rest[3..] } else { &rest[2..] };
        Some(Got {
            id: u16::from_be_bytes([rest[0], rest[1]]),
            repeated: head & 8 != 0,
            retained: head & 1 != 0,
            topic: String::from_utf8(topic.to_vec()).expect("text"),
            payload: String::from_utf8(payload.to_vec()).expect("text"),
        })
    }

    async fn messages(&mut self, count: usize) -> Vec<Got> {
        let mut messages = Vec::new();
        for _ in 0..count {
            messages.push(self.message().await.expect("a message"));
        }
        messages
    }

    async fn acknowledge(&mut self, id: u16, code: u8) {
        let [high, low] = id.to_be_bytes();
        let packet: &[u8] =
            if self.five { &[0x40, 3, high, low, code] } else { &[0x40, 2, high, low] };
        drop(self.pipe.write_all(packet).await);
    }

    /// Receives and acknowledges messages until the end.
    async fn acknowledge_all(&mut self) -> Vec<Got> {
        let mut all = Vec::new();
        while let Some(got) = self.message().await {
            self.acknowledge(got.id, 0).await;
            all.push(got);
        }
        all
    }
}

async fn connect(
    version: MqttVersion,
    session_present: bool,
    properties: &[u8],
    status: bool,
) -> (MqttConnection, Broker) {
    let (near, far) = duplex(1 << 20);
    let mut broker = Broker { pipe: far, five: version == MqttVersion::V5 };
    let will = status.then(|| ("status".to_owned(), OFFLINE));
    let hello = ConnectPacket { client_id: "c".into(), keep_alive_s: 60, login: None, will };
    let config = MqttConfig { version, ..config("") };
    let (connection, ()) = tokio::join!(
        MqttConnection::open(Box::new(near), &config, &hello),
        broker.answer_connect(session_present, properties)
    );
    (connection.expect("it is taken in"), broker)
}

fn messages(first: u64, count: u32) -> MqttMessages {
    MqttMessages::of(&batch(first, count, 0), &config("")).expect("sound")
}

fn seqs(got: &[Got]) -> Vec<u64> {
    let seq = |got: &Got| {
        let json: serde_json::Value = serde_json::from_str(&got.payload).ok()?;
        json["seq"].as_u64()
    };
    got.iter().filter_map(seq).collect()
}

/// Sends a batch to a broker that accepts everything, and returns what the broker received.
async fn deliver(
    session: &Mutex<Session>,
    messages: &MqttMessages,
    session_present: bool,
) -> Vec<Got> {
    let (mut connection, mut broker) =
        connect(MqttVersion::V3_1_1, session_present, &[], false).await;
    let fly = async {
        let landed = Flight::new(messages, session).run(&mut connection, true).await;
        drop(connection);
        landed
    };
    let (landed, got) = tokio::join!(fly, broker.acknowledge_all());
    landed.expect("the broker takes everything");
    got
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_through_when_the_last_acknowledgement_is_in_and_not_before() {
    let (messages, session) = (messages(1, 3), Mutex::default());
    let (mut connection, mut broker) = connect(MqttVersion::V3_1_1, false, &[], true).await;
    let mut flight = Flight::new(&messages, &session);
    let mut landing = Box::pin(flight.run(&mut connection, true));
    let got = tokio::select! {
        biased;
        landed = &mut landing => panic!("too early: {landed:?}"),
        got = broker.messages(4) => got,
    };
    assert_eq!(
        (got[0].topic.as_str(), got[0].payload.as_str(), got[0].retained),
        ("status", "online", true)
    );
    assert_eq!(seqs(&got), [1, 2, 3]);
    // The acknowledgements come out of order and twice.
    for at in [3, 0, 0, 1] {
        broker.acknowledge(got[at].id, 0).await;
        let waits = tokio::time::timeout(std::time::Duration::from_millis(5), &mut landing).await;
        assert!(waits.is_err(), "one is missing: {waits:?}");
    }
    broker.acknowledge(got[2].id, 0).await;
    assert_eq!(landing.as_mut().await, Ok(()));
    drop(landing);
    drop((flight, connection));
    let leave = broker.message().await.expect("a last word");
    assert_eq!(
        (leave.topic.as_str(), leave.payload.as_str(), leave.retained),
        ("status", OFFLINE, true)
    );
    assert_eq!(broker.packet().await, Some((0xE0, vec![])), "a disconnect in good order");
}

#[tokio::test]
async fn what_was_acknowledged_before_the_connection_was_lost_is_not_sent_again() {
    let (list, session) = (messages(1, 10), Mutex::default());
    let (mut connection, mut broker) = connect(MqttVersion::V3_1_1, false, &[], false).await;
    let mut flight = Flight::new(&list, &session);
    let lose = async {
        let got = broker.messages(10).await;
        for at in [0, 1, 2, 6] {
            broker.acknowledge(got[at].id, 0).await;
        }
        drop(broker);
        got
    };
    let (landed, first) = tokio::join!(flight.run(&mut connection, true), lose);
    assert!(matches!(landed, Err(SinkRefusal::Retry { cause: Cause::LinkDown, .. })), "{landed:?}");
    drop((flight, connection));
    let second = deliver(&session, &list, true).await;
    assert_eq!(seqs(&second), [4, 5, 6, 8, 9, 10]);
    let ids = |got: &[Got]| got.iter().map(|got| got.id).collect::<Vec<_>>();
    let old = ids(&first).into_iter().enumerate().filter(|(at, _)| ![0, 1, 2, 6].contains(at));
    assert_eq!(ids(&second), old.map(|(_, id)| id).collect::<Vec<_>>());
    assert!(second.iter().all(|got| got.repeated), "they say that they are repeats: {second:?}");
    // The log knows that all arrived; if it offers them again, all are sent again.
    lock(&session).accepted(&[(1, 10)], None);
    let third = deliver(&session, &list, true).await;
    assert_eq!(seqs(&third), (1..=10).collect::<Vec<_>>());
    assert!(third.iter().all(|got| !got.repeated));
}

#[tokio::test]
async fn to_a_broker_that_forgot_the_session_nothing_is_a_repeat() {
    let (list, session) = (messages(1, 3), Mutex::default());
    let (mut connection, mut broker) = connect(MqttVersion::V3_1_1, false, &[], false).await;
    let mut flight = Flight::new(&list, &session);
    let lose = async {
        broker.messages(3).await;
        drop(broker);
    };
    let (landed, ()) = tokio::join!(flight.run(&mut connection, true), lose);
    landed.expect_err("the connection was lost");
    drop((flight, connection));
    let got = deliver(&session, &list, false).await;
    assert_eq!(seqs(&got), [1, 2, 3]);
    assert!(got.iter().all(|got| !got.repeated), "{got:?}");
}

#[tokio::test]
async fn a_message_refused_for_itself_holds_up_no_other_and_alone_is_offered_again() {
    let (list, session) = (messages(1, 5), Mutex::default());
    let (mut connection, mut broker) = connect(MqttVersion::V5, false, &[], false).await;
    let mut flight = Flight::new(&list, &session);
    let refuse_third = async {
        for got in broker.messages(5).await {
            let code = if seqs(std::slice::from_ref(&got)) == [3] { 0x99 } else { 0 };
            broker.acknowledge(got.id, code).await;
        }
    };
    let (landed, ()) = tokio::join!(flight.run(&mut connection, true), refuse_third);
    assert!(
        matches!(landed, Err(SinkRefusal::Rejected { what: Rejection::Content, .. })),
        "{landed:?}"
    );
    drop(flight);
    // These are the halves that are offered next: the second has nothing left to send.
    assert!(Flight::new(&messages(4, 2), &session).is_over());
    assert_eq!(seqs(&deliver(&session, &messages(1, 3), false).await), [3]);
}

#[tokio::test]
async fn a_topic_that_is_not_ours_stops_the_batch() {
    let (list, session) = (messages(1, 500), Mutex::default());
    // The receive maximum is 4.
    let (mut connection, mut broker) = connect(MqttVersion::V5, false, &[0x21, 0, 4], false).await;
    let mut flight = Flight::new(&list, &session);
    let refuse = async {
        for got in broker.messages(4).await {
            broker.acknowledge(got.id, 0x87).await;
        }
    };
    let (landed, ()) = tokio::join!(flight.run(&mut connection, true), refuse);
    assert!(connection.is_sound(), "it can be asked again");
    assert!(
        matches!(landed, Err(SinkRefusal::Retry { cause: Cause::Misconfigured, .. })),
        "{landed:?}"
    );
}

#[tokio::test]
async fn a_broker_that_hangs_up_on_whom_it_refuses_has_still_said_why() {
    for (code, cause) in [(0x87, Some(Cause::Misconfigured)), (0x99, None)] {
        let (list, session) = (messages(1, 5), Mutex::default());
        let (mut connection, mut broker) = connect(MqttVersion::V5, false, &[], false).await;
        let refuse = async move {
            let got = broker.message().await.expect("a message");
            broker.acknowledge(got.id, code).await;
        };
        let mut flight = Flight::new(&list, &session);
        let (landed, ()) = tokio::join!(flight.run(&mut connection, true), refuse);
        let found = match landed.expect_err("a refusal") {
            SinkRefusal::Retry { cause, .. } => Some(cause),
            SinkRefusal::Rejected { .. } => None,
        };
        assert_eq!(found, cause);
    }
}

#[tokio::test]
async fn a_message_above_the_brokers_size_is_not_sent_and_named() {
    let (list, session) = (messages(1, 2), Mutex::default());
    // The maximum packet size is 50.
    let (mut connection, _broker) =
        connect(MqttVersion::V5, false, &[0x27, 0, 0, 0, 50], false).await;
    let landed = Flight::new(&list, &session).run(&mut connection, true).await;
    let Err(SinkRefusal::Rejected { what: Rejection::Content, reason }) = landed else {
        panic!("{landed:?}")
    };
    let detail = reason.to_string();
    assert!(detail.contains("bytes to `outstation/d/p/s_1`"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn no_more_are_under_way_than_the_broker_allows() {
    let (list, session) = (messages(1, 50), Mutex::default());
    let (mut connection, mut broker) = connect(MqttVersion::V5, false, &[0x21, 0, 7], true).await;
    let mut flight = Flight::new(&list, &session);
    let count = async {
        let mut waiting = Vec::new();
        let (mut most, mut total) = (0, 0);
        while total < 51 {
            let next = tokio::time::timeout(std::time::Duration::from_millis(20), broker.message());
            match next.await {
                Ok(got) => {
                    waiting.push(got.expect("a message").id);
                    total += 1;
                    most = most.max(waiting.len());
                }
                Err(_) => broker.acknowledge(waiting.remove(0), 0).await,
            }
        }
        for id in waiting {
            broker.acknowledge(id, 0).await;
        }
        most
    };
    let (landed, most) = tokio::join!(flight.run(&mut connection, true), count);
    assert_eq!((landed, most), (Ok(()), 7));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_pings_is_gone() {
    let (connection, mut broker) = connect(MqttVersion::V3_1_1, false, &[], false).await;
    let (_wanted, when_wanted) = tokio::sync::oneshot::channel();
    let (rested, ping) = tokio::join!(connection.rest(when_wanted), broker.packet());
    assert!(rested.is_none());
    assert_eq!(ping, Some((0xC0, vec![])));
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_pings_and_is_there_when_it_is_wanted() {
    // The server keep-alive is 20 s.
    let (connection, mut broker) = connect(MqttVersion::V5, false, &[0x13, 0, 20], false).await;
    let (wanted, when_wanted) = tokio::sync::oneshot::channel();
    let answer = async {
        for _ in 0..5 {
            assert_eq!(broker.packet().await, Some((0xC0, vec![])));
            broker.pipe.write_all(&[0xD0, 0]).await.expect("the client is there");
        }
        wanted.send(()).expect("it waits");
    };
    let began = tokio::time::Instant::now();
    let (rested, ()) = tokio::join!(connection.rest(when_wanted), answer);
    assert!(rested.is_some());
    assert_eq!(began.elapsed().as_secs(), 5 * 15);
}

/// How a broker treats the messages of one connection.
#[derive(Clone, Debug)]
struct Fate {
    /// For each message that the broker receives before the connection is lost: whether it acknowledges it.
    acknowledged: Vec<bool>,
    first: u64,
    count: u32,
    session_present: bool,
}

fn fate() -> impl Strategy<Value = Fate> {
    let acknowledged = proptest::collection::vec(any::<bool>(), 0..12);
    (acknowledged, 1..10_u64, 1..12_u32, any::<bool>()).prop_map(
        |(acknowledged, first, count, session_present)| Fate {
            acknowledged,
            first,
            count,
            session_present,
        },
    )
}

async fn suffer(session: &Mutex<Session>, fate: &Fate) -> (Vec<u64>, Vec<u64>) {
    let list = messages(fate.first, fate.count);
    let (mut connection, mut broker) =
        connect(MqttVersion::V3_1_1, fate.session_present, &[], false).await;
    let mut flight = Flight::new(&list, session);
    let serve = async {
        let (mut sent, mut taken) = (Vec::new(), Vec::new());
        for acknowledged in &fate.acknowledged {
            let wait = std::time::Duration::from_millis(1);
            let Ok(Some(got)) = tokio::time::timeout(wait, broker.message()).await else { break };
            sent.extend(seqs(std::slice::from_ref(&got)));
            if *acknowledged {
                broker.acknowledge(got.id, 0).await;
                taken.extend(seqs(std::slice::from_ref(&got)));
            }
        }
        drop(broker);
        (sent, taken)
    };
    // The delivery may end either way.
    let (_landed, ended) = tokio::join!(flight.run(&mut connection, true), serve);
    ended
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_connections_are_lost_all_arrive_and_none_acknowledged_is_sent_again(
        fates in proptest::collection::vec(fate(), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let session = Mutex::default();
            let mut taken = BTreeSet::new();
            for fate in &fates {
                let (sent, acknowledged) = suffer(&session, fate).await;
                assert!(sent.iter().all(|seq| !taken.contains(seq)), "{sent:?} of {taken:?}");
                taken.extend(acknowledged);
            }
            let rest = deliver(&session, &messages(1, 22), true).await;
            let expected: Vec<u64> = (1..=22).filter(|seq| !taken.contains(seq)).collect();
            assert_eq!(seqs(&rest), expected);
            let ids: BTreeSet<u16> = rest.iter().map(|got| got.id).collect();
            assert_eq!(ids.len(), rest.len(), "no number serves two messages at once");
        });
    }
}
