//! How readings are packed into segment bodies.

pub mod body;
pub mod column;
pub mod cut;
pub mod decimal;
pub mod forecast;
pub mod integers;
pub mod range_coder;
pub mod segment;
pub mod token;
pub mod version_1;
