//! Budgets for metered links: how many bytes may be sent per period, and the hours in which only alarms may
//! be sent.
//!
//! Bytes are counted by calendar day or month in UTC. While the clock is not set the date is unknown, and a
//! period is measured by time since boot. A clock that steps never gives back what was spent: a new period
//! begins only when a later one is reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The bytes that may be sent on the wire in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub bytes: u64,
    pub period: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Day,
    Month,
}

/// Hours of the day in which only alarms are sent, as minutes in UTC. They span midnight when `from_min` is
/// after `to_min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    pub from_min: u16,
    pub to_min: u16,
}

/// What the clocks show at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Unix milliseconds.
    pub wall_ms: i64,
    /// Whether `wall_ms` is the true date.
    pub set: bool,
    pub since_boot_ms: i64,
}

/// The reason for which only alarms are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Spent,
    QuietHours,
}

impl Held {
    pub const ALL: [Self; 2] = [Self::Spent, Self::QuietHours];

    pub fn name(self) -> &'static str {
        match self {
            Self::Spent => "budget_spent",
            Self::QuietHours => "quiet_hours",
        }
    }
}

/// The state of a budget at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetStatus {
    pub budget: Budget,
    pub spent: u64,
    /// The bytes that will have been spent when the period ends, at the rate so far.
    pub forecast: u64,
    pub ends_in: Duration,
}

impl BudgetStatus {
    pub fn remaining(&self) -> u64 {
        self.budget.bytes.saturating_sub(self.spent)
    }
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 86_400_000;

impl Period {
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The number of the period that a moment lies in, counted from 1970-01-01.
    fn number(self, wall_ms: i64) -> i64 {
        let days = wall_ms.div_euclid(DAY_MS);
        match self {
            Self::Day => days,
            Self::Month => month_of(days),
        }
    }

    /// When a period begins, in Unix milliseconds.
    fn begins_ms(self, number: i64) -> i64 {
        let days = match self {
            Self::Day => number,
            Self::Month => first_day_of(number),
        };
        days.saturating_mul(DAY_MS)
    }

    /// How long a period lasts, in milliseconds, while the date is unknown.
    fn undated_ms(self) -> i64 {
        match self {
            Self::Day => DAY_MS,
            Self::Month => 30 * DAY_MS,
        }
    }
}

/// Months from January 1970 to a day, which is counted from 1970-01-01. (Source: Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`; years begin in March there.)
fn month_of(days: i64) -> i64 {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era - 1970) * 12 + months_since_march + 2
}

/// The first day of a month, the inverse of `month_of` (`days_from_civil` of the same source).
fn first_day_of(month: i64) -> i64 {
    let months = month + 1970 * 12 - 2;
    let (year, months_since_march) = (months.div_euclid(12), months.rem_euclid(12));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * months_since_march + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// What was spent, as it is saved for the next process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The number of the period; 0 until the date was known for the first time.
    pub period: i64,
    /// Bytes on the wire in this period.
    pub bytes: u64,
    /// The part of `bytes` that was spent since the date became unknown.
    pub undated: u64,
    /// Whole hours since the date became unknown: fine enough to see a day or a month pass, and coarse
    /// enough to change seldom, as each change is saved.
    pub undated_hours: u32,
}

/// What was spent in the current period.
#[derive(Clone, Debug)]
pub struct Spending {
    budget: Budget,
    period: i64,
    bytes: u64,
    undated: u64,
    /// Since when the date is unknown, in milliseconds since boot. Negative if an earlier boot did not know
    /// it either.
    undated_since_ms: i64,
    /// The period before the clock jumped ahead by more than one, and the bytes spent in it; the clock may
    /// come back to it.
    left: Option<(i64, u64)>,
}

impl Spending {
    /// Goes on from what an earlier process saved.
    pub fn new(budget: Budget, recalled: Option<Spent>, now: Clocks) -> Self {
        let Spent { period, bytes, undated, undated_hours } = recalled.unwrap_or_default();
        let undated_since_ms = now.since_boot_ms - i64::from(undated_hours) * HOUR_MS;
        let mut all = Self { budget, period, bytes, undated, undated_since_ms, left: None };
        all.spend(0, now);
        all
    }

