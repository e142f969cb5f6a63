//! The body of a segment: its readings as they are stored and sent.

mod column;
mod decimal;
mod forecast;
mod integers;
mod range_coder;
mod stream;
mod token;

pub use column::TEXT_MAX;
pub use stream::VERSION;
