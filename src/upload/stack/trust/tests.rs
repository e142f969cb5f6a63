//! The trust layer in front of a scripted server.

use std::collections::BTreeSet;
use std::future::ready;

use outstation_codec::{Stamp, Value};

use super::*;
use crate::test_kit::batches::{batch, segment};
use crate::upload::Rejection;

/// A server that accepts a batch if it knows all its readings, and records the requests.
#[derive(Clone, Debug, Default)]
struct Server {
    takes: Arc<Mutex<BTreeSet<u64>>>,
    asked: Arc<Mutex<Vec<(u64, u64)>>>,
    /// Readings with lower numbers are refused for their time.
    takes_from: Arc<Mutex<u64>>,
}

impl Service<Offer> for Server {
    type Response = Receipt;
    type Error = SinkRefusal;
    type Future = std::future::Ready<Result<Receipt, SinkRefusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SinkRefusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, offer: Offer) -> Self::Future {
        let (first, last) = (offer.0.first_seq(), offer.0.last_seq());
        self.asked.lock().expect("no panic").push((first, last));
        let takes = self.takes.lock().expect("no panic");
        let what = match first < *self.takes_from.lock().expect("no panic") {
            true => Rejection::Time,
            false => Rejection::Content,
        };
        ready(match what == Rejection::Content && (first..=last).all(|seq| takes.contains(&seq)) {
            true => Ok(Receipt { bytes: 1 }),
            false => Err(SinkRefusal::Rejected { what, reason: "no".into() }),
        })
    }
}

struct Rig {
    server: Server,
    layer: Trusting<Server>,
}

impl Rig {
    /// A rig whose server accepts these numbers.
    fn new(takes: impl IntoIterator<Item = u64>) -> Self {
        let server = Server::default();
        server.takes.lock().expect("no panic").extend(takes);
        Self { layer: Trusting::new(server.clone(), 1), server }
    }

    async fn send(&mut self, first: u64, last: u64) -> Result<Receipt, SinkRefusal> {
        self.layer.ready().await?.call(offer(first, last)).await
    }

    async fn is_rejected(&mut self, seq: u64) -> bool {
        matches!(self.send(seq, seq).await, Err(SinkRefusal::Rejected { .. }))
    }

    fn asked(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.server.asked.lock().expect("no panic"))
    }
}

fn offer(first: u64, last: u64) -> Offer {
    let count = i64::try_from(last + 1 - first).expect("small");
    let rows = (0..count).map(|row| (Stamp::boot(row), vec![Value::Int(row)]));
    Offer(Arc::new(batch(vec![], vec![segment(first, rows)])))
}

fn is_misconfigured(result: &Result<Receipt, SinkRefusal>) -> bool {
    matches!(result, Err(SinkRefusal::Retry { cause: Cause::Misconfigured, .. }))
}

#[tokio::test]
async fn nothing_more_is_refused_once_nearly_everything_was() {
    let mut rig = Rig::new([]);
    for seq in 1..=15 {
        assert!(rig.is_rejected(seq).await, "{seq}");
    }
    let refusal = rig.send(16, 16).await;
    assert!(is_misconfigured(&refusal), "{refusal:?}");
    let detail = refusal.expect_err("refused").to_string();
    assert!(detail.contains("nearly everything is refused") && detail.ends_with("says: no"));
    rig.asked();
    // From now on each offer costs one request with one reading.
    assert!(is_misconfigured(&rig.send(100, 355).await));
    let asked = rig.asked();
    assert!(asked.len() == 1 && asked[0].0 == asked[0].1, "{asked:?}");
}

#[tokio::test]
async fn a_server_that_was_mended_is_noticed_behind_a_bad_reading_at_the_front() {
    let mut rig = Rig::new([]);
    for seq in 1..=16 {
        let _ = rig.send(seq, seq).await;
    }
    rig.server.takes.lock().expect("no panic").extend(17..=100);
    let mut offers = 0;
    while is_misconfigured(&rig.send(16, 100).await) {
        offers += 1;
        assert!(offers < 10, "all but one of these would do");
    }
    assert!(rig.is_rejected(16).await, "and what is refused now is bad");
    assert_eq!(rig.send(17, 100).await, Ok(Receipt { bytes: 1 }));
}

#[tokio::test]
async fn a_long_run_of_bad_readings_does_not_stop_a_server_that_takes_others() {
    let mut rig = Rig::new(1..=50);
    assert!(rig.send(1, 50).await.is_ok());
    rig.asked();
    for seq in 51..=300 {
        assert!(rig.is_rejected(seq).await, "{seq}");
    }
    let again = rig.asked().iter().filter(|asked| **asked == (1, 50)).count();
    assert_eq!(again, 250 / 16, "it was asked for what it took before");
}

#[tokio::test]
async fn what_a_server_took_once_and_takes_no_longer_does_not_stop_it() {
    let mut rig = Rig::new(1..=200);
    assert!(rig.send(1, 2).await.is_ok());
    *rig.server.takes_from.lock().expect("no panic") = 50;
    // Bad readings come first, as they do at the end of a search for them.
    for seq in 201..=215 {
        assert!(rig.is_rejected(seq).await, "{seq}");
    }
    assert!(is_misconfigured(&rig.send(216, 216).await), "there is nothing else to ask with");
    let mut offers = 0;
    while is_misconfigured(&rig.send(150, 250).await) {
        offers += 1;
        assert!(offers < 10, "half of these would do");
    }
    assert!(rig.send(150, 160).await.is_ok());
}

#[tokio::test]
async fn refused_batches_and_events_say_nothing() {
    let mut rig = Rig::new([]);
    for _ in 0..100 {
        assert!(matches!(rig.send(1, 2).await, Err(SinkRefusal::Rejected { .. })));
    }
    assert!(rig.is_rejected(1).await);
}
