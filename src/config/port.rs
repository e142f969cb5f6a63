//! `[[port]]`: one serial line. What its bytes mean is in the settings of its protocol.

use std::path::PathBuf;

use outstation_codec::Lane;

use super::reader::field::{default, required};
use super::reader::keys::{SectionKeys, Variant, Variants};
use super::reader::print::Printer;
use super::reader::section::Section;
use super::reader::syntax::{Names, Syntax, choice, integer, name, number, one_of, path_absolute};
use super::reader::table::{self, Table as _, report_what_no_table_takes, settings};
use crate::protocols::PROTOCOLS;
use crate::protocols::kind::{Framing, ProtocolKind};

settings! {
    /// A serial line: one `[[port]]` each, any number.
    pub struct Port {
        /// Name of the port in readings, metrics and messages.
        pub name: String = required(name(32)).example("\"mcu\"");

        /// The serial device. Names under `/dev/serial/by-id` stay with the adapter, while `/dev/ttyUSB0` is
        /// the one that was plugged in first.
        pub path: PathBuf = required(path_absolute())
            .example("\"/dev/serial/by-id/usb-FTDI_FT232R-if00-port0\"");

        /// Protocol that is spoken on the line.
        pub framing: Framing = required(protocols());

        /// Bits per second. A rate that the adapter cannot do is an error, never another rate.
        // 115200 8N1 is what nearly every development board talks.
        pub baud: u32 = default(115_200, integer(50..=4_000_000));

        /// Bits per character.
        pub data_bits: DataBits = default(DataBits::Eight, number(DATA_BITS));

        /// Parity bit.
        pub parity: Parity = default(Parity::None, choice(PARITIES));

        /// Stop bits per character.
        pub stop_bits: StopBits = default(StopBits::One, number(STOP_BITS));

        /// Flow control: hardware is RTS and CTS, software XON and XOFF.
        pub flow_control: FlowControl = default(FlowControl::None, choice(FLOW_CONTROLS));

        /// `"backfill"` for a port whose readings may wait behind those of the others: the stored history of a
        /// logger, for instance. Its alarms do not wait even so.
        pub lane: Lane = default(Lane::Live, choice(LANES));
    }
}

const LANES: Names<Lane> = &[("live", Lane::Live), ("backfill", Lane::Backfill)];

/// How bits travel on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSettings {
    pub baud: u32,
    pub data_bits: DataBits,
    pub parity: Parity,
    pub stop_bits: StopBits,
    pub flow_control: FlowControl,
}

impl Port {
    pub(super) fn read(from: &Section<'_>) -> Self {
        let mut port: Self = table::read(from);
        match PROTOCOLS.iter().find(|kind| from.text(CHOSEN_BY) == Some(kind.name)) {
            Some(kind) => {
                from.refuse_keys_of_others(&variants(), kind.name);
                port.framing.settings = (kind.read)(from);
            }
            None => report_what_no_table_takes(from, PROTOCOLS.iter().map(|kind| kind.table)),
        }
        port
    }

    pub(super) fn print(&self, to: &mut Printer) {
        to.section("[[port]]");
        table::print(self, to);
        self.framing.settings.print(to);
    }

    pub(crate) fn line_settings(&self) -> LineSettings {
        let Self { baud, data_bits, parity, stop_bits, flow_control, .. } = *self;
        LineSettings { baud, data_bits, parity, stop_bits, flow_control }
    }
}

pub(super) fn section() -> SectionKeys {
    SectionKeys {
        name: "port",
        repeated: true,
        about: Port::ABOUT,
        keys: table::keys(Port::rows()),
        examples: &[],
        variants: Some(variants()),
    }
}

const CHOSEN_BY: &str = "framing";

fn variants() -> Variants {
    let variant = |kind: &&ProtocolKind| Variant {
        name: kind.name,
        about: kind.table.about,
        keys: kind.table.keys(),
        examples: kind.examples,
    };
    Variants { chosen_by: CHOSEN_BY, variants: PROTOCOLS.iter().map(variant).collect() }
}

fn protocols() -> Syntax<Framing> {
    let names: Vec<&str> = PROTOCOLS.iter().map(|kind| kind.name).collect();
    let read = |text: &str| {
        let kind = PROTOCOLS.iter().find(|kind| kind.name == text)?;
        Some(Framing { name: kind.name, ..Framing::default() })
    };
    one_of(&names, read, |framing: &Framing| framing.name.to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataBits {
    Five,
    Six,
    Seven,
    Eight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    None,
    Odd,
    Even,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopBits {
    One,
    Two,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowControl {
    None,
    /// RTS and CTS.
    Hardware,
    /// XON and XOFF.
    Software,
}

const DATA_BITS: &[(i64, DataBits)] =
    &[(5, DataBits::Five), (6, DataBits::Six), (7, DataBits::Seven), (8, DataBits::Eight)];
const PARITIES: Names<Parity> =
    &[("none", Parity::None), ("odd", Parity::Odd), ("even", Parity::Even)];
const STOP_BITS: &[(i64, StopBits)] = &[(1, StopBits::One), (2, StopBits::Two)];
const FLOW_CONTROLS: Names<FlowControl> = &[
    ("none", FlowControl::None),
    ("hardware", FlowControl::Hardware),
    ("software", FlowControl::Software),
];
