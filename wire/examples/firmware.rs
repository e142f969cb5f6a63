//! What firmware does with this crate: describe itself, then sample for ever.
//! Standard output stands in for the UART, so that this runs on a desk:
//! `cargo run --example firmware | xxd`.

use std::io::{self, Write};

use outstation_wire::{
    Channel, DELIMITER, EncodeError, Hello, Level, Log, Sample, Value, ValueType,
};

const AIR_TEMPERATURE: u16 = 1;
const RELATIVE_HUMIDITY: u16 = 2;
const DOOR_OPEN: u16 = 3;

const CHANNELS: [Channel<'static>; 3] = [
    Channel { id: AIR_TEMPERATURE, name: "air_temperature", unit: "Cel", kind: ValueType::F32 },
    Channel { id: RELATIVE_HUMIDITY, name: "relative_humidity", unit: "%", kind: ValueType::F32 },
    Channel { id: DOOR_OPEN, name: "door_open", unit: "", kind: ValueType::Bool },
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As long as this firmware's longest frame, the Hello.
    let mut buf = [0; 96];
    let mut uart = io::stdout().lock();

    // Whatever the boot loader printed ends here and costs no frame.
    uart.write_all(&[DELIMITER])?;
    // At boot, then every 10 s, and whenever a 00 is received.
    uart.write_all(hello(&mut buf)?)?;
    // At each measurement.
    uart.write_all(sample(&mut buf, 7, 61_000)?)?;
    uart.write_all(log(&mut buf, "door open for 30 min")?)?;
    Ok(())
}

pub(crate) fn hello(buf: &mut [u8]) -> Result<&[u8], EncodeError> {
    Hello { firmware: "greenhouse", version: "1.4.0", channels: (&CHANNELS).into() }.encode(buf)
}

pub(crate) fn sample(buf: &mut [u8], seq: u32, uptime_ms: u32) -> Result<&[u8], EncodeError> {
    let values = [
        (AIR_TEMPERATURE, Value::F32(21.5)),
        (RELATIVE_HUMIDITY, Value::F32(48.25)),
        (DOOR_OPEN, Value::Bool(false)),
    ];
    Sample { seq, uptime_ms, values: (&values).into() }.encode(buf)
}

pub(crate) fn log<'b>(buf: &'b mut [u8], text: &str) -> Result<&'b [u8], EncodeError> {
    Log { level: Level::Warn, text }.encode(buf)
}
