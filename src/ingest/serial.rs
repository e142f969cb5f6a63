//! Opens and reads serial ports. No other file uses the serial crate. `actor.rs` decides when a port is
//! opened again.
//!
//! A port is opened raw and exclusive, and bytes waiting in its buffer are kept. After opening, the
//! settings are read back and compared, because some drivers silently use others.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::io::AsyncReadExt;
use tokio_serial::{
    DataBits as TtyDataBits, ErrorKind, FlowControl as TtyFlowControl, Parity as TtyParity,
    SerialPort, SerialPortBuilderExt, SerialStream, StopBits as TtyStopBits,
};

use crate::config::{DataBits, FlowControl, LineSettings, Parity, StopBits};

/// The major device numbers of Unix98 pseudo-terminal slaves (Linux
/// `Documentation/admin-guide/devices.txt`).
const PTY_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

/// Why a port cannot be opened, with the next step for a person.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "`{path}` does not exist; is the device plugged in? `ls -l /dev/serial/by-id` lists what is"
    )]
    Absent { path: String },
    #[error("`{path}` is not a serial port; `outstation check` shows the configured path")]
    NotATty { path: String },
    #[error("no permission to open `{path}`; add the user to the group `{group}`")]
    Permission { path: String, group: String },
    #[error(
        "no permission to open `{path}`: it belongs to root alone; a udev rule can give it to the group `dialout`"
    )]
    RootOnly { path: String },
    #[error("`{path}` is in use by another program; `fuser -v {path}` names it")]
    Busy { path: String },
    #[error("`{path}` does not support {setting}: the driver set {actual}; change `{key}`")]
    Unsupported { path: String, key: &'static str, setting: String, actual: String },
    #[error("failed to open `{path}`")]
    Io { path: String, source: io::Error },
}

impl OpenError {
    /// The label of the reason in logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "absent",
            Self::NotATty { .. } => "not_a_tty",
            Self::Permission { .. } | Self::RootOnly { .. } => "permission",
            Self::Busy { .. } => "busy",
            Self::Unsupported { .. } => "unsupported",
            Self::Io { .. } => "io",
        }
    }
}

/// An open serial port.
#[derive(Debug)]
pub struct OpenPort {
    stream: SerialStream,
    /// Whether the sender waits while the port is not read, so that pausing loses nothing.
    pub sender_waits: bool,
}

impl OpenPort {
    /// Opens the port at `path` and checks that the driver has taken the settings.
    pub fn open(path: &Path, line: &LineSettings) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        let stream = tokio_serial::new(name.clone(), line.baud)
            .data_bits(data_bits(line.data_bits))
            .parity(parity(line.parity))
            .stop_bits(stop_bits(line.stop_bits))
            .flow_control(flow_control(line.flow_control))
            .open_native_async()
            .map_err(|error| explain(path, error))?;
        verify(&stream, &name, line)?;
        let sender_waits = line.flow_control != FlowControl::None || is_pty(path);
        Ok(Self { stream, sender_waits })
    }

    /// Sends one byte if the line accepts it at once. Errors are ignored, because many lines have no
    /// receiver.
    pub fn send(&mut self, byte: u8) {
        let _ = self.stream.try_write(&[byte]);
    }

    /// Reads what has arrived, at least one byte. A result of 0 means that the port is lost. Cancel-safe.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer).await
    }

    /// Reads what has already arrived. `None` if there is nothing or the read fails.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.stream.try_read(buffer).ok().filter(|count| *count > 0)
    }
}

fn is_pty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| PTY_MAJORS.contains(&rustix::fs::major(meta.rdev())))
}

