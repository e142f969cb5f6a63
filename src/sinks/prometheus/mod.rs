//! The `prometheus` sink: remote write 1.0.
//!
//! ```text
//!  batch ─▶ dated? ─▶ known to be past? ─▶ one request ─▶ 2xx: accepted
//!             │ no       │ yes                  ├─▶ in doubt and found at the server ─▶ the rest
//!             ▼          ▼                      ├─▶ every time in it is past ─▶ rejected as a whole
//!           wait      rejected                  └─▶ otherwise rejected, for the uploader to divide
//! ```
//!
//! `samples` encodes a batch, with the labels from `labels`. After a refusal `repeats` looks for readings
//! that are `in_doubt` and `past` looks for times that no series accepts any more; both ask with a `probe`.
//!
//! Prometheus has no representation of text, so text is left out and counted. A reading that contains only
//! text counts as delivered as soon as it is offered.

mod config;
mod in_doubt;
mod labels;
mod past;
mod probe;
mod repeats;
mod samples;
mod sink;

use self::config::{PrometheusConfig, SCHEME};
use self::in_doubt::SharedInDoubt;
use self::sink::{BYTES_PER_READING, PrometheusSink};
use super::kind::{AnySinkSettings, Connector, SinkContext, SinkKind, SinkSettings};
use crate::config::part::url::Exposure;
use crate::config::reader::print::Printer;
use crate::config::reader::table::{self, AnyTable};
use crate::credentials::SetupError;
use crate::domain::policy::lanes::Order;
use crate::upload::service;

pub(super) const KIND: SinkKind = SinkKind {
    scheme: SCHEME,
    // A series does not accept a time before its newest sample.
    order: Order::AsStored,
    table: AnyTable::of::<PrometheusConfig>(),
    examples: &[&[("name", "\"metrics\""), ("kind", "\"prometheus\"")]],
    read: |from| AnySinkSettings::of(table::read::<PrometheusConfig>(from)),
};

impl SinkSettings for PrometheusConfig {
    fn print(&self, to: &mut Printer) {
        table::print(self, to);
    }

    fn takes_events(&self) -> bool {
        false
    }

    fn exposure(&self) -> Exposure {
        self.access.exposure()
    }

    fn check(&self) -> Result<(), SetupError> {
        self.access.check()
    }

    fn bytes_per_reading(&self) -> Option<u64> {
        Some(BYTES_PER_READING)
    }

    fn connector(&self, context: SinkContext) -> Connector {
        // The endpoints of a sink may lead to the same server, so they share what is in doubt there.
        let (config, in_doubt) = (self.clone(), SharedInDoubt::new(context.log.clone()));
        Box::new(move |endpoint| {
            service(PrometheusSink::new(&config, endpoint, &context, in_doubt.clone()))
        })
    }
}
