//! The one trait by which stages tell what happened.

/// Something that happened and is worth a line in the journal. Implementations write that line and count
/// the metrics that belong to it, so whoever reports knows neither.
pub trait Report {
    fn report(&self);
}
