//! Delivers readings from the log to the sinks. One upload actor runs per sink.
//!
//! ```text
//!                                                    ┌▶ breaker ▶ trust ▶ deadline ▶ sink ──▶ upstream
//!  log ◀─next── Uploader ──Offer▶ rate ▶ retry ▶ endpoints
//!      ◀──ack──     ▲                                └▶ breaker ▶ trust ▶ deadline ▶ sink ──▶ upstream
//!                   └───────────── Ok, or SinkRefusal ◀──────────────────────┘
//! ```
//!
//! The uploader pulls from the log and sends one batch at a time. A batch is acknowledged, and so leaves
//! the log, only after the sink has accepted it. Sinks do not know of retries, and retries do not know of
//! HTTP. The kinds of sinks are in `sinks/`.

mod leftovers;
pub(crate) mod lookup;
pub(crate) mod offer;
pub(crate) mod refusal;
pub mod stack;
pub(crate) mod status;
pub mod uploader;
pub(crate) mod wire;

pub use offer::{AnySink, Attempt, Offer, Receipt};
pub(crate) use offer::{Deliver, service};
pub(crate) use refusal::{CHECK_SETTINGS, Unencoded};
pub use refusal::{Class, DeliveryError, Reason, Rejection, SinkRefusal};
pub use status::{EndpointStatus, SinkStatus};
pub use wire::Wire;
