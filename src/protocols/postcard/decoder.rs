//! Decodes the frames of a microcontroller that speaks `outstation-wire`. Framing and parsing are left to
//! `outstation-wire`.
//!
//! The sensor describes its channels with a hello. Samples that arrive before the first hello are held
//! until it comes, and keep their time.

use std::collections::VecDeque;
use std::sync::Arc;

use outstation_codec::{
    CHANNELS_MAX, Channel, Fault, NAME_MAX, Sensor, Stamp, Value, ValueType, weight,
};
use outstation_wire::{
    Deframer, Fault as WireFault, Frame, Hello, Sample, Value as WireValue, ValueType as WireType,
};
use serde::{Deserialize, Serialize};

use super::sensor_clock::SensorClock;
use crate::protocols::interface::Protocol;
use crate::protocols::outbox::{HELD_READINGS_MAX, Outbox};
use crate::protocols::partial::Partial;

/// The most values held until the first hello, for sensors with very many channels. Sensors repeat the
/// hello every ten seconds, and a sensor at 100 Hz sends about as many samples in that time as can be held.
const HELD_CELLS_MAX: usize = 16 * HELD_READINGS_MAX;
/// The most messages of a sensor that are kept until they are published. Further ones are dropped, so that
/// a sensor cannot flood the journal.
const SAID_MAX: usize = 16;

/// A sample with its time on our clock. Its values have the channel ids of the wire.
#[derive(Debug, Serialize, Deserialize)]
struct Observation {
    stamp: Stamp,
    values: Vec<(u16, Value)>,
}

/// The decoder of one port. Its serialised form is the state for the tail, without the partial frame. The
/// fields are a file format: a change requires a new version of the tail file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PostcardDecoder {
    #[serde(skip)]
    deframer: Deframer,
    #[serde(skip)]
    padding_seen: u64,
    sensor: Arc<Sensor>,
    /// The index in `sensor.channels` of each channel id on the wire, ascending by id.
    channels: Vec<(u16, u16)>,
    held: VecDeque<Observation>,
    held_cells: usize,
    clock: SensorClock,
    next_seq: Option<u32>,
}

impl PostcardDecoder {
    pub(super) fn new(port: &str) -> Self {
        let sensor = Sensor { port: port.into(), name: port.into(), channels: Vec::new() };
        Self {
            deframer: Deframer::new(),
            padding_seen: 0,
            sensor: Arc::new(sensor),
            channels: Vec::new(),
            held: VecDeque::new(),
            held_cells: 0,
            clock: SensorClock::default(),
            next_seq: None,
        }
    }
}

impl Protocol for PostcardDecoder {
    fn feed(&mut self, mut bytes: &[u8], at_ms: i64, out: &mut Outbox) {
        // The deframer lends out its frames, so it is taken out of `self` while they are processed.
        let mut deframer = std::mem::take(&mut self.deframer);
        while let Some(received) = deframer.next(&mut bytes) {
            match received.frame {
                Ok(frame) => {
                    out.framed(received.bytes);
                    self.take(&frame, at_ms, out);
                }
                Err(fault) => out.misframed(framing_fault(fault), received.bytes),
            }
        }
        let padding = deframer.padding_bytes();
        out.intake.padding_bytes += padding - self.padding_seen;
        self.padding_seen = padding;
        self.deframer = deframer;
    }

    fn interrupted(&mut self, out: &mut Outbox) {
        let abandoned = self.deframer.reset();
        if abandoned > 0 {
            out.misframed(Fault::TooShort, abandoned);
        }
        out.fault(Fault::UnknownChannel, self.held.len() as u64);
        self.held.clear();
        self.held_cells = 0;
        // After an interruption another sensor may be connected to the port.
        self.channels.clear();
        self.next_seq = None;
        self.clock = SensorClock::default();
    }

    fn partial(&self) -> Partial {
        Partial { bytes: self.deframer.pending_bytes(), frames: self.held.len() as u64 }
    }

