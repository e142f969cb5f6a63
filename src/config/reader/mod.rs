//! Between the text of a configuration and typed values: where a mistake stands, which keys there are, how
//! a value is read, and how it is written again.
//!
//! `table` is what a section is stated with; `field` is what it states of each key, and `syntax` how a
//! value is written.

pub(super) mod source;

pub(crate) mod section;

pub(crate) mod field;
pub(crate) mod syntax;
pub(crate) mod table;

pub(crate) mod keys;
pub(crate) mod settings;

pub(super) mod error;
pub(crate) mod print;
