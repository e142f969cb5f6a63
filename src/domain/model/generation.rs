//! The generation: a number that counts the changes of configuration or version over the life of the log.

use serde::{Deserialize, Serialize};

/// The aggregate of the `config` stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The generation, counted from 1; 0 before the first start.
    pub number: u32,
    /// CRC-32 of the effective configuration as `outstation check` prints it.
    pub digest: u32,
    pub version: String,
}

impl Generation {
    /// Returns the number of the next generation, or `None` if configuration and version have not changed.
    pub fn succeeded_by(&self, digest: u32, version: &str) -> Option<u32> {
        let same = self.number > 0 && self.digest == digest && self.version == version;
        (!same).then(|| self.number.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_no_generation_and_a_change_or_a_new_version_is() {
        let first = Generation::default();
        assert_eq!(first.succeeded_by(0, ""), Some(1));
        let known = Generation { number: 1, digest: 7, version: "1.0".into() };
        assert_eq!(known.succeeded_by(7, "1.0"), None);
        assert_eq!(known.succeeded_by(8, "1.0"), Some(2));
        assert_eq!(known.succeeded_by(7, "1.1"), Some(2));
    }
}
