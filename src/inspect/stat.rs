//! `outstation log stat`: reports the content of a log, its size, and how long its space and the flash will
//! last.

use std::collections::BTreeMap;
use std::time::Duration;

use outstation_codec::{Lane, Loss, Moment};
use serde::Serialize;

use super::readings::state_of;
use super::recent::Recent;
use super::{InspectError, Subject, words};
use crate::clock::Clock;
use crate::config;
use crate::domain::model::boots::rfc3339;
use crate::domain::model::interval_set::IntervalSet;
use crate::domain::model::ledger::Ledger;
use crate::domain::policy::wear::{Flash, Load};
use crate::event_log::inspect::{CommittedState, Head, LogView, room};
use crate::event_log::store::error::StorageError;

/// The report on a log at one moment. While a daemon writes, the counts of segments are slightly newer than
/// the rest.
#[derive(Debug, Serialize)]
pub struct Stat {
    path: String,
    format: u32,
    epoch: u64,
    files: Vec<FileStat>,
    bytes: u64,
    /// The `log.max_bytes` of the configuration; `None` without a configuration.
    max_bytes: Option<u64>,
    used_bytes: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    /// The number that the next reading will have.
    next_seq: u64,
    from: Option<When>,
    to: Option<When>,
    lanes: BTreeMap<&'static str, LaneStat>,
    body_bytes_per_reading: Option<f64>,
    file_bytes_per_reading: Option<f64>,
    sensors: usize,
    sinks: Vec<SinkStat>,
    events: BTreeMap<String, u64>,
    ledger: LedgerStat,
    readings_per_s: Option<f64>,
    /// The time that the rate was measured over.
    rate_over_s: Option<f64>,
    /// The days until `max_bytes` is reached if nothing is delivered.
    days_left: Option<f64>,
    wear: WearStat,
    #[serde(skip)]
    wear_line: String,
}

#[derive(Debug, Serialize)]
struct FileStat {
    what: &'static str,
    path: String,
    bytes: u64,
}

/// A time as RFC 3339, and whether the clock was set then.
#[derive(Debug, Serialize)]
struct When {
    time: String,
    clock_set: bool,
}

#[derive(Debug, Default, Serialize)]
struct LaneStat {
    segments: u64,
    readings: u64,
    pending: u64,
    body_bytes: u64,
}

#[derive(Debug, Serialize)]
struct SinkStat {
    name: String,
    /// False for a sink that is not configured and whose progress the log still keeps.
    configured: bool,
    delivered: u64,
    pending: u64,
    /// Readings that the sink refused and that are kept in quarantine.
    quarantined: u64,
    /// Readings that the sink refused and that are no longer kept.
    refused: u64,
    pending_events: u64,
}

#[derive(Debug, Serialize)]
struct LedgerStat {
    accepted: u64,
    stored: u64,
    delivered: u64,
    pending: u64,
    quarantined: u64,
    lost: BTreeMap<&'static str, u64>,
    balanced: bool,
    imbalances: Vec<String>,
}

#[derive(Debug, Serialize)]
struct WearStat {
    flash_bytes: u64,
    flash_cycles: u32,
    bytes_per_day: Option<f64>,
    years: Option<f64>,
}