/// Compares the settings that the driver reports with the requested ones.
fn verify(stream: &SerialStream, path: &str, line: &LineSettings) -> Result<(), OpenError> {
    let failed =
        |error: tokio_serial::Error| OpenError::Io { path: path.to_owned(), source: error.into() };
    let baud = stream.baud_rate().map_err(failed)?;
    // A receiver tolerates a deviation of about 3 % (half a bit in ten or more), and dividers are rarely
    // exact.
    let near = u64::from(baud.abs_diff(line.baud)) * 100 <= u64::from(line.baud) * 3;
    let (data, actual_data) = (data_bits(line.data_bits), stream.data_bits().map_err(failed)?);
    let (parity, actual_parity) = (parity(line.parity), stream.parity().map_err(failed)?);
    let (stop, actual_stop) = (stop_bits(line.stop_bits), stream.stop_bits().map_err(failed)?);
    let (flow, actual_flow) =
        (flow_control(line.flow_control), stream.flow_control().map_err(failed)?);
    let settings = [
        ("baud", near, format!("{} baud", line.baud), format!("{baud} baud")),
        ("data_bits", data == actual_data, format!("{data} data bits"), actual_data.to_string()),
        ("parity", parity == actual_parity, format!("{parity} parity"), actual_parity.to_string()),
        ("stop_bits", stop == actual_stop, format!("{stop} stop bits"), actual_stop.to_string()),
        (
            "flow_control",
            flow == actual_flow,
            format!("{flow} flow control"),
            actual_flow.to_string(),
        ),
    ];
    match settings.into_iter().find(|(_, same, ..)| !same) {
        None => Ok(()),
        Some((key, _, setting, actual)) => {
            Err(OpenError::Unsupported { path: path.to_owned(), key, setting, actual })
        }
    }
}

/// Converts the crate's error to one that tells a technician what to do.
fn explain(path: &Path, error: tokio_serial::Error) -> OpenError {
    let name = path.display().to_string();
    let Ok(meta) = std::fs::metadata(path) else {
        return match error.kind() {
            ErrorKind::Io(io::ErrorKind::PermissionDenied) => permission(path, name),
            _ => OpenError::Absent { path: name },
        };
    };
    match error.kind() {
        ErrorKind::Io(io::ErrorKind::PermissionDenied) => permission(path, name),
        _ if !is_character_device(&meta) => OpenError::NotATty { path: name },
        ErrorKind::NoDevice => OpenError::Busy { path: name },
        _ if is_no_tty(path) => OpenError::NotATty { path: name },
        _ => OpenError::Io { path: name, source: error.into() },
    }
}

/// Asks the kernel whether the path is not a tty, because the crate keeps only the text of its error.
fn is_no_tty(path: &Path) -> bool {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened.and_then(rustix::termios::tcgetattr).err() == Some(Errno::NOTTY)
}

fn is_character_device(meta: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_char_device(&meta.file_type())
}

fn permission(path: &Path, name: String) -> OpenError {
    let group = std::fs::metadata(path).ok().and_then(|meta| group_name(meta.gid()));
    match group.unwrap_or_else(|| "dialout".into()) {
        group if group == "root" => OpenError::RootOnly { path: name },
        group => OpenError::Permission { path: name, group },
    }
}

/// Looks up a group in `/etc/group`, which is the only source on a field board.
fn group_name(gid: u32) -> Option<String> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

fn data_bits(bits: DataBits) -> TtyDataBits {
    match bits {
        DataBits::Five => TtyDataBits::Five,
        DataBits::Six => TtyDataBits::Six,
        DataBits::Seven => TtyDataBits::Seven,
        DataBits::Eight => TtyDataBits::Eight,
    }
}

fn parity(parity: Parity) -> TtyParity {
    match parity {
        Parity::None => TtyParity::None,
        Parity::Odd => TtyParity::Odd,
        Parity::Even => TtyParity::Even,
    }
}

fn stop_bits(bits: StopBits) -> TtyStopBits {
    match bits {
        StopBits::One => TtyStopBits::One,
        StopBits::Two => TtyStopBits::Two,
    }
}

fn flow_control(flow: FlowControl) -> TtyFlowControl {
    match flow {
        FlowControl::None => TtyFlowControl::None,
        FlowControl::Hardware => TtyFlowControl::Hardware,
        FlowControl::Software => TtyFlowControl::Software,
    }
}
