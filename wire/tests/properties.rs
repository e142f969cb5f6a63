//! Random frames, random noise, random chunks. Invariants checked:
//! 1. what was sent arrives as it was sent, however the bytes are cut;
//! 2. noise costs nothing but itself if the next sender flushes the line, and at
//!    most the next frame if it does not;
//! 3. any bytes at all are frames, faults, padding or pending, to the byte;
//! 4. a flipped bit never turns a frame into a different one.

use outstation_wire::{
    Channel, Deframer, Frame, Hello, Level, Log, MAX_FRAME, Sample, Value, ValueType,
};
use proptest::collection::vec;
use proptest::prelude::*;

const KINDS: [ValueType; 5] =
    [ValueType::Bool, ValueType::Int, ValueType::F32, ValueType::F64, ValueType::Text];
const LEVELS: [Level; 4] = [Level::Error, Level::Warn, Level::Info, Level::Debug];

/// A frame on the line, and how it prints: that is how frames are compared here,
/// which is exact and makes NaN equal to itself.
#[derive(Clone, Debug)]
struct Sent {
    printed: String,
    line: Vec<u8>,
}

impl Sent {
    fn new(frame: Frame<'_>) -> Option<Sent> {
        let mut buf = [0; MAX_FRAME];
        let line = frame.encode(&mut buf).ok()?.to_vec();
        Some(Sent { printed: format!("{frame:?}"), line })
    }
}

/// What a deframer made of a stream; `None` is a fault.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    items: Vec<(u64, Option<String>)>,
    padding_bytes: u64,
    pending_bytes: u64,
}

impl Outcome {
    fn of(stream: &[u8], cuts: &[usize]) -> Outcome {
        let mut deframer = Deframer::new();
        let mut items = Vec::new();
        let mut feed = |mut input: &[u8]| {
            while let Some(received) = deframer.next(&mut input) {
                let printed = received.frame.ok().map(|frame| format!("{frame:?}"));
                items.push((received.bytes, printed));
            }
            assert!(input.is_empty(), "nothing is left over");
        };
        let mut rest = stream;
        for cut in cuts.iter().cycle().take(if cuts.is_empty() { 0 } else { stream.len() }) {
            let (chunk, later) = rest.split_at((*cut).min(rest.len()));
            feed(chunk);
            rest = later;
        }
        feed(rest);
        let (padding_bytes, pending_bytes) = (deframer.padding_bytes(), deframer.pending_bytes());
        Outcome { items, padding_bytes, pending_bytes }
    }

    fn frames(&self) -> Vec<&str> {
        self.items.iter().filter_map(|(_, printed)| printed.as_deref()).collect()
    }

    fn bytes(&self) -> u64 {
        let items: u64 = self.items.iter().map(|(bytes, _)| bytes).sum();
        items + self.padding_bytes + self.pending_bytes
    }
}

fn printed(sent: &[Sent]) -> Vec<&str> {
    sent.iter().map(|sent| sent.printed.as_str()).collect()
}

fn frame() -> impl Strategy<Value = Sent> {
    prop_oneof![hello(), sample(), log()].prop_filter_map("exceeds MAX_FRAME", |sent| sent)
}

fn hello() -> impl Strategy<Value = Option<Sent>> {
    let channel = (any::<u16>(), text(20), text(6), prop::sample::select(&KINDS[..]));
    let channels = vec(channel, 0..30);
    (text(20), text(10), channels).prop_map(|(firmware, version, channels)| {
        let channels: Vec<_> = channels
            .iter()
            .map(|(id, name, unit, kind)| Channel { id: *id, name, unit, kind: *kind })
            .collect();
        let channels = channels.as_slice().into();
        Sent::new(Hello { firmware: &firmware, version: &version, channels }.into())
    })
}

