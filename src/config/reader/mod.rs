//! Between the text of a configuration and typed values: where a mistake stands, which keys there are, how
//! a value is read, and how it is written again.
//!
//! ```text
//!  text ─▶ Section (TOML) ─┐
//!                          ├─ read ─▶ settings T ─ print ─▶ text
//!  settings! ─▶ Table of T ┘              └─▶ Settings<dyn ProtocolSettings>, …
//!               └ Row: Field + Syntax, for each key
//! ```
//!
//! `settings!` (in `table`) declares a struct `T` and implements [`Table`](table::Table) for it: a row for
//! each key, from which reading, printing, the reference and the schema come. `field` is what a row states
//! of its key, and `syntax` how a value is written. `section` reads the TOML and collects all mistakes.
//!
//! [`Settings`](settings::Settings) holds a `T` of any table behind a trait of its owner, so that the
//! configuration need not know it: `ProtocolSettings` for protocols, `SinkSettings` for kinds of sinks.

pub(super) mod source;

pub(crate) mod section;

pub(crate) mod field;
pub(crate) mod syntax;
pub(crate) mod table;

pub(crate) mod keys;
pub(crate) mod settings;

pub(super) mod error;
pub(crate) mod print;
