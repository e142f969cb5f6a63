//! The `http` sink: one POST request per batch. `config` has its keys and `sink` the delivery.

mod config;
mod sink;

use hyper::Uri;

use self::config::{HttpConfig, SCHEME};
use self::sink::{HttpSink, bytes_per_reading};
use super::kind::{AnySinkSettings, Connector, SinkContext, SinkKind, SinkSettings};
use crate::config::part::url::{Addresses, Exposure};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;
use crate::config::reader::table::{self, AnyTable};
use crate::credentials::SetupError;
use crate::domain::policy::lanes::Order;
use crate::upload::service;

pub(super) const KIND: SinkKind = SinkKind {
    scheme: SCHEME,
    order: Order::LiveFirst,
    table: AnyTable::of::<HttpConfig>(),
    examples: &[
        &[("kind", "\"http\""), ("token_file", "\"credential:token\"")],
        &[
            ("name", "\"site\""),
            ("kind", "\"http\""),
            ("url", "\"srv:_outstation._tcp.example.com\""),
            ("scheme", "\"https\""),
            ("path", "\"/v1/readings\""),
        ],
        &[
            ("name", "\"influx\""),
            ("kind", "\"http\""),
            ("url", "\"https://influx.example.com/write?db=site\""),
            ("encoding", "\"influx\""),
            ("username", "\"outstation\""),
            ("password_file", "\"credential:password\""),
        ],
    ],
    read: |from| AnySinkSettings::of(HttpConfig::read(from)),
};

pub(super) fn settings() -> AnySinkSettings {
    AnySinkSettings::of(HttpConfig::default())
}

impl SinkSettings for HttpConfig {
    fn print(&self, to: &mut Printer) {
        table::print(self, to);
    }

    fn takes_events(&self) -> bool {
        Self::takes_events(self)
    }

    fn check_addresses(&self, addresses: &Addresses, from: &Section<'_>) {
        Self::check_addresses(self, addresses, from);
    }

    fn doubts(&self, urls: &[Uri]) -> Option<String> {
        Self::doubts(self, urls)
    }

    fn exposure(&self) -> Exposure {
        self.access.exposure()
    }

    fn check(&self) -> Result<(), SetupError> {
        self.access.check()
    }

    fn bytes_per_reading(&self) -> Option<u64> {
        bytes_per_reading(self)
    }

    fn connector(&self, context: SinkContext) -> Connector {
        let config = self.clone();
        Box::new(move |endpoint| service(HttpSink::new(&config, endpoint, &context)))
    }
}
