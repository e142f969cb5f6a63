//! The nouns, one type each, with what is true of them alone.

// What a sensor says, and how it is named and dated.
pub mod boots;
pub mod sensors;

// What the log keeps and hands out.
pub mod event;
pub mod event_line;
pub mod generation;

// The account of it.
pub mod interval_set;
pub mod ledger;
pub mod quarantine;
pub mod reading_class;
pub mod refusal_reason;

// Where it goes.
pub mod endpoint;
pub mod template;
