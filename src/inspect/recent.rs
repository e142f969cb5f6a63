//! Measures the rate of recent readings from the heads of segments alone.

use std::time::Duration;

use crate::clock::Clock;
use crate::domain::policy::wear::Rate;
use crate::event_log::inspect::{CommittedState, LogView, bytes_in_file};
use crate::event_log::store::error::StorageError;

/// The longest span that counts as recent, in milliseconds.
const WINDOW_MS: i64 = 3_600_000;
/// The shortest span, in milliseconds. A rate over less would be noise.
const SPAN_MS_MIN: i64 = 1_000;

/// The rate of readings in a span of time at the end of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recent {
    /// The rate of readings and of their bytes.
    pub rate: Rate,
    /// The rate at which the file fills, in bytes per second.
    pub file_bytes_per_s: f64,
    /// The span of time that the rates were measured over.
    pub over: Duration,
}

impl Recent {
    /// Measures up to one hour at the end of the log. Returns `None` if there is no reading or the span is
    /// too short. Delivered readings may have left the log, so the span is often shorter than an hour. If
    /// the last readings are of another boot than this one, the span ends with the last reading.
    pub fn of(
        view: &LogView,
        state: &CommittedState,
        clock: &Clock,
    ) -> Result<Option<Self>, StorageError> {
        let mut window: Option<Window> = None;
        let mut before = u64::MAX;
        'pages: loop {
            let page = view.heads_before(before)?;
            for head in &page {
                before = head.first_seq;
                let window = window.get_or_insert_with(|| {
                    let now = state.meaning().boots.number_of(clock.boot_id());
                    let end =
                        if now == Some(head.boot) { clock.since_boot_ms() } else { head.last_ms };
                    Window { boot: head.boot, begin: end, end, ..Window::default() }
                });
                if head.boot != window.boot || head.last_ms < window.end - WINDOW_MS {
                    break 'pages;
                }
                window.begin = window.begin.min(head.first_ms).max(window.end - WINDOW_MS);
                window.readings += u64::from(head.count);
                window.body_bytes += head.bytes;
                window.file_bytes += bytes_in_file(head);
            }
            if page.is_empty() {
                break;
            }
        }
        Ok(window.as_ref().and_then(Window::recent))
    }
}

/// The span of time and the sums over its segments; times are in milliseconds since boot.
#[derive(Debug, Default)]
struct Window {
    boot: u32,
    begin: i64,
    end: i64,
    readings: u64,
    body_bytes: u64,
    file_bytes: u64,
}

impl Window {
    fn recent(&self) -> Option<Recent> {
        let span_ms = self.end.saturating_sub(self.begin);
        if self.readings == 0 || span_ms < SPAN_MS_MIN {
            return None;
        }
        let over = Duration::from_millis(span_ms.unsigned_abs());
        let per_s = |count: u64| count as f64 / over.as_secs_f64();
        Some(Recent {
            rate: Rate {
                readings_per_s: per_s(self.readings),
                body_bytes_per_s: per_s(self.body_bytes),
            },
            file_bytes_per_s: per_s(self.file_bytes),
            over,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_readings_and_time() {
        let window = Window { end: 10_000, readings: 50, body_bytes: 100, ..Window::default() };
        let recent = window.recent().expect("enough");
        assert_eq!(recent.rate, Rate { readings_per_s: 5.0, body_bytes_per_s: 10.0 });
        assert_eq!(Window { end: 999, readings: 50, ..Window::default() }.recent(), None);
        assert_eq!(Window { end: 10_000, ..Window::default() }.recent(), None);
    }
}
