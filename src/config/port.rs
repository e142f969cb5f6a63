//! `[[port]]`: one serial line. What its bytes mean is in the settings of its protocol.

use std::path::PathBuf;

use outstation_codec::Lane;

use super::reader::keys::{Key, key};
use super::reader::kind::{Kind, Names, choice, either, integer, name, number, path_absolute};
use super::reader::print::Printer;
use super::reader::section::Section;
use crate::protocols::PROTOCOLS;
use crate::protocols::kind::{Framing, ProtocolKind};

#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub name: String,
    pub path: PathBuf,
    pub line: LineSettings,
    pub framing: Framing,
    /// Of all its readings but alarms.
    pub lane: Lane,
}

const LANES: Names<Lane> = &[("live", Lane::Live), ("backfill", Lane::Backfill)];

impl Port {
    #[rustfmt::skip]
    pub(super) const KEYS: &[Key] = &[
        key("port.name", "required", "name of the port in readings, metrics and logs"),
        key("port.path", "required", "serial device; one under /dev/serial/by-id survives replugging"),
        key("port.baud", "115200", "bits per second"),
        key("port.data_bits", "8", "bits per character"),
        key("port.parity", "\"none\"", "parity bit"),
        key("port.stop_bits", "1", "stop bits per character"),
        key("port.flow_control", "\"none\"", "hardware is RTS and CTS, software XON and XOFF"),
        key("port.framing", "required", "protocol spoken on the line"),
        key("port.lane", "\"live\"", "backfill for a port whose readings may all wait"),
    ];

    pub(super) fn read(from: &Section<'_>) -> Option<Self> {
        let name = from.required("name", &name(32));
        let path = from.required("path", &path_absolute());
        let line = LineSettings::read(from);
        let framing = read_framing(from);
        let lane = from.or("lane", Lane::Live, &choice(LANES));
        Some(Self { name: name?, path: path?, line, framing: framing?, lane })
    }

    pub(super) fn print(&self, to: &mut Printer) {
        to.section("[[port]]");
        to.text("name", &self.name);
        to.path("path", &self.path);
        self.line.print(to);
        to.text("framing", self.framing.name);
        self.framing.settings.print(to);
        to.name("lane", &self.lane, LANES);
    }
}

fn read_framing(from: &Section<'_>) -> Option<Framing> {
    let protocol = from.required("framing", &protocols())?;
    let others = PROTOCOLS.iter().map(|other| (other.name, other.keys));
    let given = format!("framing = {:?}", protocol.name);
    from.refuse_keys_of_others(&given, protocol.keys, "framing", others);
    Some(Framing { name: protocol.name, settings: (protocol.read)(from)? })
}

fn protocols() -> Kind<&'static ProtocolKind> {
    let names: Vec<String> = PROTOCOLS.iter().map(|kind| format!("{:?}", kind.name)).collect();
    Kind::text(either(&names), |text| PROTOCOLS.iter().find(|kind| kind.name == text).copied())
}

pub(super) fn keys_of_protocols() -> impl Iterator<Item = &'static [Key]> {
    PROTOCOLS.iter().flat_map(|kind| kind.keys.iter().copied())
}

/// How bits travel on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSettings {
    pub baud: u32,
    pub data_bits: DataBits,
    pub parity: Parity,
    pub stop_bits: StopBits,
    pub flow_control: FlowControl,
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

/// 115200 8N1, what nearly every development board and GPS talks.
impl Default for LineSettings {
    fn default() -> Self {
        Self {
            baud: 115_200,
            data_bits: DataBits::Eight,
            parity: Parity::None,
            stop_bits: StopBits::One,
            flow_control: FlowControl::None,
        }
    }
}

impl LineSettings {
    fn read(from: &Section<'_>) -> Self {
        let default = Self::default();
        Self {
            baud: from.or("baud", default.baud, &integer(50..=4_000_000)),
            data_bits: from.or("data_bits", default.data_bits, &number(DATA_BITS)),
            parity: from.or("parity", default.parity, &choice(PARITIES)),
            stop_bits: from.or("stop_bits", default.stop_bits, &number(STOP_BITS)),
            flow_control: from.or("flow_control", default.flow_control, &choice(FLOW_CONTROLS)),
        }
    }

    fn print(self, to: &mut Printer) {
        to.bare("baud", self.baud);
        to.number("data_bits", &self.data_bits, DATA_BITS);
        to.name("parity", &self.parity, PARITIES);
        to.number("stop_bits", &self.stop_bits, STOP_BITS);
        to.name("flow_control", &self.flow_control, FLOW_CONTROLS);
    }
}
