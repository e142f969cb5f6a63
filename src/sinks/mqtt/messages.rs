//! Encodes a batch as MQTT messages, each with a topic and a payload. `flight.rs` sends them, without those
//! that the broker has already.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;
use outstation_codec::{Batch, Dated, SegmentError, Value};

use super::config::{MqttConfig, Payload};
use super::topic::{below, topic};
use crate::domain::model::event_line::EventLine;
use crate::domain::model::template::TemplateNames;
use crate::encoding::json::JsonLines;

/// The messages of a batch, in the order in which they are sent.
#[derive(Debug)]
pub(super) struct MqttMessages {
    pub(super) list: Vec<MqttMessage>,
    topics: Vec<String>,
}

#[derive(Debug)]
pub(super) struct MqttMessage {
    pub(super) of: ItemId,
    topic: usize,
    pub(super) payload: Bytes,
}

/// The event or reading of a message. With bare values a reading has several messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum ItemId {
    /// The position of an event.
    Event(u64),
    /// The sequence number of a reading.
    Reading(u64),
}

impl MqttMessages {
    pub(super) fn of(batch: &Batch, config: &MqttConfig) -> Result<Self, SegmentError> {
        let mut encoder = Encoder::new(batch, config);
        encoder.events();
        batch.for_each(|dated| encoder.reading(&dated))?;
        Ok(encoder.finish())
    }

    pub(super) fn topic(&self, message: &MqttMessage) -> &str {
        &self.topics[message.topic]
    }

    /// The total size of the payloads in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.list.iter().map(|message| message.payload.len() as u64).sum()
    }
}

struct Encoder<'a> {
    batch: &'a Batch,
    config: &'a MqttConfig,
    lines: JsonLines,
    /// All payloads, one after the other.
    text: Vec<u8>,
    messages: Vec<(ItemId, usize, Range<usize>)>,
    topics: Vec<String>,
    /// The index of the topic of a sensor and channel. The second part of the key is 0 for the sensor
    /// itself and 1 + the index of a channel.
    known: BTreeMap<(u32, usize), usize>,
}

