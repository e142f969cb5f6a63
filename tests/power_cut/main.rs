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
//! reading for ever; the log goes on.
//!
//! `OUTSTATION_TEST_DEEP=1` checks thousands of cuts instead of a hundred; `OUTSTATION_TEST_SEED`
//! repeats a choice of them.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "these tests are the world outside: they keep their own time and threads, and report"
)]

// From the daemon to a list of steps.
mod record;
mod sensor;
mod trace;
mod upstream;

// From steps to what a cut leaves, and what must be true of it.
mod check;
mod cuts;
mod medium;

// What is promised.
mod promise;
