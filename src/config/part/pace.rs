//! What a sink is given when: its lanes, and what its link may be used for.

use std::time::Duration;

use crate::config::reader::keys::{Key, key};
use crate::config::reader::kind::{Kind, Names, bytes, choice, duration, integer};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;
use crate::domain::policy::budget::{Budget, Period, QuietHours};
use crate::domain::policy::lanes::{LanePolicy, Order};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    pub lanes: LanePolicy,
    pub budget: Option<Budget>,
    /// Only alarms leave meanwhile.
    pub quiet_hours: Option<QuietHours>,
    /// Bytes per second on the wire.
    pub rate_max: Option<u64>,
}

const ORDERS: Names<Order> = &[("live_first", Order::LiveFirst), ("as_stored", Order::AsStored)];
const PERIODS: Names<Period> = &[("day", Period::Day), ("month", Period::Month)];

impl Pace {
    #[rustfmt::skip]
    pub(in crate::config) const KEYS: &[Key] = &[
        key("sink.order", "\"live_first\"", "fresh readings before the backlog, or all as they were stored, for receivers that take no older ones"),
        key("sink.live_share", "4", "readings of live for one of the backlog while there are both"),
        key("sink.live_window", "\"10s\"", "readings that waited longer are backlog"),
        key("sink.budget", "as many as there are to send", "most bytes on the wire in a period; alarms leave even so"),
        key("sink.budget_period", "\"month\"", "day or month, in UTC"),
        key("sink.quiet_hours", "it sends at any hour", "times of the day, in UTC, at which only alarms leave"),
        key("sink.max_rate", "as fast as the link allows", "most bytes per second on the wire"),
    ];

    pub(in crate::config) fn read(from: &Section<'_>, order: Order) -> Option<Self> {
        let window = duration(Duration::from_secs(1)..=Duration::from_secs(3600));
        let default = LanePolicy::default();
        let lanes = LanePolicy {
            order: from.or("order", order, &choice(ORDERS)),
            live_share: from.or("live_share", default.live_share, &integer(1..=100)),
            live_window: from.or("live_window", default.live_window, &window),
        };
        let bytes_max = from.optional("budget", &bytes(10_000..=1 << 50));
        let period = from.optional("budget_period", &choice(PERIODS));
        if bytes_max.is_none() {
            from.refuse(&["budget_period"], "a sink without budget", "budget");
        }
        let period = period.unwrap_or(Period::Month);
        let budget = bytes_max.map(|bytes| Budget { bytes, period });
        let quiet_hours = from.optional("quiet_hours", &hours());
        let rate_max = from.optional("max_rate", &bytes(100..=1 << 40));
        Some(Self { lanes, budget, quiet_hours, rate_max })
    }

    pub(in crate::config) fn print(&self, to: &mut Printer) {
        to.name("order", &self.lanes.order, ORDERS);
        to.bare("live_share", self.lanes.live_share);
        to.duration("live_window", self.lanes.live_window);
        match &self.budget {
            Some(budget) => {
                to.bare("budget", budget.bytes);
                to.name("budget_period", &budget.period, PERIODS);
            }
            None => to.unset("budget", "as many bytes as there are to send"),
        }
        match &self.quiet_hours {
            Some(QuietHours { from_min, to_min }) => {
                let [from, to_] =
                    [from_min, to_min].map(|min| format!("{:02}:{:02}", min / 60, min % 60));
                to.text("quiet_hours", format!("{from}-{to_}"));
            }
            None => to.unset("quiet_hours", "it sends at any hour"),
        }
        match &self.rate_max {
            Some(rate) => to.bare("max_rate", rate),
            None => to.unset("max_rate", "as fast as the link allows"),
        }
    }
}

fn hours() -> Kind<QuietHours> {
    Kind::text("two times of the day in UTC, such as \"22:00-06:00\"", |text| {
        let (from, to) = text.split_once('-')?;
        let (from_min, to_min) = (minute(from)?, minute(to)?);
        (from_min != to_min).then_some(QuietHours { from_min, to_min })
    })
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |text: &str, end: u16| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten().filter(|number| *number < end)
    };
    Some(two(hour, 24)? * 60 + two(minute, 60)?)
}