    fn half_read(&self) -> &[u8] {
        self.deframer.pending()
    }

    fn knowledge(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// Ignores a state that cannot be decoded: samples then wait for the next hello.
    fn learn(&mut self, knowledge: &[u8]) {
        let known = postcard::from_bytes(knowledge).ok().filter(Self::is_sound);
        if let Some(known) = known {
            *self = known;
        }
    }

    fn greeting(&self) -> Option<u8> {
        Some(outstation_wire::DELIMITER)
    }
}

impl PostcardDecoder {
    fn is_sound(&self) -> bool {
        let channels = self.sensor.channels.len();
        self.channels.iter().all(|(_, index)| usize::from(*index) < channels)
    }

    fn take(&mut self, frame: &Frame<'_>, at_ms: i64, out: &mut Outbox) {
        match frame {
            Frame::Hello(hello) => {
                out.intake.control += 1;
                self.introduce(hello);
                self.release(out);
            }
            Frame::Log(log) => {
                out.intake.control += 1;
                if out.said.len() < SAID_MAX {
                    out.said.push((log.level, log.text.to_owned()));
                }
            }
            Frame::Sample(sample) => self.observe(sample, at_ms, out),
        }
    }

    /// Applies a hello. It describes the channels that it lists; a long description comes in several.
    fn introduce(&mut self, hello: &Hello<'_>) {
        let mut sensor = Sensor::clone(&self.sensor);
        for channel in hello.channels {
            let described = Channel {
                name: clipped(channel.name),
                unit: clipped(channel.unit),
                kind: value_type(channel.kind),
            };
            // Channels beyond the limit are not added, so samples with them are counted as faults.
            let Some(index) = place(&mut sensor.channels, described) else { continue };
            match self.channels.binary_search_by_key(&channel.id, |(id, _)| *id) {
                Ok(at) => self.channels[at].1 = index,
                Err(at) => self.channels.insert(at, (channel.id, index)),
            }
        }
        if sensor != *self.sensor {
            self.sensor = Arc::new(sensor);
        }
    }

    fn observe(&mut self, sample: &Sample<'_>, at_ms: i64, out: &mut Outbox) {
        let taken = self.clock.read(sample.uptime_ms, at_ms);
        self.count_gap(sample.seq, taken.restarted, out);
        let values: Vec<_> =
            sample.values.iter().map(|(id, value)| (id, value_of(&value))).collect();
        let observation = Observation { stamp: Stamp::boot(taken.at_ms), values };
        if observation.values.is_empty() {
            out.fault(Fault::NoValue, 1);
        } else if self.knows(&observation) {
            self.accept(observation, out);
        } else {
            self.hold(observation, out);
        }
    }

    fn knows(&self, observation: &Observation) -> bool {
        observation.values.iter().all(|(id, _)| self.index_of(*id).is_some())
    }

    fn index_of(&self, id: u16) -> Option<u16> {
        let at = self.channels.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.channels[at].1)
    }

    fn accept(&self, observation: Observation, out: &mut Outbox) {
        let cells = observation.values.into_iter();
        let known = cells.filter_map(|(id, value)| Some((self.index_of(id)?, value)));
        out.push(&self.sensor, observation.stamp, known);
    }

    /// Keeps a sample until a hello describes its channels. If there are too many samples, the oldest are
    /// counted as faults.
    fn hold(&mut self, observation: Observation, out: &mut Outbox) {
        self.held_cells += weight_of(&observation);
        self.held.push_back(observation);
        while self.held.len() > HELD_READINGS_MAX || self.held_cells > HELD_CELLS_MAX {
            let Some(oldest) = self.held.pop_front() else { return };
            self.held_cells -= weight_of(&oldest);
            out.fault(Fault::UnknownChannel, 1);
        }
    }

