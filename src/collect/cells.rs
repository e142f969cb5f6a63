//! Writes the values of a reading as the tables keep them: a JSON object by channel.

use outstation_codec::Value;

/// The values of one reading as a JSON object. The memory is used again for the next reading.
#[derive(Debug, Default)]
pub(super) struct Cells(Vec<u8>);

impl Cells {
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.push(b'{');
    }

    /// Adds a value under a key that [`key`] made. NaN and infinity become null, since JSON has no number
    /// for them.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&Value>) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.extend_from_slice(key);
        match value {
            None => self.json(&()),
            Some(Value::Bool(bool)) => self.json(bool),
            Some(Value::Int(int)) => self.json(int),
            Some(Value::F32(float)) => self.json(float),
            Some(Value::F64(float)) => self.json(float),
            Some(Value::Text(text)) => self.json(&text.as_ref()),
        }
    }

    pub(super) fn finish(&mut self) -> &str {
        self.0.push(b'}');
        std::str::from_utf8(&self.0).expect("JSON is UTF-8")
    }

    fn json(&mut self, value: &impl serde::Serialize) {
        serde_json::to_writer(&mut self.0, value).expect("memory takes every value");
    }
}

/// The name of a channel as the key of a JSON object, with its colon.
pub(super) fn key(name: &str) -> Vec<u8> {
    let mut key = serde_json::to_vec(name).expect("memory takes every value");
    key.push(b':');
    key
}
