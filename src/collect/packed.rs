//! Decodes packed batches: the stored segments of a device, described by the batch itself, and its events.

use std::io::Read;

use outstation_codec::{Batch, CHANNELS_MAX, Dated, Sensor, StoredSegment};

use super::cells::{Cells, key};
use super::events;
use super::intake::IntakeTransaction;
use super::limits::{Malformed, READINGS_MAX, check_device, check_name, check_seq};
use super::refusal::UploadRefusal;

/// The largest size of a batch after decompression. A batch is held in memory as a whole, and its lists may
/// take twenty-five times their encoded size there. Since segments hardly compress, a body within the
/// server's limit needs no more.
const BYTES_MAX: usize = 16 << 20;
/// The longest list: as many segments of one reading each as fit into the largest batch that a sender
/// makes.
const LIST_MAX: usize = 65_536;

pub(super) fn feed(
    body: impl Read,
    intake: &mut IntakeTransaction<'_>,
) -> Result<(), UploadRefusal> {
    let batch = parse(&read(body)?)?;
    check_device(&batch.device)?;
    check_segments(&batch.segments)?;
    intake.device(&batch.device, batch.epoch)?;
    events::of_batch(&batch, intake)?;
    let mut sensors = Sensors::introduce(&batch.sensors, intake)?;
    let mut cells = Cells::default();
    let mut outcome = Ok(());
    // The batch decodes one segment at a time.
    let decoded = batch.for_each(|dated| {
        if outcome.is_ok() {
            outcome = store(&dated, &mut sensors, &mut cells, intake);
        }
    });
    decoded.map_err(Malformed::Segments)?;
    outcome
}

fn read(body: impl Read) -> Result<Vec<u8>, UploadRefusal> {
    let mut bytes = Vec::new();
    let mut reader = body.take(BYTES_MAX as u64 + 1);
    reader.read_to_end(&mut bytes).map_err(Malformed::Compression)?;
    if bytes.len() > BYTES_MAX {
        return Err(UploadRefusal::inflated(BYTES_MAX));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Batch, Malformed> {
    let batch = Batch::from_packed(bytes)?;
    let Batch { segments, sensors, boots, events, .. } = &batch;
    let lists = [segments.len(), sensors.len(), boots.len(), events.len()];
    if lists.into_iter().any(|length| length > LIST_MAX) {
        Err(Malformed::Crowd)
    } else {
        Ok(batch)
    }
}

/// Checks that the segments are ascending and do not overlap, and that all numbers are in the allowed
/// range: later computations then cannot overflow.
fn check_segments(segments: &[StoredSegment]) -> Result<(), Malformed> {
    let (mut next, mut readings) = (1, 0);
    for segment in segments {
        check_seq(segment.first_seq)?;
        if segment.count == 0 || segment.first_seq < next {
            return Err(Malformed::Order(segment.first_seq));
        }
        check_seq(segment.last_seq())?;
        next = segment.last_seq() + 1;
        readings += u64::from(segment.count);
    }
    if readings > READINGS_MAX { Err(Malformed::Crowd) } else { Ok(()) }
}

/// The sensors of a batch with their rows in the store. It remembers the one last looked up, because a
/// segment holds its readings by sensor.
struct Sensors {
    known: Vec<KnownSensor>,
    at: usize,
}

struct KnownSensor {
    number: u32,
    row: i64,
    keys: Vec<Vec<u8>>,
}

impl Sensors {
    fn introduce(
        sensors: &[(u32, Sensor)],
        intake: &mut IntakeTransaction<'_>,
    ) -> Result<Self, UploadRefusal> {
        if !sensors.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(Malformed::Sensors.into());
        }
        let known = sensors.iter().map(|(number, sensor)| {
            check_sensor(sensor)?;
            let row = intake.sensor(&sensor.port, &sensor.name, Some(&sensor.channels))?;
            let keys = sensor.channels.iter().map(|channel| key(&channel.name)).collect();
            Ok(KnownSensor { number: *number, row, keys })
        });
        Ok(Self { known: known.collect::<Result<_, UploadRefusal>>()?, at: 0 })
    }

    fn get(&mut self, number: u32) -> Option<&KnownSensor> {
        if self.known.get(self.at).is_none_or(|sensor| sensor.number != number) {
            self.at = self.known.binary_search_by_key(&number, |sensor| sensor.number).ok()?;
        }
        self.known.get(self.at)
    }
}

fn check_sensor(sensor: &Sensor) -> Result<(), Malformed> {
    if sensor.channels.len() > CHANNELS_MAX {
        return Err(Malformed::Channels);
    }
    let channels = sensor.channels.iter().map(|channel| channel.name.as_str());
    channels.chain([sensor.port.as_str(), sensor.name.as_str()]).try_for_each(check_name)
}

fn store(
    dated: &Dated<'_>,
    sensors: &mut Sensors,
    cells: &mut Cells,
    intake: &mut IntakeTransaction<'_>,
) -> Result<(), UploadRefusal> {
    let reading = &dated.reading;
    let unknown = || Malformed::Channel(reading.seq);
    let sensor = sensors.get(reading.sensor).ok_or_else(unknown)?;
    cells.clear();
    for (channel, value) in reading.cells {
        let key = sensor.keys.get(usize::from(*channel)).ok_or_else(unknown)?;
        cells.push(key, Some(value));
    }
    intake.reading(reading.seq, sensor.row, dated.time_ms, dated.clock_set, cells.finish())
}