    /// Accepts the held samples whose channels are known now. Others wait for the next part of the
    /// description.
    fn release(&mut self, out: &mut Outbox) {
        for observation in std::mem::take(&mut self.held) {
            if self.knows(&observation) {
                self.held_cells -= weight_of(&observation);
                self.accept(observation, out);
            } else {
                self.held.push_back(observation);
            }
        }
    }

    fn count_gap(&mut self, seq: u32, restarted: bool, out: &mut Outbox) {
        let missing = self.next_seq.map_or(0, |next| seq.wrapping_sub(next));
        self.next_seq = Some(seq.wrapping_add(1));
        if restarted {
            out.fault(Fault::SensorRestart, 1);
        } else if missing > 0 && missing < u32::MAX / 2 {
            out.fault(Fault::SequenceGap, u64::from(missing));
        }
    }
}

fn weight_of(observation: &Observation) -> usize {
    observation.values.iter().map(|(_, value)| weight(value)).sum()
}

/// Adds a channel, or replaces the description of the channel of that name. Returns its index.
fn place(channels: &mut Vec<Channel>, described: Channel) -> Option<u16> {
    let known = channels.iter().position(|channel| channel.name == described.name);
    let at = match known {
        Some(at) => at,
        None if channels.len() >= CHANNELS_MAX => return None,
        None => {
            channels.push(described.clone());
            channels.len() - 1
        }
    };
    channels[at] = described;
    u16::try_from(at).ok()
}

fn clipped(name: &str) -> String {
    name.chars()
        .scan(0, |bytes, char| {
            *bytes += char.len_utf8();
            (*bytes <= NAME_MAX).then_some(char)
        })
        .collect()
}

fn framing_fault(fault: WireFault) -> Fault {
    match fault {
        WireFault::TooLong => Fault::TooLong,
        WireFault::Cobs => Fault::Cobs,
        WireFault::TooShort => Fault::TooShort,
        WireFault::Crc { .. } => Fault::Crc,
        WireFault::Version(_) => Fault::Version,
        WireFault::Malformed => Fault::Malformed,
    }
}

fn value_type(kind: WireType) -> ValueType {
    match kind {
        WireType::Bool => ValueType::Bool,
        WireType::Int => ValueType::Int,
        WireType::F32 => ValueType::F32,
        WireType::F64 => ValueType::F64,
        WireType::Text => ValueType::Text,
    }
}

fn value_of(value: &WireValue<'_>) -> Value {
    match *value {
        WireValue::Bool(value) => Value::Bool(value),
        WireValue::Int(value) => Value::Int(value),
        WireValue::F32(value) => Value::F32(value),
        WireValue::F64(value) => Value::F64(value),
        WireValue::Text(value) => Value::Text(value.into()),
    }
}

#[cfg(test)]
mod tests {
    use outstation_codec::{FaultStage, Readings};
    use outstation_wire as wire;

    use super::*;
    use crate::domain::model::ledger::Books;

    fn hello() -> Vec<u8> {
        let channels = [wire::Channel { id: 7, name: "t", unit: "Cel", kind: WireType::F32 }];
        let hello = Hello { firmware: "fw", version: "1", channels: (&channels).into() };
        hello.encode(&mut [0; 1024]).expect("fits").to_vec()
    }

    fn sample(seq: u32, uptime_ms: u32, id: u16) -> Vec<u8> {
        let values = [(id, WireValue::F32(21.5))];
        let sample = Sample { seq, uptime_ms, values: (&values).into() };
        sample.encode(&mut [0; 1024]).expect("fits").to_vec()
    }

    fn feed(chunks: &[Vec<u8>]) -> (Outbox, PostcardDecoder) {
        let (mut out, mut decoder) = (Outbox::default(), PostcardDecoder::new("mcu"));
        for (chunk, at) in chunks.iter().zip((10_000..).step_by(100)) {
            out.intake.bytes += chunk.len() as u64;
            decoder.feed(chunk, at, &mut out);
        }
        (out, decoder)
    }

