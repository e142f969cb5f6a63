//! A virtual board and what is plugged into it, and the receiver beside it.

pub(crate) mod arrived;
pub(crate) mod board;
pub(crate) mod disk;
pub(crate) mod qmp;
pub(crate) mod sensor;
pub(crate) mod writes;
