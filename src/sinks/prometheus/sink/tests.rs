//! What the sink does before it sends a request. `tests/e2e/remote_write.rs` tests the rest against real
//! receivers.

use std::sync::Arc;

use outstation_codec::{Anchor, Stamp, Value, ValueType};
use tower::ServiceExt;

use super::*;
use crate::config::Config;
use crate::sinks::connect::connector;
use crate::test_kit::batches;
use crate::upload::Offer;
use crate::upload::Wire;

const NOW: i64 = 1_800_000_000_000;

/// A sink whose server cannot be reached.
fn sink(clock: &Clock) -> crate::upload::AnySink {
    let text = "[[sink]]\nname = \"tsdb\"\nkind = \"prometheus\"\nurl = \"http://127.0.0.1:1\"\n";
    let config = Config::parse(text, "test.toml").expect("a configuration");
    let endpoint = Endpoint { url: "http://127.0.0.1:1".into(), ..Endpoint::default() };
    let log = tokio::sync::watch::channel(crate::event_log::LogStatus::default()).1;
    connector(&config.sinks[0], &Wire::default(), clock, log)(&endpoint)
}

fn batch(stamps: &[Stamp], value: &Value, anchor: Option<Anchor>) -> Offer {
    let rows = stamps.iter().map(|stamp| (*stamp, vec![value.clone()]));
    let sensors = vec![batches::sensor("s", &[("t", ValueType::F64)])];
    let batch = batches::batch(sensors, vec![batches::segment(1, rows)]);
    Offer(Arc::new(Batch { boots: vec![(0, anchor)], ..batch }))
}

#[tokio::test(start_paused = true)]
async fn readings_without_a_date_wait_for_the_clock_and_are_refused_once_no_date_can_come() {
    let clock = Clock::simulated("boot", 5000);
    let sink = sink(&clock);
    let undated = batch(&[Stamp::boot(1), Stamp::boot(2)], &Value::F64(1.0), None);
    let answer = |offer: &Offer| sink.clone().oneshot(offer.clone());
    let waits = answer(&undated).await.expect_err("there is no date");
    let SinkRefusal::Retry { cause: Cause::Misconfigured, reason, .. } = &waits else {
        panic!("{waits:?}")
    };
    let detail = reason.to_string();
    assert!(detail.contains("the clock of this device is not set"), "{detail}");
    clock.step_wall(NOW);
    let waits = answer(&undated).await.expect_err("it may come now");
    assert!(matches!(waits, SinkRefusal::Retry { .. }), "{waits:?}");
    // These readings have been dated meanwhile, so they are sent, to a server that does not exist.
    let dated = batch(&[Stamp::boot(1)], &Value::F64(1.0), Some(Anchor::new(NOW, 1)));
    let sent = answer(&dated).await.expect_err("nobody is there");
    assert!(matches!(sent, SinkRefusal::Retry { cause: Cause::LinkDown, .. }), "{sent:?}");
    tokio::time::advance(DATING).await;
    let refused = answer(&undated).await.expect_err("it will never come");
    let whole = SinkRefusal::Rejected { what: Rejection::Time, reason: refused.reason().clone() };
    assert_eq!(refused, whole);
    let mixed = batch(&[Stamp::boot(1), Stamp::unix(NOW)], &Value::F64(1.0), None);
    let refused = answer(&mixed).await.expect_err("one has no date");
    assert!(
        matches!(refused, SinkRefusal::Rejected { what: Rejection::Content, .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_batch_of_nothing_but_text_is_done_with_and_nobody_is_asked() {
    let text = batch(&[Stamp::unix(NOW)], &Value::Text("ok".into()), None);
    let receipt = sink(&Clock::system()).oneshot(text).await.expect("there is nothing to send");
    assert_eq!(receipt, Receipt { bytes: 0 });
}
