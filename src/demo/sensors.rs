//! Simulated sensors: thermometers with drifting values that send postcard frames or JSON lines.

use std::io;
use std::time::Duration;

use outstation_wire::{Channel, Hello, MAX_FRAME, Sample, Value, ValueType};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::pty::Pty;

/// The interval at which readings are sent. Readings that are due within one interval go out together, as
/// they do from a real sensor's UART.
const TICK: Duration = Duration::from_millis(5);
/// The interval in seconds at which a sensor describes itself; real ones do it every ten seconds.
const HELLO_EVERY: u64 = 10;

/// The protocol that a sensor sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    Postcard,
    Lines,
}

#[derive(Debug)]
pub(super) struct DemoSensor {
    pub(super) speech: Speech,
    pub(super) pty: Pty,
    /// Readings per second.
    pub(super) rate: u32,
    /// The number of readings sent so far.
    pub(super) produced: watch::Sender<u64>,
}

impl DemoSensor {
    /// Sends readings at the given rate until `stop` is true, and ends on a whole frame.
    ///
    /// Returns the line, because closing it would discard bytes that the daemon has not read yet.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> io::Result<Pty> {
        let mut rng = fastrand::Rng::with_seed(u64::from(self.rate));
        let (started, mut sent, mut hellos) = (Instant::now(), 0, 0);
        let mut value = 20.0;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow_and_update() {
            // Both arms are cancel-safe: they only wait, and sending is outside.
            tokio::select! {
                _ = tick.tick() => {}
                _ = stop.changed() => continue,
            }
            let elapsed = started.elapsed();
            let mut bytes = Vec::new();
            if self.speech == Speech::Postcard && elapsed.as_secs() / HELLO_EVERY >= hellos {
                hellos += 1;
                bytes.extend_from_slice(hello(&mut [0; MAX_FRAME]));
            }
            let due = millis(elapsed) * u64::from(self.rate) / 1000;
            while sent < due {
                value = step(value, &mut rng);
                self.speak(sent, elapsed, value, &mut bytes);
                sent += 1;
            }
            self.pty.send(&bytes).await?;
            self.produced.send_replace(sent);
        }
        Ok(self.pty)
    }

    fn speak(&self, seq: u64, uptime: Duration, value: f64, bytes: &mut Vec<u8>) {
        match self.speech {
            Speech::Postcard => {
                let values = [(0, Value::F32(narrow(value)))];
                let sample = Sample {
                    seq: wrapped(seq),
                    uptime_ms: wrapped(millis(uptime)),
                    values: (&values).into(),
                };
                let mut frame = [0; MAX_FRAME];
                bytes.extend_from_slice(sample.encode(&mut frame).expect("a sample fits a frame"));
            }
            Speech::Lines => bytes.extend_from_slice(line(seq, value).as_bytes()),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "a sensor's counters wrap")]
fn wrapped(count: u64) -> u32 {
    count as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a microcontroller computes in single precision"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

fn line(seq: u64, value: f64) -> String {
    format!("{{\"seq\":{seq},\"temperature\":{value:.2}}}\n")
}

fn hello(frame: &mut [u8; MAX_FRAME]) -> &[u8] {
    let channels = [Channel { id: 0, name: "temperature", unit: "Cel", kind: ValueType::F32 }];
    let hello = Hello { firmware: "demo", version: "1", channels: (&channels).into() };
    hello.encode(frame).expect("a hello fits a frame")
}

/// Steps a value by a normal deviate of σ = 0.02, rounded to 0.01 (Irwin–Hall: the sum of twelve uniform
/// deviates).
fn step(value: f64, rng: &mut fastrand::Rng) -> f64 {
    let normal = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
    ((value + 0.02 * normal) * 100.0).round() / 100.0
}
