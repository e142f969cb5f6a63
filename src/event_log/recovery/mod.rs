//! From a path to a log that can be written, whatever is found there.

// From whole files to rows down to bytes.
pub(super) mod carve;
pub(super) mod carved;
pub(super) mod frames;
pub(super) mod images;
pub(super) mod opening;
pub(super) mod pages;
pub mod remains;
pub(super) mod rescue;
pub(super) mod salvage;
pub(super) mod sight;