    fn balanced(out: &mut Outbox, decoder: &PostcardDecoder) -> Readings {
        let (readings, intake) = out.take(decoder.partial());
        let mut books = Books::default();
        books.took_in("mcu", &intake);
        let ledger = books.ledger(0, intake.accepted - intake.overflow, &[]);
        assert_eq!(ledger.imbalances(), Vec::<String>::new());
        readings
    }

    #[test]
    fn samples_before_the_first_hello_are_held_and_keep_their_time() {
        let chunks = [sample(0, 0, 7), sample(1, 100, 7), hello(), sample(2, 300, 7)];
        let (mut out, decoder) = feed(&chunks);
        let mut readings = balanced(&mut out, &decoder);
        let mut times = Vec::new();
        readings.drain(|_, stamp, _| times.push(stamp));
        assert_eq!(times, [Stamp::boot(10_000), Stamp::boot(10_100), Stamp::boot(10_300)]);
    }

    #[test]
    fn a_channel_nobody_described_is_a_counted_fault() {
        let (mut out, mut decoder) = feed(&[hello(), sample(0, 0, 8), sample(1, 100, 7)]);
        assert_eq!(balanced(&mut out, &decoder).len(), 1, "and holds up nothing else");
        decoder.interrupted(&mut out);
        let (_, intake) = out.take(decoder.partial());
        assert_eq!(intake.faults.get(Fault::UnknownChannel), 1);
    }

    #[test]
    fn samples_wait_for_the_part_of_the_description_that_names_their_channel() {
        let describe = |id: u16| {
            let channels = [wire::Channel { id, name: "x", unit: "", kind: WireType::F32 }];
            let hello = Hello { firmware: "fw", version: "1", channels: (&channels).into() };
            hello.encode(&mut [0; 1024]).expect("fits").to_vec()
        };
        let chunks = [describe(1), sample(0, 0, 7), sample(1, 100, 1), hello(), sample(2, 300, 7)];
        let (mut out, decoder) = feed(&chunks);
        assert_eq!(balanced(&mut out, &decoder).len(), 3);
    }

    #[test]
    fn samples_that_nobody_describes_are_held_in_bounded_memory_and_then_counted() {
        let chunks: Vec<_> = (0..2000).map(|seq| sample(seq, 100 * seq, 7)).collect();
        let (mut out, decoder) = feed(&chunks);
        assert_eq!(decoder.partial().frames, HELD_READINGS_MAX as u64);
        assert_eq!(out.intake.faults.get(Fault::UnknownChannel), 2000 - HELD_READINGS_MAX as u64);
        balanced(&mut out, &decoder);
    }

    #[test]
    fn gaps_and_restarts_are_noticed() {
        let (mut out, decoder) =
            feed(&[hello(), sample(5, 500, 7), sample(9, 600, 7), sample(0, 3, 7)]);
        assert_eq!(out.intake.faults.get(Fault::SequenceGap), 3);
        assert_eq!(out.intake.faults.get(Fault::SensorRestart), 1);
        assert_eq!(out.readings.len(), 3);
        balanced(&mut out, &decoder);
    }

    #[test]
    fn garbage_between_frames_disturbs_nothing_else() {
        let garbage = vec![9, 9, 9, 0, 0, 1, 0];
        let (mut out, decoder) = feed(&[hello(), garbage, sample(0, 0, 7), vec![1, 2, 3]]);
        assert_eq!(out.readings.len(), 1);
        assert!(out.intake.faults.total(FaultStage::Framing) >= 1);
        assert_eq!(decoder.partial().bytes, 3);
        balanced(&mut out, &decoder);
    }

    #[test]
    fn an_interrupted_line_accounts_for_what_was_half_read() {
        let (mut out, mut decoder) = feed(&[sample(0, 0, 7), vec![1, 2, 3]]);
        assert_eq!(decoder.partial().frames, 1);
        decoder.interrupted(&mut out);
        assert_eq!(decoder.partial(), Partial::default());
        balanced(&mut out, &decoder);
    }
}
