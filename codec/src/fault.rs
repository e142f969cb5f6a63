//! The faults in the bytes of a port, and counts of them.

use serde::{Deserialize, Serialize};

/// The stage of the pipeline at which a fault occurs. It decides which equation of the ledger counts the
/// fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultStage {
    /// The bytes are not a frame.
    Framing,
    /// The frame gives no reading.
    Decode,
    /// The fault is worth counting, but loses no bytes or frames here: the sensor lost or restarted
    /// something.
    Notice,
}

macro_rules! faults {
    ($($name:ident $stage:ident $reason:literal $doc:literal,)+) => {
        /// A fault in the bytes, frames or lines of a port.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $(#[doc = $doc] $name,)+ }

        impl Fault {
            /// All faults, in the order of their counts in [`FaultCounts`].
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The label in metrics, logs and `/status`.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason),+ }
            }

            /// The meaning of the fault, for a person.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $doc),+ }
            }

            /// The stage of the pipeline at which the fault occurs.
            pub fn stage(self) -> FaultStage {
                match self { $(Self::$name => FaultStage::$stage),+ }
            }
        }
    };
}

// Counts are stored by position, so new faults are only appended.
faults! {
    Cobs Framing "cobs" "the frame's byte stuffing is broken",
    Crc Framing "crc" "the frame's checksum does not match",
    TooLong Framing "too_long" "the frame or line is longer than allowed",
    TooShort Framing "too_short" "the frame is too short to be one",
    Version Framing "version" "the frame has a version this program does not know",
    Malformed Framing "malformed" "the frame's checksum fits but its content does not parse",
    NotUtf8 Framing "not_utf8" "the line is not UTF-8 text",
    Unparsable Decode "unparsable" "the line does not parse in the configured format",
    NoValue Decode "no_value" "the frame or line carries no value",
    UnknownChannel Decode "unknown_channel" "the sample names a channel that no hello has described since the port was opened",
    TooMany Decode "too_many" "more sensors or channels than a port may have",
    Time Decode "time" "the line's time field is missing or no date; is `time_unit` right?",
    SequenceGap Notice "sequence_gap" "sequence numbers are missing: the sensor or the line lost frames",
    SensorRestart Notice "sensor_restart" "the sensor's clock or sequence started again",
}

/// The number of occurrences of each fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCounts(Vec<u64>);

impl FaultCounts {
    /// Counts a fault `count` times more.
    pub fn add(&mut self, fault: Fault, count: u64) {
        let at = fault as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        // A sensor may claim a gap of any size, so the sum must not overflow.
        self.0[at] = self.0[at].saturating_add(count);
    }

    /// The number of occurrences of a fault.
    pub fn get(&self, fault: Fault) -> u64 {
        self.0.get(fault as usize).copied().unwrap_or(0)
    }

    /// The number of occurrences of all faults of a stage.
    pub fn total(&self, stage: FaultStage) -> u64 {
        self.seen().filter(|(fault, _)| fault.stage() == stage).map(|(_, count)| count).sum()
    }

    /// The faults that occurred, with their counts.
    pub fn seen(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.iter().map(|fault| (*fault, self.get(*fault))).filter(|(_, count)| *count > 0)
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (fault, count) in other.seen() {
            self.add(fault, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_distinct() {
        let reasons: std::collections::BTreeSet<_> =
            Fault::ALL.iter().map(|fault| fault.reason()).collect();
        assert_eq!(reasons.len(), Fault::ALL.len());
    }
}
