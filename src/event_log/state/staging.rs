//! Merges events that would be committed together and state one fact.

use outstation_codec::PublishedEvent;

use crate::domain::model::event::{Event, Stream};
use crate::event_log::store::commit::Versioned;

/// Merges an event into one that is staged already, and returns whether that was possible:
/// acknowledgements, intakes of one port and descriptions of one sensor can be merged. In a quarantine only
/// the last event may grow, since the same readings can come and go there, and there may be very many of
/// them.
pub(crate) fn merge(staged: &mut [Versioned], stream: &Stream, event: &Event) -> bool {
    let most = if stream.sink_of("quarantine").is_some() { 1 } else { usize::MAX };
    let candidates = staged.iter_mut().rev().filter(|staged| staged.stream == *stream);
    candidates.take(most).any(|staged| extend(&mut staged.event, event))
}

/// Extends `known` by what `event` says. Returns false, with nothing changed, if that is not possible.
fn extend(known: &mut Event, event: &Event) -> bool {
    match (known, event) {
        (Event::Published(known), Event::Published(event)) => {
            return extend_published(known, event);
        }
        (Event::Acknowledged { last, .. }, Event::Acknowledged { first, last: to })
            if *last + 1 == *first =>
        {
            *last = *to;
        }
        (Event::TookIn { port: known, intake }, Event::TookIn { port, intake: more })
            if known == port =>
        {
            intake.merge(more);
        }
        (Event::EventsAcknowledged { through }, Event::EventsAcknowledged { through: to }) => {
            *through = *to
        }
        _ => return false,
    }
    true
}

fn extend_published(known: &mut PublishedEvent, event: &PublishedEvent) -> bool {
    match (known, event) {
        (
            PublishedEvent::Refused { last, reason, .. },
            PublishedEvent::Refused { first, last: to, reason: why },
        ) if *last + 1 == *first && reason == why => *last = *to,
        (PublishedEvent::Discarded { last, .. }, PublishedEvent::Discarded { first, last: to })
            if *last + 1 == *first =>
        {
            *last = *to;
        }
        (
            PublishedEvent::SensorDescribed { id: known, sensor },
            PublishedEvent::SensorDescribed { id, sensor: now },
        ) if known == id => *sensor = now.clone(),
        (
            PublishedEvent::ClockAnchored { anchor, .. },
            PublishedEvent::ClockAnchored { anchor: now, .. },
        ) => *anchor = *now,
        _ => return false,
    }
    true
}
