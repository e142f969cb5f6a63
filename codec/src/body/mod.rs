//! The body of a segment: what of it is stored and sent.

mod column;
mod decimal;
mod forecast;
mod integers;
mod range_coder;
mod stream;
mod token;

pub use column::TEXT_MAX;
pub use stream::VERSION;
