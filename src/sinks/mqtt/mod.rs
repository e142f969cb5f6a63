//! The `mqtt` sink: one message of QoS 1 per reading. A batch is accepted when every message of it has been
//! acknowledged.
//!
//! ```text
//!  batch ─MqttMessages▶ Flight ◀──▶ MqttConnection ──▶ broker
//!                     │            └─ between batches it rests in a task of its own, which pings
//!                     └─ Session: what the broker has of batches that were not accepted as a whole
//! ```
//!
//! `messages` encodes a batch and `topic` makes its topics. `flight` sends the messages over a
//! `connection`, which exchanges `packet`s. `reason` explains the refusals of a broker.

mod config;
mod connection;
mod flight;
mod messages;
mod packet;
mod reason;
mod sink;
mod topic;

use self::config::{MqttConfig, SCHEME};
use self::sink::{MqttSink, bytes_per_reading};
use super::kind::{AnySinkSettings, Connector, SinkContext, SinkKind, SinkSettings};
use crate::config::part::url::Exposure;
use crate::config::reader::print::Printer;
use crate::config::reader::table::{self, AnyTable};
use crate::credentials::SetupError;
use crate::domain::policy::lanes::Order;
use crate::upload::service;

pub(super) const KIND: SinkKind = SinkKind {
    scheme: SCHEME,
    order: Order::LiveFirst,
    table: AnyTable::of::<MqttConfig>(),
    examples: &[&[("name", "\"broker\""), ("kind", "\"mqtt\"")]],
    read: |from| AnySinkSettings::of(table::read::<MqttConfig>(from)),
};

impl SinkSettings for MqttConfig {
    fn print(&self, to: &mut Printer) {
        table::print(self, to);
    }

    fn exposure(&self) -> Exposure {
        let password = self.password_file.as_ref();
        Exposure {
            secret: password.map(|_| "password"),
            tls: self.tls.named_by(),
            schemes: ["mqtt", "mqtts"],
        }
    }

    fn check(&self) -> Result<(), SetupError> {
        MqttSink::check(self)
    }

    fn bytes_per_reading(&self) -> Option<u64> {
        Some(bytes_per_reading(self))
    }

    fn connector(&self, context: SinkContext) -> Connector {
        let config = self.clone();
        Box::new(move |endpoint| service(MqttSink::new(&config, endpoint, &context)))
    }
}
