//! Events before one commit that are one fact.

use crate::domain::model::event::{Event, Stream};
use crate::event_log::store::commit::Versioned;

/// Makes an event part of one that is staged already, if they can be one. Several acknowledgements,
/// intakes of one port or descriptions of one sensor are. Of a quarantine only the last may grow: in it
/// the same readings come and go, and there may be very many of them.
pub(crate) fn merge(staged: &mut [Versioned], stream: &Stream, event: &Event) -> bool {
    let most = if stream.sink_of("quarantine").is_some() { 1 } else { usize::MAX };
    let candidates = staged.iter_mut().rev().filter(|staged| staged.stream == *stream);
    for staged in candidates.take(most) {
        match (&mut staged.event, event) {
            (Event::Acknowledged { last, .. }, Event::Acknowledged { first, last: to })
                if *last + 1 == *first =>
            {
                *last = *to;
                return true;
            }
            (
                Event::Refused { last, reason, .. },
                Event::Refused { first, last: to, reason: why },
            ) if *last + 1 == *first && reason == why => {
                *last = *to;
                return true;
            }
            (Event::Discarded { last, .. }, Event::Discarded { first, last: to })
                if *last + 1 == *first =>
            {
                *last = *to;
                return true;
            }
            (
                Event::SensorDescribed { id: known, sensor },
                Event::SensorDescribed { id, sensor: now },
            ) if known == id => {
                *sensor = now.clone();
                return true;
            }
            (Event::ClockAnchored { anchor, .. }, Event::ClockAnchored { anchor: now, .. }) => {
                *anchor = *now;
                return true;
            }
            (Event::TookIn { port: known, intake }, Event::TookIn { port, intake: more })
                if known == port =>
            {
                intake.merge(more);
                return true;
            }
            (Event::Told { through }, Event::Told { through: to }) => {
                *through = *to;
                return true;
            }
            _ => {}
        }
    }
    false
}
