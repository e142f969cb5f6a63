//! Counts the bytes of a sink against its budget, and tells for how long only alarms may be sent.
//! [`budget`](crate::domain::policy::budget) makes the decisions.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Pace;
use crate::domain::model::event::{Event, Stream};
use crate::domain::policy::budget::{self, Clocks, Held, QuietHours, Spending, Spent};
use crate::event_log::Appender;
use crate::telemetry::events::{QuietHoursUnknown, Report, SinkGoesOn, SinkHeldBack};
use crate::upload::{SinkStatus, Wire};

/// How often the spent bytes are saved. A crash forgets those since the last save; a shorter interval would
/// wear the flash.
const SAVED_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct BudgetMeter {
    sink: String,
    clock: Clock,
    wire: Wire,
    appender: Appender,
    status: watch::Sender<SinkStatus>,
    quiet_hours: Option<QuietHours>,
    spending: Option<Spending>,
    /// The part of `wire.total()` that is already counted.
    counted: u64,
    saved: Option<Spent>,
    saved_at: Duration,
    held: Option<Held>,
    /// Whether it has been reported that the quiet hours cannot be applied because the clock is not set.
    unknown_reported: bool,
}

impl BudgetMeter {
    /// Creates the meter. `recalled` is what earlier processes spent.
    pub(crate) fn new(
        pace: &Pace,
        recalled: Option<Spent>,
        (sink, clock, wire): (&str, &Clock, &Wire),
        (appender, status): (&Appender, &watch::Sender<SinkStatus>),
    ) -> Self {
        let spending = pace.budget().map(|budget| Spending::new(budget, recalled, clocks(clock)));
        Self {
            sink: sink.to_owned(),
            clock: clock.clone(),
            wire: wire.clone(),
            appender: appender.clone(),
            status: status.clone(),
            quiet_hours: pace.quiet_hours,
            spending,
            counted: wire.total(),
            saved: recalled,
            saved_at: clock.now(),
            held: None,
            unknown_reported: false,
        }
    }

    /// For how long only alarms may be sent from now on; `None` if all lanes may be sent.
    pub(crate) fn held(&mut self) -> Option<Duration> {
        if self.spending.is_none() && self.quiet_hours.is_none() {
            return None;
        }
        let now = clocks(&self.clock);
        self.count(now);
        if self.quiet_hours.is_some() && now.set == self.unknown_reported {
            self.unknown_reported = !now.set;
            if !now.set {
                QuietHoursUnknown { sink: &self.sink }.report();
            }
        }
        let held = budget::held(self.spending.as_ref(), self.quiet_hours, now);
        self.tell(held);
        self.save_if_due();
        held.map(|(_, left)| left)
    }

    /// Notes in the log what was spent, for the next process.
    pub(crate) fn save(&mut self) {
        let now = clocks(&self.clock);
        self.count(now);
        let Some(spending) = &self.spending else { return };
        let spent = spending.saved(now);
        if self.saved != Some(spent) {
            self.appender.note(Stream::budget(&self.sink), Event::Spent(spent));
            self.saved = Some(spent);
        }
        self.saved_at = self.clock.now();
    }

    fn save_if_due(&mut self) {
        if self.clock.now().saturating_sub(self.saved_at) >= SAVED_EVERY {
            self.save();
        }
    }

    fn count(&mut self, now: Clocks) {
        let total = self.wire.total();
        if let Some(spending) = &mut self.spending {
            spending.spend(total - self.counted, now);
            let account = spending.account(now);
            self.status.send_modify(|status| status.account = Some(account));
        }
        self.counted = total;
    }

    fn tell(&mut self, held: Option<(Held, Duration)>) {
        let why = held.map(|(why, _)| why);
        if why == self.held {
            return;
        }
        self.held = why;
        self.status.send_modify(|status| status.held = why);
        match held {
            Some((why, left)) => SinkHeldBack { sink: &self.sink, why, left }.report(),
            None => SinkGoesOn { sink: &self.sink }.report(),
        }
    }
}

fn clocks(clock: &Clock) -> Clocks {
    let (wall_ms, since_boot_ms) = (clock.wall_ms(), clock.since_boot_ms());
    Clocks { wall_ms, set: clock.anchor().set, since_boot_ms }
}
