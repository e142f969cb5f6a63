//! Failover between scripted endpoints, with a paused clock that the tests advance.

use std::time::Duration;

use tokio::time::{Instant, advance, timeout};
use tower::ServiceExt;

use crate::domain::policy::breaker::Cause;
use crate::upload::SinkRefusal;
use crate::upload::stack::tests::{Rig, Setup, accepted, down, endpoints_of};

const SECOND: Duration = Duration::from_secs(1);

fn rig(endpoints: &[(u16, &str)]) -> Rig {
    let rig = Setup { retries: 2, rate_max: None }.rig(endpoints);
    ["a", "b", "c"].into_iter().for_each(|host| rig.sink(host).turn_to([accepted()]));
    rig
}

fn calls(rig: &Rig) -> [usize; 3] {
    ["a", "b", "c"].map(|host| rig.sink(host).calls())
}

fn state(rig: &Rig, host: &str) -> &'static str {
    let (status, url) = (rig.status.borrow(), format!("http://{host}"));
    let endpoint = status.endpoints.iter().find(|endpoint| endpoint.url == url);
    endpoint.expect("it is listed").breaker.name()
}

/// Sends until the breaker of this endpoint has opened.
async fn wear_out(rig: &mut Rig, host: &str) {
    for _ in 0..20 {
        if state(rig, host) != "closed" {
            return;
        }
        send(rig, 1).await;
        advance(SECOND).await;
    }
    panic!("the breaker of {host} does not open");
}

async fn send(rig: &mut Rig, times: usize) {
    for _ in 0..times {
        rig.send().await.expect("accepted");
    }
}

