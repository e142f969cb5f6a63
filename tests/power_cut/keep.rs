//! A recording differs from run to run, so the seed alone does not bring a failure back. What failed
//! is therefore kept, with the cuts it failed at.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cuts::{Cut, Verdict, cut_all, in_order};
use crate::record::Recording;
use crate::story::Story;

/// Names a folder that was kept.
const VARIABLE: &str = "OUTSTATION_TEST_RECORDING";

/// Fails if something was wrong: says what, and how to see it again.
pub(crate) fn assert_good(mut recording: Recording, verdict: &Verdict, again: &str) -> Recording {
    let Some(complaint) = verdict.complaint() else { return recording };
    let cuts: Vec<Cut> = verdict.complaints.iter().map(|(cut, _)| *cut).collect();
    let folder = recording.folder.clone();
    let bytes = postcard::to_stdvec(&(&recording, cuts)).expect("encode the recording");
    fs::write(notes(&folder), bytes).expect("keep the recording");
    if let Some(guard) = recording.guard.take() {
        let _kept = guard.keep();
    }
    panic!(
        "{complaint}\n\
         these cuts of this recording again:\n    \
         {VARIABLE}={} cargo test --test power_cut keep:: -- --ignored --nocapture\n\
         another recording, with the same choice of cuts:\n    {again}",
        folder.display()
    )
}

fn notes(folder: &Path) -> PathBuf {
    folder.join("recording")
}

#[test]
#[ignore = "cuts again what failed: the failure says how"]
fn what_failed_is_good() {
    let folder = std::env::var_os(VARIABLE).expect("OUTSTATION_TEST_RECORDING names a folder");
    let bytes = fs::read(notes(Path::new(&folder))).expect("a recording that was kept");
    let (mut recording, cuts): (Recording, Vec<Cut>) =
        postcard::from_bytes(&bytes).expect("decode the recording");
    recording.read_steps();
    let verdict = cut_all(&recording, &Story::of(&recording), &in_order(cuts), |_| false);
    if let Some(complaint) = verdict.complaint() {
        panic!("{complaint}");
    }
}