fn sample() -> impl Strategy<Value = Option<Sent>> {
    let value = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u32>().prop_map(|bits| Value::F32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Value::F64(f64::from_bits(bits))),
        prop::sample::select(&["", "04:A2", "größer"][..]).prop_map(Value::Text),
    ];
    let values = vec((any::<u16>(), value), 0..80);
    (any::<u32>(), any::<u32>(), values).prop_map(|(seq, uptime_ms, values)| {
        Sent::new(Sample { seq, uptime_ms, values: values.as_slice().into() }.into())
    })
}

fn log() -> impl Strategy<Value = Option<Sent>> {
    (prop::sample::select(&LEVELS[..]), text(1000))
        .prop_map(|(level, text)| Sent::new(Log { level, text: &text }.into()))
}

/// Mostly plain text, so that COBS sees runs of more than 254 bytes without zero.
fn text(len_max: usize) -> impl Strategy<Value = String> {
    let char = prop_oneof![20 => prop::char::range('a', 'z'), 1 => any::<char>(), 1 => Just('\0')];
    let plain = (0..=len_max).prop_map(|len| "x".repeat(len));
    prop_oneof![plain, vec(char, 0..=len_max).prop_map(String::from_iter)]
}

/// Bytes of any kind, with delimiters and small COBS codes more often than chance.
fn noise(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![2 => any::<u8>(), 1 => 0..6_u8], 0..len_max)
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(1..300_usize, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_arrive_as_they_were_sent_however_the_bytes_are_cut(
        sent in vec(frame(), 0..5), cuts in cuts(),
    ) {
        let stream: Vec<u8> = sent.iter().flat_map(|sent| sent.line.clone()).collect();
        let outcome = Outcome::of(&stream, &cuts);
        prop_assert_eq!(outcome.frames(), printed(&sent));
        prop_assert_eq!(outcome.items.len(), sent.len());
        prop_assert_eq!(outcome.bytes(), stream.len() as u64);
    }

    #[test]
    fn noise_costs_no_frame_if_each_is_led_by_a_delimiter(
        sent in vec((noise(40), frame()), 0..5), cuts in cuts(),
    ) {
        let stream: Vec<u8> =
            sent.iter().flat_map(|(noise, sent)| [noise, &[0][..], &sent.line].concat()).collect();
        let outcome = Outcome::of(&stream, &cuts);
        let sent: Vec<_> = sent.into_iter().map(|(_, sent)| sent).collect();
        prop_assert_eq!(outcome.frames(), printed(&sent));
        prop_assert_eq!(outcome.bytes(), stream.len() as u64);
    }

    #[test]
    fn noise_costs_at_most_the_frame_that_follows_it(
        noise in noise(2000), sent in vec(frame(), 1..5), cuts in cuts(),
    ) {
        let frames = sent.iter().flat_map(|sent| sent.line.clone());
        let stream: Vec<u8> = noise.into_iter().chain(frames).collect();
        let outcome = Outcome::of(&stream, &cuts);
        let (frames, sent) = (outcome.frames(), printed(&sent));
        prop_assert!(frames == sent || frames == sent[1..], "{:?}", frames);
        prop_assert_eq!(outcome.bytes(), stream.len() as u64);
    }

    #[test]
    fn any_bytes_are_accounted_for_and_mean_the_same_however_they_are_cut(
        bytes in noise(5000), cuts in cuts(),
    ) {
        let outcome = Outcome::of(&bytes, &cuts);
        prop_assert_eq!(outcome.bytes(), bytes.len() as u64);
        prop_assert_eq!(outcome, Outcome::of(&bytes, &[]));
    }
}

proptest! {
    // Each case tries every bit of a frame.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn a_flipped_bit_never_makes_a_different_frame(sent in frame()) {
        for bit in 0..8 * sent.line.len() {
            let mut line = sent.line.clone();
            line[bit / 8] ^= 1 << (bit % 8);
            line.push(0);
            let outcome = Outcome::of(&line, &[]);
            // The same one is right: an empty last group reads as padding.
            prop_assert!(outcome.frames().iter().all(|frame| *frame == sent.printed));
            prop_assert_eq!(outcome.bytes(), line.len() as u64);
        }
    }
}
