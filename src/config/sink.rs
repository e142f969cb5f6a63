//! `[[sink]]`: one destination. How it is reached is in the settings of its kind; pace and patience are
//! common to all.

use std::time::Duration;

use super::part::pace::Pace;
use super::part::url::{AddressKeys, Addresses};
use super::reader::field::{default, required};
use super::reader::keys::{SectionKeys, Variant, Variants};
use super::reader::print::Printer;
use super::reader::section::Section;
use super::reader::syntax::{
    Refusal, Syntax, boolean, bytes, duration, found, integer, name, one_of,
};
use super::reader::table::{self, Table as _, report_what_no_table_takes, settings};
use crate::sinks::kind::{SinkChoice, SinkKind};
use crate::sinks::{KINDS, SinkRow};

settings! {
    /// A destination: one `[[sink]]` each, any number; every one gets every reading.
    pub struct Sink {
        /// Name of the sink in metrics and messages, and of its delivery state: under a new name it starts
        /// from the oldest reading.
        pub name: String = required(name(32)).example("\"cloud\"");

        /// What is spoken.
        pub kind: SinkChoice = required(kinds());

        /// Send this sink also what happens to the board: ports lost and back, outages, losses, restarts under
        /// another configuration. `false` for a server that takes readings and refuses everything else, and
        /// for a kind or encoding that can only say readings.
        pub events: bool = default(true, boolean());

        /// Longest time for one request, from connecting to the last byte of the answer.
        pub timeout: Duration = default(
            Duration::from_secs(30),
            duration(Duration::from_millis(100)..=Duration::from_secs(600)),
        );

        /// Most readings in one request. Requests are smaller on a slow link, so that each takes about a
        /// second, after a failure, and when the server finds them too large.
        pub batch_readings: u64 = default(65_536, integer(1..=65_536));

        /// Most bytes in one request: those of the packed form, or about 128 per reading as JSON.
        pub batch_bytes: usize = default(256 << 10, bytes(1024..=16 << 20));

        /// Repeats of a failed request before the batch is offered anew. It is never dropped.
        pub retries: u32 = default(2, integer(0..=10));

        /// Readings may leave the log before this sink has them: when every other sink has, or for want of
        /// room.
        pub best_effort: bool = default(false, boolean());

        /// Most readings kept aside because this sink refuses them, so that the others need not wait behind
        /// them: see `outstation quarantine`. Above it the oldest are lost, and counted.
        pub quarantine_readings: u64 = default(1000, integer(0..=100_000));

        in pub pace: Pace;

        beside pub addresses: Addresses = Addresses::Fixed(Vec::new());
    }
}

impl Sink {
    pub(super) fn read(from: &Section<'_>) -> Self {
        let mut sink: Self = table::read(from);
        let Some((name, kind)) = known().find(|(name, _)| from.text(CHOSEN_BY) == Some(*name))
        else {
            if !is_left_out(from) {
                report_what_no_table_takes(from, known().map(|(_, kind)| kind.table));
            }
            return sink;
        };
        from.refuse_keys_of_others(&variants(), name);
        sink.addresses = Addresses::read(from, kind.scheme);
        sink.kind.settings = (kind.read)(from);
        sink.kind.settings.check_addresses(&sink.addresses, from);
        if !sink.kind.settings.takes_events() {
            if from.has("events") && sink.events {
                let message = "found true; allowed: false, because this kind of sink or encoding can \
                               only say readings";
                from.report("events", message.to_owned());
            }
            sink.events = false;
        }
        if !from.has("order") {
            sink.pace.order = kind.order;
        }
        sink
    }

    pub(super) fn print(&self, to: &mut Printer) {
        to.section("[[sink]]");
        table::print(self, to);
        if let Some((_, kind)) = known().find(|(name, _)| *name == self.kind.name) {
            self.addresses.print(kind.scheme, to);
        }
        self.kind.settings.print(to);
    }
}

pub(super) fn section() -> SectionKeys {
    SectionKeys {
        name: "sink",
        repeated: true,
        about: Sink::ABOUT,
        keys: table::keys(Sink::rows()),
        examples: &[],
        variants: Some(variants()),
    }
}

const CHOSEN_BY: &str = "kind";

fn variants() -> Variants {
    let variant = |(name, kind): (&'static str, &SinkKind)| {
        let address = AddressKeys::rows(kind.scheme).into_iter().map(|row| row.key);
        let keys = address.chain(kind.table.keys()).collect();
        Variant { name, about: kind.table.about, keys, examples: kind.examples }
    };
    Variants { chosen_by: CHOSEN_BY, variants: known().map(variant).collect() }
}

/// The kinds that this build has.
fn known() -> impl Iterator<Item = (&'static str, &'static SinkKind)> + Clone {
    KINDS.iter().filter_map(|row| Some((row.name, row.kind?)))
}

fn kinds() -> Syntax<SinkChoice> {
    let names: Vec<&str> = known().map(|(name, _)| name).collect();
    let syntax = one_of(&names, |_| None, |choice: &SinkChoice| choice.name.to_owned());
    let read = |value: &toml::de::DeValue<'_>| match KINDS
        .iter()
        .find(|row| value.as_str() == Some(row.name))
    {
        Some(SinkRow { name, kind: Some(_) }) => Ok(SinkChoice { name, ..SinkChoice::default() }),
        Some(SinkRow { name, kind: None }) => Err(Refusal::left_out(&found(value), name)),
        None => Err(Refusal::NotAllowed),
    };
    Syntax { read: Box::new(read), ..syntax }
}

/// Tells whether this build lacks the kind of a section, and so does not know its keys.
pub(super) fn is_left_out(from: &Section<'_>) -> bool {
    let kind = from.text(CHOSEN_BY);
    KINDS.iter().any(|row| row.kind.is_none() && kind == Some(row.name))
}
