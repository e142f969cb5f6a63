//! The log's actor: a loop over parts that each own their state.
//!
//! ```text
//!  LogActor ─┬▶ OpenSegments   what was accepted and is not committed yet
//!            ├▶ LogState       settings, aggregates, numbers; events staged for the next commit
//!            ├▶ Storage        the file, the room for it, and its health
//!            ├▶ Offers         what each sink is handed next
//!            ├▶ Retention      what has to leave; Compaction: what is merged
//!            ├▶ Copies         readings in quarantine; Orders: what a person wants done with them
//!            └▶ CommitSchedule when the next commit is due
//! ```
//!
//! Where a step needs two parts, the actor passes one to the other for that call.

mod alone;
mod commits;
mod log_actor;
mod open_segments;
mod run;
mod schedule;
mod waiting;

pub use alone::carry_out_alone;
pub use log_actor::LogActor;
#[cfg(test)]
pub(super) use open_segments::OpenSegments;
pub use run::run;
