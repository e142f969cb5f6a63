//! Makes the text of a server fit to be shown. It does not remove secrets.

use std::fmt;

/// Text from a server, fit for one line of our log: bounded in length and without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerWords(String);

impl ServerWords {
    /// The longest text in characters. With a status in front of it, the text fits into a
    /// [`RefusalReason`](crate::domain::model::refusal_reason::RefusalReason).
    const CHARS_MAX: usize = 200;

    /// Keeps the beginning of `text`.
    pub(crate) fn of(text: &str) -> Self {
        let short: String = text.chars().take(Self::CHARS_MAX).collect();
        Self(short.escape_debug().to_string())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerWords {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}
