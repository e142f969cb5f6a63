//! The power-cut proof: the real daemon is recorded system call by system call, and its folder is
//! rebuilt as a power cut at any of these instants could have left it.
//!
//! ```text
//!  sensor ─pty▶ outstation run, under strace ─http▶ Upstream
//!                     │ trace: writes, syncs, renames, "committed head=N"
//!                     ▼
//!  Step, Step, … ──▶ Medium, cut at step n ──image──▶ the log's own folder ──▶ LogActor::open
//!                    (what is surely, maybe and not on it)                     and every check
//! ```
//!
//! Invariants checked, at each cut: the log opens and finds no damage; it holds every reading that a
//! commit promised before the cut, with its very value, or the receiver has it, or it is counted as
//! evicted; numbers have no gaps; nothing exists that the sensor had not sent; nothing older than
//! the declared interval is lost; the ledger balances; a number that was offered means the same
//! reading for ever, which takes a new epoch where numbers may have been given out, and not elsewhere;
//! the log goes on.
//!
//! What is cut is chosen twice. Some cuts are named by what they are, such as those between the two last
//! writes of a commit, and made on every run. The others are drawn: by the same seed as ever in an
//! ordinary run, by a new one in a deep run (`OUTSTATION_TEST_DEEP=1`, thousands of cuts), or by
//! `OUTSTATION_TEST_SEED`. A daemon never does the same twice, so a recording that failed is kept, and the
//! failure says how to cut it again.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "these tests are the world outside: they keep their own time and threads, and report"
)]

// From the daemon to a list of steps.
mod record;
mod sensor;
mod standstill;
mod trace;
mod upstream;
mod watched;

// From steps to what a cut leaves, and what must be true of it.
mod check;
mod cuts;
mod journal;
mod keep;
mod medium;
mod story;

// What is promised.
mod opening;
mod promise;