impl<'a> Encoder<'a> {
    fn new(batch: &'a Batch, config: &'a MqttConfig) -> Self {
        Self {
            batch,
            config,
            lines: JsonLines::of_batch(batch),
            text: Vec::new(),
            messages: Vec::new(),
            topics: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    fn events(&mut self) {
        if self.batch.events.is_empty() {
            return;
        }
        let device = TemplateNames { device: &self.batch.device, ..TemplateNames::default() };
        self.topics.push(topic(&self.config.events_topic, device));
        for record in &self.batch.events {
            let from = self.text.len();
            // Writing into memory does not fail.
            drop(serde_json::to_writer(&mut self.text, &EventLine::of(self.batch, record)));
            self.messages.push((ItemId::Event(record.position), 0, from..self.text.len()));
        }
    }

    fn reading(&mut self, dated: &Dated<'_>) {
        let item = ItemId::Reading(dated.reading.seq);
        match self.config.payload {
            Payload::Json => {
                let topic = self.topic(dated, None);
                let from = self.text.len();
                self.lines.add(&mut self.text, dated);
                let end_of_line = 1;
                self.messages.push((item, topic, from..self.text.len() - end_of_line));
            }
            Payload::Value => {
                for (channel, value) in dated.reading.cells {
                    let topic = self.topic(dated, Some(usize::from(*channel)));
                    let from = self.text.len();
                    write_bare(&mut self.text, value);
                    self.messages.push((item, topic, from..self.text.len()));
                }
            }
        }
    }

    fn topic(&mut self, dated: &Dated<'_>, channel: Option<usize>) -> usize {
        let key = (dated.reading.sensor, channel.map_or(0, |channel| channel + 1));
        if let Some(topic) = self.known.get(&key) {
            return *topic;
        }
        let (device, sensor) = (self.batch.device.as_str(), dated.sensor);
        let names = TemplateNames { device, port: &sensor.port, sensor: &sensor.name };
        let of_sensor = topic(&self.config.topic, names);
        let channel = channel.and_then(|channel| sensor.channels.get(channel));
        let topic = match channel {
            Some(channel) => below(&of_sensor, &channel.name),
            None => of_sensor,
        };
        self.topics.push(topic);
        self.known.insert(key, self.topics.len() - 1);
        self.topics.len() - 1
    }

    fn finish(self) -> MqttMessages {
        let text = Bytes::from(self.text);
        let message = |(of, topic, range): (_, _, Range<usize>)| MqttMessage {
            of,
            topic,
            payload: text.slice(range),
        };
        MqttMessages { list: self.messages.into_iter().map(message).collect(), topics: self.topics }
    }
}

/// Writes a value as text, without quotes.
fn write_bare(out: &mut Vec<u8>, value: &Value) {
    // Writing into memory does not fail.
    drop(match value {
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::F32(value) => write!(out, "{value:?}"),
        Value::F64(value) => write!(out, "{value:?}"),
        Value::Text(value) => write!(out, "{value}"),
    });
}

#[cfg(test)]
pub(super) mod tests {
    use outstation_codec::{Stamp, ValueType};

    use super::*;
    use crate::config::Config;
    use crate::test_kit::batches::{self, events as event_records, segment, sensor};

    pub(crate) fn config(rest: &str) -> MqttConfig {
        let text = format!("[[sink]]\nname = \"s\"\nkind = \"mqtt\"\nurl = \"mqtt://h\"\n{rest}");
        let config = Config::parse(&text, "test").expect("a configuration");
        let settings = config.sinks[0].kind.settings.as_any();
        settings.downcast_ref::<MqttConfig>().expect("an mqtt sink").clone()
    }

    /// A batch of the readings `first..first + count` with two channels each, and of `events` events.
    pub(crate) fn batch(first: u64, count: u32, events: u64) -> Batch {
        let sensor = sensor("s+1", &[("t/in", ValueType::F64), ("ok", ValueType::Text)]);
        let row = |index| {
            let values = vec![Value::F64(20.5 + f64::from(index)), Value::Text("yes".into())];
            (Stamp::unix(0), values)
        };
        let segments = match count {
            0 => vec![],
            _ => vec![segment(first, (0..count).map(row))],
        };
        Batch { epoch: 9, events: event_records(events), ..batches::batch(vec![sensor], segments) }
    }

    fn said(batch: &Batch, config: &MqttConfig) -> Vec<(ItemId, String, String)> {
        let messages = MqttMessages::of(batch, config).expect("sound");
        let payload = |of: &MqttMessage| String::from_utf8(of.payload.to_vec()).expect("text");
        messages.list.iter().map(|m| (m.of, messages.topic(m).to_owned(), payload(m))).collect()
    }

    #[test]
    fn a_reading_is_one_json_object_in_its_sensors_topic_and_an_event_one_in_theirs() {
        let said = said(&batch(5, 1, 1), &config("topic = \"x/{sensor}/{device}\""));
        let event = r#"{"device":"d","epoch":9,"event":1,"stream":"port/p","time":"1970-01-01T00:00:00.000Z","clock":"unset","kind":"port_opened"}"#;
        let reading = r#"{"device":"d","epoch":9,"seq":5,"port":"p","sensor":"s+1","time":"1970-01-01T00:00:00.000Z","values":{"t/in":20.5,"ok":"yes"}}"#;
        let expected = [
            (ItemId::Event(1), "outstation/d/events".to_owned(), event.to_owned()),
            (ItemId::Reading(5), "x/s_1/d".to_owned(), reading.to_owned()),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn bare_values_are_a_message_per_channel_one_level_deeper() {
        let said = said(&batch(5, 2, 0), &config("payload = \"value\""));
        let topics: Vec<_> = said.iter().map(|(_, topic, _)| topic.as_str()).collect();
        let topic = |name| format!("outstation/d/p/s_1/{name}");
        assert_eq!(topics, [topic("t_in"), topic("ok"), topic("t_in"), topic("ok")]);
        let values: Vec<_> = said.iter().map(|(of, _, value)| (*of, value.as_str())).collect();
        let [five, six] = [5, 6].map(ItemId::Reading);
        assert_eq!(values, [(five, "20.5"), (five, "yes"), (six, "21.5"), (six, "yes")]);
    }
}
