//! The trait by which the stages report events.

/// An event that is worth a line in the journal. The implementation writes that line and counts the metrics
/// that belong to it, so the code that reports an event knows neither.
pub trait Report {
    fn report(&self);
}
