//! What tests leave to chance, and how a choice comes again.
//!
//! An ordinary run chooses the same every time, a deep one (`OUTSTATION_TEST_DEEP=1`) anew.
//! `OUTSTATION_TEST_SEED` repeats a choice. Each test that fails shows the command that repeats its own.

use fastrand::Rng;

/// Of ordinary runs.
const SEED: u64 = 1;

pub(crate) fn is_deep() -> bool {
    std::env::var_os("OUTSTATION_TEST_DEEP").is_some_and(|value| value == "1")
}

/// What a test draws everything from that it leaves to chance.
#[expect(clippy::print_stdout, reason = "shown when the test fails, or with --nocapture")]
pub(crate) fn rng() -> Rng {
    let given = std::env::var("OUTSTATION_TEST_SEED").ok();
    let given = given.map(|seed| seed.parse().expect("OUTSTATION_TEST_SEED is a number"));
    let seed = given.unwrap_or_else(|| if is_deep() { Rng::new().u64(..) } else { SEED });
    let deep = if is_deep() { "OUTSTATION_TEST_DEEP=1 " } else { "" };
    let thread = std::thread::current();
    let (suites, test) = (env!("CARGO_CRATE_NAME"), thread.name().unwrap_or_default());
    println!(
        "to repeat this choice: {deep}OUTSTATION_TEST_SEED={seed} cargo test --test {suites} {test}"
    );
    Rng::with_seed(seed)
}
