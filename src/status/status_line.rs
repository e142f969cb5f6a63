//! The line that `systemctl status` shows: readiness, rate, pending readings, open ports, and the state of
//! each sink with its duration.
//!
//! The line is written with each heartbeat. Rates and ages are computed here from the previous snapshots,
//! so no actor counts anything for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::board::{Snapshot, StatusBoard};
use super::health::Readiness;
use crate::domain::policy::breaker::Cause;
use crate::ingest::PortState;

/// The shortest time over which a rate is computed. Over a shorter one the rate would depend on chance, so
/// the previous rate is shown again.
const RATE_OVER: Duration = Duration::from_secs(5);

/// Writes the status line and remembers what it needs for the next one.
#[derive(Debug)]
pub struct StatusLine {
    board: StatusBoard,
    seen: Mutex<Seen>,
}

/// The values of earlier snapshots.
#[derive(Debug, Default)]
struct Seen {
    /// The time (uptime) of the snapshot that the rate is counted from, and the readings accepted by then.
    accepted: Option<(Duration, u64)>,
    rate: Option<f64>,
    /// For each sink, whether its breaker is closed, and since when (uptime). A half-open breaker counts as
    /// not closed.
    breakers: BTreeMap<String, (bool, Duration)>,
}

impl StatusLine {
    pub fn new(board: StatusBoard) -> Self {
        Self { board, seen: Mutex::default() }
    }

    /// Takes a snapshot and returns the line.
    pub fn say(&self) -> String {
        let now = self.board.snapshot();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.look(&now);
        seen.line(&now)
    }
}

impl Seen {
    fn look(&mut self, now: &Snapshot) {
        let accepted: u64 = now.ports.iter().map(|port| port.intake.accepted).sum();
        let (at, before) = *self.accepted.get_or_insert((now.uptime, accepted));
        let elapsed = now.uptime.saturating_sub(at);
        if elapsed >= RATE_OVER {
            // The sum may be smaller than before, if a port was removed together with its count.
            self.rate = Some(accepted.saturating_sub(before) as f64 / elapsed.as_secs_f64());
            self.accepted = Some((now.uptime, accepted));
        }
        let mut before = std::mem::take(&mut self.breakers);
        for sink in &now.sinks {
            let closed = sink.breaker.is_closed();
            let known = before.remove(&sink.name).filter(|(known, _)| *known == closed);
            self.breakers.insert(sink.name.clone(), known.unwrap_or((closed, now.uptime)));
        }
    }

    fn line(&self, now: &Snapshot) -> String {
        let readiness = Readiness::of(now);
        let missing: Vec<&str> = readiness.missing().map(|missing| &*missing.name).collect();
        let mut line = match missing.is_empty() {
            true => "ready".to_owned(),
            false => format!("not ready: {}", missing.join(", ")),
        };
        // Writing into memory does not fail.
        if !now.stuck.is_empty() {
            let _ = write!(line, "; stuck: {}", now.stuck.join(", "));
        }
        if let Some(rate) = self.rate {
            let _ = write!(line, "; {rate:.1} readings/s");
        }
        let open = now.ports.iter().filter(|port| port.state == PortState::Open).count();
        let (ports, pending) = (now.ports.len(), now.log.ledger.pending);
        let _ = write!(line, "; pending {pending}; ports open {open}/{ports}");
        for sink in &now.sinks {
            let _ = write!(line, "; sink {} {}", sink.name, sink.breaker.name());
            let since = self.breakers.get(&sink.name).map_or(now.uptime, |(_, since)| *since);
            if let Some(cause) = sink.breaker.cause().map(Cause::name) {
                let _ = write!(line, " for {} ({cause})", age(now, since));
            }
        }
        if let Some(at) = now.reload_refused {
            let ago = age(now, at);
            let _ = write!(line, "; reload refused {ago} ago, the journal says why");
        }
        line
    }
}

/// The time since `since` in whole seconds. The line shows ages and no dates, because the clock may not be
/// set.
fn age(now: &Snapshot, since: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(now.uptime.saturating_sub(since).as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::breaker::BreakerState;
    use crate::status::test_site::site;

    #[tokio::test(start_paused = true)]
    async fn the_line_says_how_much_comes_what_waits_and_since_when_nothing_leaves() {
        let site = site();
        let line = StatusLine::new(site.board.clone());
        assert_eq!(line.say(), "ready; pending 3; ports open 1/1; sink cloud closed");
        tokio::time::advance(Duration::from_secs(10)).await;
        site.port.send_modify(|port| port.intake.accepted += 125);
        let flowing = "ready; 12.5 readings/s; pending 3; ports open 1/1; sink cloud closed";
        assert_eq!(line.say(), flowing);
        assert_eq!(line.say(), flowing, "asked again at once");
        site.take_link_down();
        site.unplug();
        site.log.send_modify(|log| log.accepting = false);
        line.say();
        tokio::time::advance(Duration::from_secs(60)).await;
        let (attempt, cause) = (0, Cause::LinkDown);
        let probing = BreakerState::HalfOpen { probing: true, attempt, cause };
        site.sink.send_modify(|sink| sink.breaker = probing);
        assert!(line.say().contains("sink cloud half_open for 1m (link_down)"), "{}", line.say());
        site.take_link_down();
        line.say();
        tokio::time::advance(Duration::from_secs(70)).await;
        let uptime = site.board.clock.now();
        site.configured.send_modify(|now| now.refused = Some(uptime));
        assert_eq!(
            line.say(),
            "not ready: log; 0.0 readings/s; pending 3; ports open 0/1; sink cloud open for 2m 10s \
             (link_down); reload refused 0s ago, the journal says why"
        );
    }
}
