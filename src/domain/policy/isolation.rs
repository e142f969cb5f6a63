//! Divides a batch: into parts that fit, and a refused one down to the readings that are refused.
//!
//! A refused batch is halved, and so is each half that is refused again: first into readings and events,
//! then by segments, then by readings. The left part is sent first, so that the order holds. To find `k`
//! bad readings among `n` takes about `2·k·log₂ n` requests, and all parts that are accepted on the way are
//! delivered.

use outstation_codec::{Batch, EventRecord, StoredSegment};

/// The parts of a refused batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Divided {
    /// Two batches, to be offered one after the other.
    Halves(Batch, Batch),
    /// A single reading, or all readings of a damaged segment, which cannot be divided.
    Readings(StoredSegment),
    Event(EventRecord),
    Nothing,
}

pub fn divide(mut batch: Batch) -> Divided {
    if !batch.segments.is_empty() && !batch.events.is_empty() {
        // Readings go first, so that they never wait behind an event.
        let events = Batch {
            segments: Vec::new(),
            events: std::mem::take(&mut batch.events),
            ..like(&batch)
        };
        return Divided::Halves(batch, events);
    }
    match (batch.segments.len(), batch.events.len()) {
        (0, 0) => Divided::Nothing,
        (0, 1) => batch.events.pop().map_or(Divided::Nothing, Divided::Event),
        (0, events) => {
            let right = batch.events.split_off(events / 2);
            let right = Batch { events: right, ..like(&batch) };
            Divided::Halves(batch, right)
        }
        (1, _) => divide_segment(batch),
        _ => {
            let right = batch.segments.split_off(middle(&batch));
            let right = Batch { segments: right, ..like(&batch) };
            Divided::Halves(batch, right)
        }
    }
}

/// Splits a batch after about `readings` readings, at least one, and returns the front and the rest. The
/// rest is `None` if the batch has no more. Events go with the front. A segment that cannot be cut stays
/// whole.
pub fn take(mut batch: Batch, readings: u64) -> (Batch, Option<Batch>) {
    let mut room = readings.max(1);
    let mut whole = 0;
    for segment in &batch.segments {
        if u64::from(segment.count) > room {
            break;
        }
        room -= u64::from(segment.count);
        whole += 1;
    }
    let mut rest = batch.segments.split_off(whole);
    if let Some((front, back)) = rest.first().and_then(|segment| cut_at(segment, room)) {
        batch.segments.push(front);
        rest[0] = back;
    } else if whole == 0 && !rest.is_empty() {
        batch.segments.push(rest.remove(0));
    }
    let rest =
        (!rest.is_empty()).then(|| Batch { segments: rest, events: Vec::new(), ..like(&batch) });
    (batch, rest)
}

/// Returns a batch of one reading, drawn at random; `None` if there is no reading or its segment is
/// damaged.
pub fn sample(batch: &Batch, rng: &mut fastrand::Rng) -> Option<Batch> {
    let at = rng.usize(..batch.segments.len().max(1));
    let segment = batch.segments.get(at)?;
    let seq = segment.first_seq + u64::from(rng.u32(..segment.count.max(1)));
    let one = segment.cut(seq, seq).ok()?;
    Some(Batch { segments: vec![one], ..like(batch) })
}

fn divide_segment(mut batch: Batch) -> Divided {
    let Some(segment) = batch.segments.pop() else { return Divided::Nothing };
    match cut_at(&segment, u64::from(segment.count / 2)) {
        Some((left, right)) => {
            let right = Batch { segments: vec![right], ..like(&batch) };
            batch.segments.push(left);
            Divided::Halves(batch, right)
        }
        None => Divided::Readings(segment),
    }
}

/// The segment boundary nearest to the middle of the readings. The batch must have at least two segments.
fn middle(batch: &Batch) -> usize {
    let (half, mut before) = (batch.readings() / 2, 0);
    let mut distance = |segment: &StoredSegment| {
        before += u64::from(segment.count);
        before.abs_diff(half)
    };
    let inner = batch.segments.len() - 1;
    let distances: Vec<u64> = batch.segments[..inner].iter().map(&mut distance).collect();
    (0..inner).min_by_key(|at| distances[*at]).unwrap_or(0) + 1
}

/// Cuts a segment after so many readings; `None` if one part would be empty or the segment is damaged.
fn cut_at(segment: &StoredSegment, readings: u64) -> Option<(StoredSegment, StoredSegment)> {
    let (first, last) = (segment.first_seq, segment.last_seq());
    let middle = first + readings;
    if middle <= first || middle > last {
        return None;
    }
    Some((segment.cut(first, middle - 1).ok()?, segment.cut(middle, last).ok()?))
}

/// An empty batch of the same device, epoch and lane, with the same sensors and boots.
fn like(batch: &Batch) -> Batch {
    Batch {
        device: batch.device.clone(),
        epoch: batch.epoch,
        lane: batch.lane,
        sensors: batch.sensors.clone(),
        boots: batch.boots.clone(),
        segments: Vec::new(),
        events: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
