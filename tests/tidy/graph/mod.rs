//! Which module of the crates uses which, read from their sources.
//!
//! ```text
//!  files ──source──▶ modules: what each declares, imports and names ──names──▶ edges ─┬─▶ circles
//!                                                                      the table of ─┴─▶ layers
//! ```
//!
//! A module here is a file. An edge goes from the file that uses an item to the file that defines it:
//! a name that reaches its user through re-exports leads to its definition and not to the maps between.
//! `mod x;` is no edge, and neither is importing a module: what is used of it is. A re-export is an edge
//! of the map that makes it. Tests are left out: what stands below `#[cfg(test)]`.
//!
//! Methods that are called on a value are not seen, since their types are not known here.

mod circles;
mod layers;
mod names;
mod source;

pub(crate) use circles::circles;
pub(crate) use layers::Layers;
pub(crate) use names::{Edge, Graph};
pub(crate) use source::{Files, Root};

#[cfg(test)]
mod tests;