#[tokio::test(start_paused = true)]
async fn the_lowest_priority_number_that_works_is_used() {
    let mut rig = rig(&[(1, "b"), (0, "a"), (2, "c")]);
    send(&mut rig, 5).await;
    assert_eq!(calls(&rig), [5, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_fails_goes_to_the_next_endpoint_at_once() {
    let mut rig = rig(&[(0, "a"), (1, "b")]);
    rig.sink("a").turn_to([down()]);
    let before = Instant::now();
    send(&mut rig, 1).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(calls(&rig), [1, 1, 0]);
    let (first, second) = (rig.sink("a").last_offer(), rig.sink("b").last_offer());
    assert!(std::sync::Arc::ptr_eq(&first.0, &second.0), "the very same offer");
}

#[tokio::test(start_paused = true)]
async fn a_misconfigured_endpoint_does_not_keep_an_offer_from_the_next() {
    let mut rig = rig(&[(0, "a"), (1, "b")]);
    let (cause, after) = (Cause::Misconfigured, Some(30 * SECOND));
    rig.sink("a").turn_to([Err(SinkRefusal::Retry { cause, after, reason: "401".into() })]);
    send(&mut rig, 3).await;
    assert_eq!((calls(&rig), state(&rig, "a"), rig.breaker()), ([1, 3, 0], "open", "closed"));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_open_is_passed_over_and_probed_with_a_real_request_after_its_wait() {
    let mut rig = rig(&[(0, "a"), (1, "b")]);
    rig.sink("a").turn_to([down()]);
    wear_out(&mut rig, "a").await;
    // The first wait is over: the probe fails, and its offer goes to the other endpoint at once.
    let [failed, worked, _] = calls(&rig);
    let before = Instant::now();
    send(&mut rig, 1).await;
    assert_eq!((calls(&rig), before.elapsed()), ([failed + 1, worked + 1, 0], Duration::ZERO));
    send(&mut rig, 5).await;
    assert_eq!(calls(&rig), [failed + 1, worked + 6, 0], "one probe and not more");
    // The endpoint is used again once it works.
    rig.sink("a").turn_to([accepted()]);
    advance(10 * SECOND).await;
    send(&mut rig, 5).await;
    assert_eq!(calls(&rig), [failed + 6, worked + 6, 0]);
    assert_eq!(state(&rig, "a"), "closed");
}

#[tokio::test(start_paused = true)]
async fn within_a_priority_one_is_drawn_and_kept_while_it_works() {
    let mut firsts = [0; 3];
    for _ in 0..60 {
        let mut rig = rig(&[(0, "a"), (0, "b"), (0, "c")]);
        send(&mut rig, 5).await;
        let mut all = calls(&rig);
        let used = all.iter().position(|calls| *calls > 0).expect("one is used");
        firsts[used] += 1;
        all.sort_unstable();
        assert_eq!(all, [0, 0, 5], "it does not hop");
    }
    assert!(firsts.iter().all(|count| *count > 5), "{firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_recovery_is_a_reason_to_draw_again() {
    let mut back = 0;
    for _ in 0..60 {
        let mut rig = rig(&[(0, "a"), (0, "b")]);
        send(&mut rig, 1).await;
        let (used, other) = if calls(&rig)[0] > 0 { ("a", "b") } else { ("b", "a") };
        rig.sink(used).turn_to([down()]);
        wear_out(&mut rig, used).await;
        rig.sink(used).turn_to([accepted()]);
        advance(10 * SECOND).await;
        send(&mut rig, 1).await;
        assert_eq!(state(&rig, used), "closed", "it was probed although the other one works");
        let before = (rig.sink(used).calls(), rig.sink(other).calls());
        send(&mut rig, 4).await;
        let after = (rig.sink(used).calls() - before.0, rig.sink(other).calls() - before.1);
        assert!(after == (4, 0) || after == (0, 4), "{after:?}");
        back += u32::from(after.0 > 0);
    }
    assert!((10..50).contains(&back), "{back} of 60 went back");
}

#[tokio::test(start_paused = true)]
async fn while_all_are_open_it_pends_until_the_first_wait_is_over() {
    let mut rig = rig(&[(0, "a"), (1, "b")]);
    let busy = |seconds| {
        let (cause, after) = (Cause::ServerBusy, Some(SECOND * seconds));
        [Err(SinkRefusal::Retry { cause, after, reason: "busy".into() })]
    };
    rig.sink("a").turn_to(busy(600));
    rig.sink("b").turn_to(busy(60));
    let before = Instant::now();
    rig.send().await.expect_err("both are busy");
    assert_eq!((calls(&rig), rig.breaker(), before.elapsed()), ([1, 1, 0], "open", Duration::ZERO));
    rig.sink("b").turn_to([accepted()]);
    send(&mut rig, 1).await;
    let waited = before.elapsed();
    assert!(waited >= 60 * SECOND && waited <= 91 * SECOND, "{waited:?}");
    assert_eq!(calls(&rig), [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn without_an_endpoint_it_pends_and_says_so_until_there_is_one() {
    let mut rig = rig(&[]);
    timeout(3600 * SECOND, rig.stack.ready()).await.expect_err("nobody to send to");
    assert_eq!(rig.breaker(), "open");
    assert_eq!(rig.status.borrow().last_error, Some("no endpoint is known".into()));
    let list = rig.list.clone();
    let sent = async {
        tokio::time::sleep(SECOND).await;
        list.send_replace(endpoints_of(&[(0, "c")]));
    };
    let (answer, ()) = tokio::join!(rig.send(), sent);
    assert_eq!(answer, accepted());
    assert_eq!((rig.breaker(), calls(&rig)), ("closed", [0, 0, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_new_list_keeps_the_breakers_of_those_that_stay() {
    let mut rig = rig(&[(0, "a"), (1, "b")]);
    rig.sink("a").turn_to([down()]);
    wear_out(&mut rig, "a").await;
    let failed = calls(&rig)[0];
    let until = rig.status.borrow().endpoints[0].breaker.until().expect("it is open");
    rig.list.send_replace(endpoints_of(&[(5, "a"), (0, "c")]));
    send(&mut rig, 1).await;
    assert_eq!(rig.status.borrow().endpoints.len(), 2, "b is gone");
    assert_eq!(rig.status.borrow().endpoints[1].breaker.until(), Some(until));
    assert_eq!((calls(&rig)[0], calls(&rig)[2]), (failed, 1), "c is preferred now");
}

#[tokio::test(start_paused = true)]
async fn leave_for_an_endpoint_that_is_gone_is_given_up() {
    let mut rig = rig(&[(0, "a"), (1, "b")]);
    rig.stack.ready().await.expect("ready");
    rig.list.send_replace(endpoints_of(&[(1, "b")]));
    send(&mut rig, 1).await;
    assert_eq!(calls(&rig), [0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_a_dead_primary_costs_little_and_delays_nothing() {
    let mut rig = rig(&[(0, "a"), (1, "b")]);
    rig.sink("a").turn_to([down()]);
    for _ in 0..3600 {
        let before = Instant::now();
        send(&mut rig, 1).await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        advance(SECOND).await;
    }
    let [failed, worked, _] = calls(&rig);
    assert!(failed < 120 && worked == 3600, "{failed} probes, {worked} deliveries");
}