/// Inspects a log. `flash` is the storage whose life is estimated.
pub fn stat(subject: &Subject, flash: Flash, clock: &Clock) -> Result<Stat, InspectError> {
    let failed = InspectError::at(&subject.path);
    let view = LogView::open(&subject.path).map_err(&failed)?;
    let state = state_of(&view)?;
    let sinks = subject.sinks(&state);
    let counted = Counted::of(&view, &state, &state.delivered_to_all(&sinks)).map_err(&failed)?;
    let recent = Recent::of(&view, &state, clock).map_err(&failed)?;
    let events = view.events_kept().map_err(&failed)?;
    let events = events.into_iter().map(|(stream, count)| (stream.as_str().to_owned(), count));
    let files = view.files().into_iter().map(|file| FileStat {
        what: file.what,
        path: file.path.display().to_string(),
        bytes: file.bytes,
    });
    let files: Vec<FileStat> = files.collect();
    let max_bytes = subject.settings.as_ref().map(|settings| settings.max_bytes);
    let used_bytes = state.pages.used_bytes();
    let (wear, wear_line) = wear(subject.settings.as_ref(), recent.as_ref(), flash);
    let per_reading =
        |bytes: u64| (counted.readings() > 0).then(|| bytes as f64 / counted.readings() as f64);
    Ok(Stat {
        path: view.path().display().to_string(),
        format: view.format(),
        epoch: view.epoch(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        files,
        max_bytes,
        used_bytes,
        first_seq: counted.first.map(|head| head.first_seq),
        last_seq: counted.last.map(|head| head.last_seq()),
        next_seq: state.next_seq,
        from: counted.first.map(|head| when(&state, head.boot, head.first_ms)),
        to: counted.last.map(|head| when(&state, head.boot, head.last_ms)),
        body_bytes_per_reading: per_reading(counted.body_bytes()),
        file_bytes_per_reading: per_reading(used_bytes),
        lanes: counted.lanes,
        sensors: state.meaning().registry.len(),
        sinks: sink_stats(&state, &sinks),
        events: events.collect(),
        ledger: ledger_stat(&state.ledger(&sinks)),
        readings_per_s: recent.map(|recent| recent.rate.readings_per_s),
        rate_over_s: recent.map(|recent| recent.over.as_secs_f64()),
        days_left: max_bytes.zip(recent).map(|(max, recent)| {
            let left = room(max).saturating_sub(used_bytes);
            left as f64 / recent.file_bytes_per_s / 86_400.0
        }),
        wear,
        wear_line,
    })
}

/// The sums of a walk over the heads of all segments; no body is read.
#[derive(Debug, Default)]
struct Counted {
    first: Option<Head>,
    last: Option<Head>,
    lanes: BTreeMap<&'static str, LaneStat>,
}

impl Counted {
    fn of(
        view: &LogView,
        state: &CommittedState,
        delivered: &IntervalSet,
    ) -> Result<Self, StorageError> {
        let mut counted = Self::default();
        let mut from = 0;
        loop {
            let page = view.heads(from)?;
            let known = page.iter().take_while(|head| head.first_seq < state.next_seq);
            for head in known {
                counted.add(head, state, delivered);
            }
            match page.last() {
                Some(last) if last.first_seq < state.next_seq => from = last.first_seq + 1,
                _ => return Ok(counted),
            }
        }
    }

    fn add(&mut self, head: &Head, state: &CommittedState, delivered: &IntervalSet) {
        let lane = self.lanes.entry(head.lane.name()).or_default();
        lane.segments += 1;
        lane.readings += u64::from(head.count);
        lane.body_bytes += head.bytes;
        let pending = state.books().pending(delivered, head.first_seq, head.last_seq());
        lane.pending += pending.iter().map(|(first, last)| last - first + 1).sum::<u64>();
        self.first.get_or_insert(*head);
        self.last = Some(*head);
    }

    fn readings(&self) -> u64 {
        self.lanes.values().map(|lane| lane.readings).sum()
    }

    fn body_bytes(&self) -> u64 {
        self.lanes.values().map(|lane| lane.body_bytes).sum()
    }
}

fn when(state: &CommittedState, boot: u32, ms: i64) -> When {
    let (date, clock_set) = state.meaning().boots.date(Moment { boot, ms });
    When { time: rfc3339(date).to_string(), clock_set }
}

fn sink_stats(state: &CommittedState, configured: &[String]) -> Vec<SinkStat> {
    let mut names = configured.to_vec();
    names.extend(state.sinks().into_iter().filter(|sink| !configured.contains(sink)));
    let stat = |name: String| {
        let progress = state.progress(&name);
        SinkStat {
            configured: configured.contains(&name),
            delivered: progress.delivered,
            pending: progress.pending,
            quarantined: progress.quarantined,
            refused: progress.refused,
            pending_events: progress.pending_events,
            name,
        }
    };
    names.into_iter().map(stat).collect()
}

fn ledger_stat(ledger: &Ledger) -> LedgerStat {
    let imbalances = ledger.imbalances();
    LedgerStat {
        accepted: ledger.intake.accepted,
        stored: ledger.stored,
        delivered: ledger.delivered,
        pending: ledger.pending,
        quarantined: ledger.quarantined,
        lost: Loss::ALL.iter().map(|loss| (loss.reason(), ledger.lost(*loss))).collect(),
        balanced: imbalances.is_empty(),
        imbalances,
    }
}

fn wear(
    settings: Option<&config::EventLog>,
    recent: Option<&Recent>,
    flash: Flash,
) -> (WearStat, String) {
    let default = config::EventLog::default();
    let settings = settings.unwrap_or(&default);
    let interval = settings.commit_interval;
    let load = recent.map(|recent| {
        let readings = settings.commit_readings as f64;
        Load::of(recent.rate, interval.as_secs_f64(), readings)
    });
    let line = load.map_or("n/a".to_owned(), |load| words::wear(load, flash, interval, false));
    let bytes_per_day = load.map(|load| load.bytes_per_day());
    let wear = WearStat {
        flash_bytes: flash.bytes,
        flash_cycles: flash.cycles,
        bytes_per_day,
        years: bytes_per_day.and_then(|bytes| flash.years(bytes)),
    };
    (wear, line)
}

impl Stat {
    /// The report as lines for a person.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("log      {}  format {}, epoch {}", self.path, self.format, self.epoch),
            self.disk(),
        ];
        let files = self.files.iter();
        lines.extend(files.map(|file| format!("  {:<24} {}", file.what, bytes(file.bytes))));
        lines.push(self.span());
        // The lanes are listed by their urgency.
        for lane in [Lane::Alarm, Lane::Live, Lane::Backfill] {
            lines.extend(self.lanes.get(lane.name()).map(|stat| lane_line(lane, stat)));
        }
        lines.push(format!(
            "bytes    {} of a body per reading, {} of the file",
            number(self.body_bytes_per_reading),
            number(self.file_bytes_per_reading)
        ));
        lines.push(format!("sensors  {}", self.sensors));
        lines.extend(self.sinks.iter().map(sink_line));
        let kept: Vec<String> =
            self.events.iter().map(|(stream, count)| format!("{stream} {count}")).collect();
        let total: u64 = self.events.values().sum();
        lines.push(format!("events   {total} kept: {}", kept.join(", ")));
        lines.extend(self.ledger.lines());
        lines.push(self.rate());
        lines.push(format!("flash    {}", self.wear_line));
        lines
    }

    fn disk(&self) -> String {
        let most = self.max_bytes.map_or_else(
            || "; log.max_bytes is not known without a configuration".to_owned(),
            |most| format!(" of the {} that log.max_bytes allows", bytes(most)),
        );
        format!("disk     {}{most}; {} in use for data", bytes(self.bytes), bytes(self.used_bytes))
    }

    fn span(&self) -> String {
        let when = |when: &When| {
            format!("{}{}", when.time, if when.clock_set { "" } else { " (clock unset)" })
        };
        match (self.first_seq, self.last_seq, &self.from, &self.to) {
            (Some(first), Some(last), Some(from), Some(to)) => {
                format!("numbers  {first} to {last}, from {} to {}", when(from), when(to))
            }
            _ => format!("numbers  no readings; the next will be number {}", self.next_seq),
        }
    }

    fn rate(&self) -> String {
        let (Some(rate), Some(over)) = (self.readings_per_s, self.rate_over_s) else {
            return "rate     n/a: nothing has arrived lately".to_owned();
        };
        let over = humantime::format_duration(Duration::from_secs_f64(over.round())).to_string();
        let left = self.days_left.map_or("n/a".to_owned(), words::rough);
        format!(
            "rate     {} readings/s over the last {over}; {left} days until log.max_bytes if nothing \
             is delivered",
            words::rough(rate)
        )
    }
}

