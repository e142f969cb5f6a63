//! When a sink is given what: its lanes, and what its link may be used for.

use std::time::Duration;

use crate::config::reader::field::{default, derived, optional};
use crate::config::reader::syntax::{Names, Syntax, bytes, choice, duration, integer};
use crate::config::reader::table::settings;
use crate::domain::policy::budget::{Budget, Period, QuietHours};
use crate::domain::policy::lanes::{LanePolicy, Order};

const ORDERS: Names<Order> = &[("live_first", Order::LiveFirst), ("as_stored", Order::AsStored)];
const PERIODS: Names<Period> = &[("day", Period::Day), ("month", Period::Month)];

settings! {
    /// When readings leave for a sink.
    pub struct Pace {
        /// `"live_first"`: alarms, then fresh readings, with the backlog of an outage behind them.
        /// `"as_stored"`: oldest first, for receivers that refuse a time before one they have.
        pub order: Order =
            derived("\"live_first\", or \"as_stored\" for a kind that needs it", Order::LiveFirst, choice(ORDERS))
                .example("\"live_first\"");

        /// While there are both, so many live readings leave for one of the backlog.
        pub live_share: u32 = default(LanePolicy::default().live_share, integer(1..=100));

        /// What has waited longer is backlog.
        pub live_window: Duration = default(
            LanePolicy::default().live_window,
            duration(Duration::from_secs(1)..=Duration::from_secs(3600)),
        );

        /// Most bytes on the wire in each period. When they are spent, only alarms leave (and with
        /// `order = "as_stored"` nothing, since no alarm overtakes there).
        pub budget: Option<u64> =
            optional("as many bytes leave as there are to send", bytes(10_000..=1 << 50)).example("\"100 MiB\"");

        /// Period of the budget, in UTC.
        pub budget_period: Period = default(Period::Month, choice(PERIODS)).only_with(&["budget"]);

        /// Times of the day, in UTC, at which only alarms leave.
        pub quiet_hours: Option<QuietHours> =
            optional("it sends at any hour", hours()).example("\"22:00-06:00\"");

        /// Most bytes per second on the wire.
        pub max_rate: Option<u64> =
            optional("as fast as the link allows", bytes(100..=1 << 40)).example("\"16 KiB\"");
    }
}

impl Pace {
    pub(crate) fn lanes(&self) -> LanePolicy {
        let Self { order, live_share, live_window, .. } = *self;
        LanePolicy { order, live_share, live_window }
    }

    pub(crate) fn budget(&self) -> Option<Budget> {
        self.budget.map(|bytes| Budget { bytes, period: self.budget_period })
    }
}

fn hours() -> Syntax<QuietHours> {
    let read = |text: &str| {
        let (from, to) = text.split_once('-')?;
        let (from_min, to_min) = (minute(from)?, minute(to)?);
        (from_min != to_min).then_some(QuietHours { from_min, to_min })
    };
    let write = |hours: &QuietHours| {
        let [from, to] =
            [hours.from_min, hours.to_min].map(|min| format!("{:02}:{:02}", min / 60, min % 60));
        format!("{from}-{to}")
    };
    Syntax::text("two times of the day in UTC, such as \"22:00-06:00\"", read, write)
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |text: &str, end: u16| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten().filter(|number| *number < end)
    };
    Some(two(hour, 24)? * 60 + two(minute, 60)?)
}
