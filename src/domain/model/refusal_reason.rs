//! The reason for which a sink refused readings for good, as it is kept with them.

use std::fmt;

/// The reason for a refusal, cut to `BYTES_MAX` bytes when it is made, so that a longer one cannot be
/// stored.
///
/// It holds everything that is known, the server's words included. It is stored once for each reading in
/// quarantine, in the log and in an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusalReason(String);

impl RefusalReason {
    /// The limit in bytes. A status, a sentence and the place of the error fit; a page of HTML does not.
    pub const BYTES_MAX: usize = 256;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keeps the beginning of the text and cuts only between characters.
impl From<&str> for RefusalReason {
    fn from(text: &str) -> Self {
        let mut end = text.len().min(Self::BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].to_owned())
    }
}

impl From<String> for RefusalReason {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<RefusalReason> for String {
    fn from(reason: RefusalReason) -> Self {
        reason.0
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_letters() {
        let reason = |text: &str| String::from(RefusalReason::from(text));
        assert_eq!(reason("no"), "no");
        let long = "ä".repeat(500);
        assert_eq!(reason(&long), "ä".repeat(128));
        assert_eq!(reason(&format!("x{long}")).len(), 255);
    }
}
