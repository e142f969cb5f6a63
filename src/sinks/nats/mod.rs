//! The `nats` sink: one JetStream message per reading.
//!
//! ```text
//!  batch ─▶ messages, each with its own id ─▶ connection ─▶ stream: stores it, or knows the id already
//!  receipt ◀── every message is acknowledged ◀──────────────┘
//! ```
//!
//! `messages` encodes a batch and `subject` makes its subjects. `flight` sends the messages and counts the
//! answers. `client` is the connection, with `login` and the text protocol in `wire`. `answers` tells what
//! refusals mean, `streams` asks the server about its streams, and `in_doubt` finds out what the stream
//! holds after an interruption.
//!
//! The client is our own. async-nats for Rust 1.85 costs 2.3 MB and 58 crates, pins a rustls-webpki with
//! open advisories, and reconnects and queues messages by itself, out of the breaker's control. INFO,
//! CONNECT, SUB, HPUB, MSG and PING are all that is needed.
//!
//! The id of a message is (device, epoch, seq), not that of the batch: after a crash the same readings may
//! be divided into other batches, and a message that is stored must be recognised in any of them.

mod answers;
mod client;
mod config;
mod flight;
mod in_doubt;
mod login;
mod messages;
mod sink;
mod streams;
mod subject;
mod wire;

use self::config::{NatsConfig, SCHEME};
use self::sink::{BYTES_PER_READING, NatsSink};
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
    table: AnyTable::of::<NatsConfig>(),
    examples: &[
        &[("name", "\"plant\""), ("kind", "\"nats\""), ("username", "\"pump-7\"")],
        &[
            ("name", "\"synadia\""),
            ("kind", "\"nats\""),
            ("url", "\"tls://connect.ngs.global\""),
            ("creds_file", "\"credential:pump-7.creds\""),
        ],
        &[
            ("name", "\"lab\""),
            ("kind", "\"nats\""),
            ("url", "\"nats://localhost:4222\""),
            ("token_file", "\"credential:nats-token\""),
        ],
    ],
    read: |from| AnySinkSettings::of(table::read::<NatsConfig>(from)),
};

impl SinkSettings for NatsConfig {
    fn print(&self, to: &mut Printer) {
        table::print(self, to);
    }

    fn exposure(&self) -> Exposure {
        let token = self.token_file.as_ref().map(|_| "token");
        Exposure {
            secret: token.or(self.password_file.as_ref().map(|_| "password")),
            // A server may demand TLS with a nats URL too, so the TLS keys are always useful.
            tls: None,
            schemes: ["nats", "tls"],
        }
    }

    fn check(&self) -> Result<(), SetupError> {
        NatsSink::check(self)
    }

    fn bytes_per_reading(&self) -> Option<u64> {
        Some(BYTES_PER_READING)
    }

    fn connector(&self, context: SinkContext) -> Connector {
        let config = self.clone();
        Box::new(move |endpoint| service(NatsSink::new(&config, endpoint, &context)))
    }
}