fn lane_line(lane: Lane, stat: &LaneStat) -> String {
    format!(
        "{:<8} {} segments with {} readings, {} of them pending",
        lane.name(),
        words::count(stat.segments),
        words::count(stat.readings),
        words::count(stat.pending)
    )
}

fn sink_line(sink: &SinkStat) -> String {
    let stray = if sink.configured { "" } else { "  (not configured)" };
    format!(
        "sink     {}  {} delivered, {} pending, {} quarantined, {} refused and not kept, {} events \
         pending{stray}",
        sink.name,
        words::count(sink.delivered),
        words::count(sink.pending),
        words::count(sink.quarantined),
        words::count(sink.refused),
        sink.pending_events
    )
}

impl LedgerStat {
    fn lines(&self) -> Vec<String> {
        let lost: Vec<String> =
            self.lost.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let balanced = if self.balanced { "balanced" } else { "NOT BALANCED" };
        let mut lines = vec![format!(
            "ledger   accepted {}, stored {}, delivered {}, pending {}, quarantined {}  lost: {}  \
             {balanced}",
            self.accepted,
            self.stored,
            self.delivered,
            self.pending,
            self.quarantined,
            lost.join(", ")
        )];
        lines.extend(self.imbalances.iter().map(|line| format!("  {line}")));
        lines
    }
}

fn bytes(count: u64) -> String {
    words::bytes(count as f64)
}

fn number(number: Option<f64>) -> String {
    number.map_or("n/a".to_owned(), |number| format!("{number:.2}"))
}
