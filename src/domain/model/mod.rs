//! The nouns, with one type each and the rules that concern that type alone.

// What a sensor measures, and how it is named and dated.
pub mod boots;
pub mod sensors;

// What the log stores and hands out.
pub mod event;
pub mod event_line;
pub mod generation;

// The account of every reading.
pub mod interval_set;
pub mod ledger;
pub mod quarantine;
pub mod reading_class;
pub mod refusal_reason;

// Where readings are sent.
pub mod endpoint;
pub mod template;
