//! An outage at a thousand readings per second, in virtual time: no reading is given up or skipped, and the
//! backlog is gone soon after the outage.

use super::*;

const PER_SECOND: i64 = 1000;

/// Runs a minute in which the server replies with `trouble`. Returns the time from its end to the arrival
/// of the last reading.
async fn a_minute_of(trouble: impl Fn() -> Reply + Send + 'static) -> Duration {
    let mut rig = Rig::new(Pace::default());
    rig.append(PER_SECOND, 0).await;
    rig.drained().await;
    rig.server.replies(move |_| trouble());
    for _ in 0..60 {
        rig.append(PER_SECOND, 0).await;
        sleep(SECOND).await;
    }
    assert_eq!(rig.server.ids().len(), 1000, "nothing arrives during it");
    let end = Instant::now();
    rig.server.replies(|_| Reply::takes(SECOND / 50));
    let log = rig.drained().await;
    // The server checks the order within each lane.
    rig.has_all_but(&[]);
    assert_eq!((log.ledger.delivered, log.ledger.pending), (61_000, 0));
    assert_eq!(log.ledger.imbalances(), Vec::<String>::new());
    let last = rig.server.lock().has.values().map(|(_, at)| *at).max().expect("some");
    last - end
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_busy_for_a_minute_has_everything_seconds_later() {
    let busy = || {
        let reason = "503".into();
        Reply::refuses(SinkRefusal::Retry { cause: Cause::ServerBusy, after: None, reason })
    };
    let late = a_minute_of(busy).await;
    assert!(late <= 12 * SECOND, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hung_for_a_minute_has_everything_a_timeout_later() {
    let silent = || Reply { after: Duration::ZERO, takes: false, says: None };
    let late = a_minute_of(silent).await;
    assert!(late <= TIMEOUT + 12 * SECOND, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_an_outage_goes_on_with_the_backlog_and_skips_none_of_it() {
    let mut rig = Rig::new(Pace::default());
    rig.server.replies(|_| Reply::down());
    for _ in 0..3 {
        rig.append(PER_SECOND, 0).await;
        rig.stored().await;
    }
    let folder = rig.end().await;
    let mut rig = Rig::on(folder, Pace::default(), NOW + 3_600_000);
    rig.next_id = 3 * PER_SECOND;
    rig.server.replies(|_| Reply::down());
    sleep(SECOND * 60).await;
    rig.append(10, 0).await;
    rig.stored().await;
    rig.server.replies(|_| Reply::takes(SECOND / 50));
    rig.drained().await;
    rig.has_all_but(&[]);
    let site = rig.server.lock();
    let taken = site.asked.iter().filter(|asked| asked.taken);
    let mut lanes: Vec<Lane> = taken.map(|asked| asked.lane).collect();
    lanes.dedup();
    assert_eq!(lanes, [Lane::Live, Lane::Backfill], "the freshest, then what is behind it");
}
