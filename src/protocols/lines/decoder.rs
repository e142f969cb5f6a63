//! Decodes a port that sends lines of text. `formats.rs` parses the fields of a line.
//!
//! A line ends with a line feed; a carriage return before it is ignored. The decoder parses each line in
//! the configured format and finds or creates the sensor that the line names.

use std::collections::HashMap;
use std::sync::Arc;

use outstation_codec::{CHANNELS_MAX, Channel, Fault, SENSORS_MAX, Sensor, Stamp, ValueType};

use super::config::{LineFormat, Lines};
use super::formats::{Fields, parse_csv, parse_json, parse_key_value};
use crate::protocols::interface::Protocol;
use crate::protocols::outbox::Outbox;
use crate::protocols::partial::Partial;

#[derive(Debug)]
struct Source {
    sensor: Arc<Sensor>,
    /// The channel of each field, by the index of the field's name.
    channels: Vec<Option<u16>>,
    next_sequence: Option<u64>,
}

#[derive(Debug)]
pub(super) struct LinesDecoder {
    port: String,
    config: Lines,
    /// The beginning of a line, if a read ended inside it.
    partial: Vec<u8>,
    /// The number of bytes of an over-long line that were dropped so far.
    skipped: u64,
    fields: Fields,
    sources: Vec<Source>,
    by_name: HashMap<String, usize>,
    last_source: usize,
}

impl LinesDecoder {
    pub(super) fn new(port: &str, config: &Lines) -> Self {
        let fields = Fields::new(
            config.sensor_key.as_deref(),
            config.time(),
            config.sequence_key.as_deref(),
        );
        Self {
            port: port.into(),
            config: config.clone(),
            partial: Vec::new(),
            skipped: 0,
            fields,
            sources: Vec::new(),
            by_name: HashMap::new(),
            last_source: 0,
        }
    }
}

impl Protocol for LinesDecoder {
    fn feed(&mut self, mut bytes: &[u8], at_ms: i64, out: &mut Outbox) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (head, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.partial.is_empty() && self.skipped == 0 && head.len() <= self.config.line_max {
                self.line(head, at_ms, out);
            } else {
                self.keep(head);
                self.end_of_kept_line(at_ms, out);
            }
        }
        self.keep(bytes);
    }

    fn interrupted(&mut self, out: &mut Outbox) {
        let abandoned = self.partial().bytes;
        if abandoned > 0 {
            out.misframed(Fault::TooShort, abandoned);
        }
        self.partial.clear();
        self.skipped = 0;
        self.sources.iter_mut().for_each(|source| source.next_sequence = None);
    }

    fn partial(&self) -> Partial {
        Partial { bytes: self.partial.len() as u64 + self.skipped, frames: 0 }
    }

    fn half_read(&self) -> &[u8] {
        &self.partial
    }
}

