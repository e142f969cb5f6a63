//! Batches that were pulled from the log and still have to be sent: the rest of a batch that did not fit
//! into one request, and the halves of a batch that was refused.
//!
//! This is only a cache. Every reading in it is still pending in the log, so dropping a part loses nothing.
//! It holds parts of at most one batch for each lane. Which part is sent, and when, is decided in
//! `uploader/actor.rs`.

use outstation_codec::{Batch, Lane};

#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// The parts of each lane, indexed by lane. The part to be sent next is the last one of its list.
    parts: [Vec<Batch>; 3],
}

impl Leftovers {
    pub(crate) fn push(&mut self, part: Batch) {
        self.parts[part.lane as usize].push(part);
    }

    pub(crate) fn pop(&mut self, lane: Lane) -> Option<Batch> {
        self.parts[lane as usize].pop()
    }

    /// Chooses the lane to continue with. `lanes` are the lanes that may send, the most urgent first.
    ///
    /// Returns the number of lanes at the front of `lanes` that may be pulled from the log first, and the
    /// lane whose leftovers come after them, if there are any.
    ///
    /// Readings that were live when they were pulled may have become backlog since. While live leftovers
    /// are here the log must not be asked for backlog, or it would return the same readings again.
    pub(crate) fn next(&self, lanes: &[Lane]) -> (usize, Option<Lane>) {
        let live = self.has(Lane::Live) && lanes.contains(&Lane::Live);
        let next = lanes.iter().enumerate().find_map(|(at, lane)| match lane {
            lane if self.has(*lane) => Some((at, Some(*lane))),
            Lane::Backfill if live => Some((at, Some(Lane::Live))),
            _ => None,
        });
        next.unwrap_or((lanes.len(), None))
    }

    /// Whether some part carries events. If so, the log would return the same events again with any batch.
    pub(crate) fn has_events(&self) -> bool {
        self.parts.iter().flatten().any(|part| !part.events.is_empty())
    }

    pub(crate) fn clear(&mut self) {
        self.parts.iter_mut().for_each(Vec::clear);
    }

    /// Drops the parts of all lanes except `lanes`.
    pub(crate) fn retain(&mut self, lanes: &[Lane]) {
        for lane in [Lane::Alarm, Lane::Live, Lane::Backfill] {
            if !lanes.contains(&lane) {
                self.parts[lane as usize].clear();
            }
        }
    }

    fn has(&self, lane: Lane) -> bool {
        !self.parts[lane as usize].is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Lane::{Alarm, Backfill, Live};

    fn leftovers(lanes: &[Lane]) -> Leftovers {
        let mut leftovers = Leftovers::default();
        for lane in lanes {
            leftovers.push(Batch {
                device: "d".into(),
                epoch: 1,
                lane: *lane,
                sensors: vec![],
                boots: vec![],
                segments: vec![],
                events: vec![],
            });
        }
        leftovers
    }

    #[test]
    fn more_urgent_lanes_are_asked_before_it_goes_on() {
        let order = [Alarm, Live, Backfill];
        assert_eq!(leftovers(&[]).next(&order), (3, None));
        assert_eq!(leftovers(&[Backfill]).next(&order), (2, Some(Backfill)));
        assert_eq!(leftovers(&[Live, Backfill]).next(&order), (1, Some(Live)));
        assert_eq!(leftovers(&[Alarm, Live]).next(&order), (0, Some(Alarm)));
        assert_eq!(leftovers(&[Backfill]).next(&[Alarm, Backfill, Live]), (1, Some(Backfill)));
    }

    #[test]
    fn readings_that_became_backlog_meanwhile_are_not_pulled_twice() {
        let order = [Alarm, Backfill, Live];
        assert_eq!(leftovers(&[Live]).next(&order), (1, Some(Live)), "the backlog is not asked");
        assert_eq!(
            leftovers(&[Live, Backfill]).next(&order),
            (1, Some(Backfill)),
            "nor is it needed"
        );
    }

    #[test]
    fn what_is_held_back_is_forgotten() {
        let mut leftovers = leftovers(&[Alarm, Live, Backfill]);
        leftovers.retain(&[Alarm]);
        assert_eq!(leftovers.next(&[Alarm, Live, Backfill]), (0, Some(Alarm)));
        assert!(leftovers.pop(Alarm).is_some());
        assert_eq!(leftovers.next(&[Alarm, Live, Backfill]), (3, None));
    }
}