    /// Counts bytes in the current period.
    pub fn spend(&mut self, bytes: u64, now: Clocks) {
        if now.set {
            self.turn(self.budget.period.number(now.wall_ms));
            (self.undated, self.undated_since_ms) = (0, now.since_boot_ms);
        } else {
            if now.since_boot_ms - self.undated_since_ms >= self.budget.period.undated_ms() {
                (self.bytes, self.undated) = (0, 0);
                self.undated_since_ms = now.since_boot_ms;
            }
            self.undated = self.undated.saturating_add(bytes);
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Goes to the period that the clock shows, now that the date is known.
    fn turn(&mut self, period: i64) {
        if period > self.period {
            if period > self.period + 1 {
                self.left = Some((self.period, self.bytes));
            }
            // What was spent before the date was known was most likely spent in this period.
            (self.period, self.bytes) = (period, self.undated);
        } else if period < self.period - 1 {
            // The clock was wrong by more than a step over a boundary. Without this case, a clock that once
            // showed 2099 would keep the budget spent until then.
            self.period = period;
            let left = self.left.take().filter(|(left, _)| *left == period);
            self.bytes = self.bytes.saturating_add(left.map_or(0, |(_, bytes)| bytes));
        }
    }

    pub fn saved(&self, now: Clocks) -> Spent {
        let undated_ms = if now.set { 0 } else { now.since_boot_ms - self.undated_since_ms };
        let undated_hours = u32::try_from(undated_ms / HOUR_MS).unwrap_or(0);
        let Self { period, bytes, undated, .. } = *self;
        Spent { period, bytes, undated, undated_hours }
    }

    pub fn is_spent(&self) -> bool {
        self.bytes >= self.budget.bytes
    }

    pub fn account(&self, now: Clocks) -> BudgetStatus {
        let (length, left) = self.span_ms(now);
        let left = left.clamp(0, length);
        // The forecast counts at least a minute as elapsed, since less says nothing about a month.
        let elapsed = (length - left).max(MINUTE_MS);
        let [length, elapsed] = [length, elapsed].map(i64::unsigned_abs).map(u128::from);
        let forecast = u128::from(self.bytes) * length / elapsed;
        BudgetStatus {
            budget: self.budget,
            spent: self.bytes,
            forecast: u64::try_from(forecast).unwrap_or(u64::MAX),
            ends_in: Duration::from_millis(left.unsigned_abs()),
        }
    }

    /// Returns the length of the period and the time that is left of it, in milliseconds.
    fn span_ms(&self, now: Clocks) -> (i64, i64) {
        if now.set {
            let begins = |number| self.budget.period.begins_ms(number);
            let ends = begins(self.period + 1);
            (ends - begins(self.period), ends - now.wall_ms)
        } else {
            let length = self.budget.period.undated_ms();
            (length, self.undated_since_ms + length - now.since_boot_ms)
        }
    }
}

impl QuietHours {
    /// Returns how long the quiet hours still last, or `None` outside of them.
    pub fn left(self, wall_ms: i64) -> Option<Duration> {
        let of_day = wall_ms.rem_euclid(DAY_MS);
        let [from, to] = [self.from_min, self.to_min].map(|min| i64::from(min) * MINUTE_MS);
        let since = (of_day - from).rem_euclid(DAY_MS);
        let length = (to - from).rem_euclid(DAY_MS);
        (since < length).then(|| Duration::from_millis((length - since).unsigned_abs()))
    }
}

/// Returns why only alarms may be sent now and how long that lasts, or `None` if everything may be sent.
pub fn held(
    spending: Option<&Spending>,
    quiet: Option<QuietHours>,
    now: Clocks,
) -> Option<(Held, Duration)> {
    let spent = spending.filter(|spending| spending.is_spent());
    let spent = spent.map(|spending| (Held::Spent, spending.account(now).ends_in));
    let quiet = quiet.filter(|_| now.set).and_then(|quiet| quiet.left(now.wall_ms));
    // If both hold, the one that lasts longer is the reason.
    spent
        .into_iter()
        .chain(quiet.map(|left| (Held::QuietHours, left)))
        .max_by_key(|(_, left)| *left)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noon of a day, which is counted from 1970-01-01.
    fn noon(day: i64) -> Clocks {
        Clocks { wall_ms: day * DAY_MS + 12 * HOUR_MS, set: true, since_boot_ms: 0 }
    }

    fn spent(period: i64, bytes: u64) -> Spent {
        Spent { period, bytes, ..Spent::default() }
    }

    fn unset(since_boot_ms: i64) -> Clocks {
        Clocks { wall_ms: since_boot_ms, set: false, since_boot_ms }
    }

    const DAILY: Budget = Budget { bytes: 1000, period: Period::Day };
    /// 2026-01-01.
    const DAY: i64 = 20_454;

    #[test]
    fn months_have_their_lengths_leap_years_included() {
        let length = |month: i64| first_day_of(month + 1) - first_day_of(month);
        let year = |year: i64| -> Vec<i64> {
            (0..12).map(|month| length((year - 1970) * 12 + month)).collect()
        };
        assert_eq!(year(2026), [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]);
        let february = |of: i64| year(of)[1];
        assert_eq!([2024, 2000, 2100, 2028].map(february), [29, 29, 28, 29]);
        assert_eq!(first_day_of((2026 - 1970) * 12), DAY);
    }

    #[test]
    fn every_day_lies_in_its_month() {
        let mut month = 0;
        for day in 0..100_000 {
            if day == first_day_of(month + 1) {
                month += 1;
            }
            assert_eq!(month_of(day), month, "day {day}");
        }
        assert_eq!(month, 273 * 12 + 9, "of the year 2243");
    }

    #[test]
    fn a_new_period_has_the_whole_budget_and_the_old_one_is_forgotten() {
        let mut spending = Spending::new(DAILY, None, noon(DAY));
        spending.spend(1000, noon(DAY));
        assert!(spending.is_spent());
        assert_eq!(
            held(Some(&spending), None, noon(DAY)),
            Some((Held::Spent, Duration::from_secs(12 * 3600)))
        );
        spending.spend(1, noon(DAY + 1));
        assert!(!spending.is_spent());
        assert_eq!(
            (spending.saved(noon(DAY + 1)), held(Some(&spending), None, noon(DAY + 1))),
            (spent(DAY + 1, 1), None)
        );
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing_back() {
        let mut spending = Spending::new(DAILY, None, noon(DAY));
        spending.spend(600, noon(DAY));
        for clocks in [noon(DAY - 1), noon(DAY), noon(DAY - 1), noon(DAY)] {
            spending.spend(100, clocks);
        }
        assert_eq!(spending.saved(noon(DAY)), spent(DAY, 1000));
        // A clock that was wrong by years must not keep the budget spent until they are over.
        let mut spending = Spending::new(DAILY, Some(spent(DAY + 5000, 1000)), noon(DAY));
        assert!(spending.is_spent());
        spending.spend(0, noon(DAY + 1));
        assert!(!spending.is_spent());
    }

    #[test]
    fn without_a_date_a_period_is_a_day_of_uptime() {
        let mut spending = Spending::new(DAILY, None, unset(HOUR_MS));
        spending.spend(1000, unset(2 * HOUR_MS));
        assert_eq!(spending.account(unset(2 * HOUR_MS)).ends_in, Duration::from_secs(23 * 3600));
        spending.spend(0, unset(HOUR_MS + DAY_MS - 1));
        assert!(spending.is_spent());
        spending.spend(7, unset(HOUR_MS + DAY_MS));
        let now = unset(HOUR_MS + DAY_MS);
        assert_eq!(spending.saved(now), Spent { undated: 7, ..spent(0, 7) });
    }

    #[test]
    fn a_day_without_a_date_goes_on_over_restarts_and_reboots() {
        let mut spending = Spending::new(DAILY, None, unset(0));
        spending.spend(1000, unset(HOUR_MS));
        for boot in 1..=8 {
            assert!(spending.is_spent(), "for {boot} times three hours");
            let saved = spending.saved(unset(3 * HOUR_MS));
            assert_eq!(saved.undated_hours, 3 * boot);
            spending = Spending::new(DAILY, Some(saved), unset(0));
        }
        assert!(!spending.is_spent());
    }

    #[test]
    fn what_was_spent_before_the_date_was_known_counts_in_its_period() {
        // The day of the reboot, and the day after it.
        for (day, in_period) in [(DAY, 700), (DAY + 1, 300)] {
            let mut spending = Spending::new(DAILY, Some(spent(DAY, 400)), unset(0));
            spending.spend(300, unset(MINUTE_MS));
            let saved = spending.saved(unset(MINUTE_MS));
            assert_eq!(saved, Spent { undated: 300, ..spent(DAY, 700) }, "nobody knows yet");
            // Both this process and one that goes on from what was saved.
            for mut spending in [spending, Spending::new(DAILY, Some(saved), unset(MINUTE_MS))] {
                spending.spend(0, noon(day));
                assert_eq!(spending.saved(noon(day)), spent(day, in_period));
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_and_comes_back_gives_nothing_back() {
        let mut spending = Spending::new(DAILY, None, noon(DAY));
        spending.spend(1000, noon(DAY));
        spending.spend(5, noon(DAY + 30));
        assert!(!spending.is_spent());
        spending.spend(5, noon(DAY));
        assert_eq!(spending.saved(noon(DAY)), spent(DAY, 1010));
    }

    #[test]
    fn the_forecast_goes_on_at_the_rate_so_far() {
        let budget = Budget { bytes: 1000, period: Period::Month };
        let april = first_day_of((2026 - 1970) * 12 + 3);
        let tenth = Clocks { wall_ms: (april + 10) * DAY_MS, ..noon(0) };
        let spending = Spending::new(budget, Some(spent(month_of(april), 600)), tenth);
        let account = spending.account(tenth);
        assert_eq!((account.spent, account.remaining(), account.forecast), (600, 400, 1800));
        assert_eq!(account.ends_in, Duration::from_secs(20 * 86_400));
        let begin = Clocks { wall_ms: april * DAY_MS, ..noon(0) };
        assert_eq!(Spending::new(budget, None, begin).account(begin).forecast, 0);
    }

    #[test]
    fn quiet_hours_may_go_over_midnight() {
        let at = |hour: i64, minute: i64| DAY * DAY_MS + hour * HOUR_MS + minute * MINUTE_MS;
        let minutes = |left: Option<Duration>| left.map(|left| left.as_secs() / 60);
        let night = QuietHours { from_min: 22 * 60, to_min: 6 * 60 };
        let left = [at(21, 59), at(22, 0), at(23, 59), at(0, 0), at(5, 59), at(6, 0)]
            .map(|at| minutes(night.left(at)));
        assert_eq!(left, [None, Some(480), Some(361), Some(360), Some(1), None]);
        let noon = QuietHours { from_min: 12 * 60, to_min: 13 * 60 };
        let left = [at(11, 59), at(12, 0), at(12, 59), at(13, 0)].map(|at| minutes(noon.left(at)));
        assert_eq!(left, [None, Some(60), Some(1), None]);
    }

    #[test]
    fn quiet_hours_mean_nothing_while_nobody_knows_the_date() {
        let all_but_a_minute = QuietHours { from_min: 0, to_min: 1439 };
        assert_eq!(held(None, Some(all_but_a_minute), unset(0)), None);
        assert!(held(None, Some(all_but_a_minute), noon(DAY)).is_some());
    }
}