impl LinesDecoder {
    /// Keeps a part of a line. If the line becomes too long, it is dropped and its bytes are only counted.
    fn keep(&mut self, bytes: &[u8]) {
        if self.skipped > 0 || self.partial.len() + bytes.len() > self.config.line_max {
            self.skipped += (self.partial.len() + bytes.len()) as u64;
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn end_of_kept_line(&mut self, at_ms: i64, out: &mut Outbox) {
        if self.skipped > 0 {
            out.misframed(Fault::TooLong, std::mem::take(&mut self.skipped));
            return;
        }
        let mut partial = std::mem::take(&mut self.partial);
        self.line(&partial, at_ms, out);
        partial.clear();
        self.partial = partial;
    }

    /// Decodes one line, which includes its line feed.
    fn line(&mut self, line: &[u8], at_ms: i64, out: &mut Outbox) {
        let Ok(text) = std::str::from_utf8(line) else {
            out.misframed(Fault::NotUtf8, line.len() as u64);
            return;
        };
        let text = text.trim_ascii();
        if text.is_empty() {
            out.intake.padding_bytes += line.len() as u64;
            return;
        }
        out.framed(line.len() as u64);
        if let Err(fault) = self.reading(text, at_ms, out) {
            out.fault(fault, 1);
        }
    }

    fn reading(&mut self, text: &str, at_ms: i64, out: &mut Outbox) -> Result<(), Fault> {
        self.fields.clear();
        let Lines { format, columns, delimiter, .. } = &self.config;
        match format {
            LineFormat::Json => parse_json(text, &mut self.fields)?,
            LineFormat::KeyValue => parse_key_value(text, &mut self.fields)?,
            LineFormat::Csv => {
                parse_csv(text, columns, char::from(*delimiter), &mut self.fields)?;
            }
        }
        let stamp = match (&self.config.time_key, self.fields.time_ms) {
            (None, _) => Stamp::boot(at_ms),
            (Some(_), Some(time_ms)) => Stamp::unix(time_ms),
            (Some(_), None) => return Err(Fault::Time),
        };
        if self.fields.cells.is_empty() {
            return Err(Fault::NoValue);
        }
        let at = self.source()?;
        let (source, fields) = (&mut self.sources[at], &mut self.fields);
        for (place, value) in &mut fields.cells {
            *place = source.channel(*place, &fields.names[usize::from(*place)].0, value.kind())?;
        }
        source.count_gap(fields.sequence, out);
        out.push(&source.sensor, stamp, fields.cells.drain(..));
        Ok(())
    }

    /// The index of the source that the line names. A line without a name belongs to a sensor named like
    /// the port.
    fn source(&mut self) -> Result<usize, Fault> {
        let name = if self.fields.sensor.is_empty() { &self.port } else { &self.fields.sensor };
        // Sensors on one line usually take turns.
        let turn = (self.last_source + 1) % self.sources.len().max(1);
        let hints = [turn, self.last_source];
        let hinted =
            |at: &usize| self.sources.get(*at).is_some_and(|source| source.sensor.name == *name);
        let at = match hints.into_iter().find(hinted).or_else(|| self.by_name.get(name).copied()) {
            Some(at) => at,
            None if self.sources.len() >= SENSORS_MAX => return Err(Fault::TooMany),
            None => {
                let name = name.clone();
                self.sources.push(Source::new(&self.port, &name));
                self.by_name.insert(name, self.sources.len() - 1);
                self.sources.len() - 1
            }
        };
        self.last_source = at;
        Ok(at)
    }
}

impl Source {
    fn new(port: &str, name: &str) -> Self {
        let sensor = Sensor { port: port.into(), name: name.into(), channels: Vec::new() };
        Self { sensor: Arc::new(sensor), channels: Vec::new(), next_sequence: None }
    }

    /// The sensor's channel for a field. The channel is created, or its type widened, if the value needs
    /// it.
    fn channel(&mut self, place: u16, name: &str, kind: ValueType) -> Result<u16, Fault> {
        let place = usize::from(place);
        if let Some(Some(at)) = self.channels.get(place).copied() {
            // Only a wider type changes the channel: `20` after `20.5` does not.
            if self.sensor.channels[usize::from(at)].kind < kind {
                Arc::make_mut(&mut self.sensor).channels[usize::from(at)].kind = kind;
            }
            return Ok(at);
        }
        let at = self.sensor.channels.len();
        if at >= CHANNELS_MAX {
            return Err(Fault::TooMany);
        }
        let channel = Channel { name: name.into(), unit: String::new(), kind };
        Arc::make_mut(&mut self.sensor).channels.push(channel);
        if self.channels.len() <= place {
            self.channels.resize(place + 1, None);
        }
        let at = u16::try_from(at).map_err(|_| Fault::TooMany)?;
        self.channels[place] = Some(at);
        Ok(at)
    }

    fn count_gap(&mut self, sequence: Option<u64>, out: &mut Outbox) {
        let Some(sequence) = sequence else { return };
        match self.next_sequence {
            Some(next) if sequence > next => out.fault(Fault::SequenceGap, sequence - next),
            Some(next) if sequence < next => out.fault(Fault::SensorRestart, 1),
            _ => {}
        }
        self.next_sequence = Some(sequence.saturating_add(1));
    }
}

#[cfg(test)]
mod tests;
