//! Between the text of a configuration and typed values: where a mistake stands, which keys there are, how
//! a value is read, and how it is written again.

pub(super) mod source;

pub(crate) mod section;
pub(crate) mod settings;

pub(crate) mod kind;

pub(crate) mod keys;

pub(super) mod error;
pub(crate) mod print;
