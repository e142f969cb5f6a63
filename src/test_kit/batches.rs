//! Batches as the log offers them: of device `d`, in epoch 1 and the lane `live`, unless a test says
//! otherwise.

use outstation_codec::{
    Batch, Channel, EventRecord, Lane, PublishedEvent, Segment, Sensor, Stamp, StoredSegment,
    Value, ValueType,
};

/// A sensor at port `p` with channels of these names and types.
pub(crate) fn sensor(name: &str, channels: &[(&str, ValueType)]) -> Sensor {
    let channel = |(name, kind): &(&str, ValueType)| Channel {
        name: (*name).into(),
        unit: String::new(),
        kind: *kind,
    };
    let channels = channels.iter().map(channel).collect();
    Sensor { port: "p".into(), name: name.into(), channels }
}

/// A sensor with one channel of whole degrees.
pub(crate) fn thermometer(name: &str) -> Sensor {
    let channel = Channel { name: "t".into(), unit: "Cel".into(), kind: ValueType::Int };
    Sensor { port: "p".into(), name: name.into(), channels: vec![channel] }
}

/// Readings of sensor 0, numbered from `first`: when each was taken, and a value for each channel.
pub(crate) fn segment<R>(first: u64, rows: R) -> StoredSegment
where
    R: IntoIterator<Item = (Stamp, Vec<Value>)>,
{
    segment_of(first, rows.into_iter().map(|(stamp, values)| (0, stamp, values)))
}

/// The same of several sensors.
pub(crate) fn segment_of<R>(first: u64, rows: R) -> StoredSegment
where
    R: IntoIterator<Item = (u32, Stamp, Vec<Value>)>,
{
    let mut segment = Segment::default();
    for (sensor, stamp, values) in rows {
        segment.push(sensor, stamp, (0..).zip(values));
    }
    let count = u32::try_from(segment.len()).expect("a few");
    StoredSegment::sealed(first, count, Lane::Live, 0, segment.encode())
}

/// A batch of these sensors, numbered from 0, from a boot that nothing anchors.
pub(crate) fn batch(sensors: Vec<Sensor>, segments: Vec<StoredSegment>) -> Batch {
    Batch {
        device: "d".into(),
        epoch: 1,
        lane: Lane::Live,
        sensors: (0..).zip(sensors).collect(),
        boots: vec![(0, None)],
        segments,
        events: vec![],
    }
}

/// Events with the positions from 1 on.
pub(crate) fn events(count: u64) -> Vec<EventRecord> {
    let record = |position| EventRecord {
        position,
        stream: "port/p".into(),
        boot: 0,
        at_ms: 0,
        event: PublishedEvent::PortOpened,
    };
    (1..=count).map(record).collect()
}
