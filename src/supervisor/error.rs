//! The reasons why the daemon stops in another way than it was asked to.

use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    #[error("`{actor}` crashed and is given up")]
    GaveUp { actor: String },
    #[error("`{actor}` crashed while stopping")]
    CrashedAtStop { actor: String },
    #[error("shutdown did not finish within {}; still running: {}", humantime::format_duration(*deadline), late.join(", "))]
    Late { deadline: Duration, late: Vec<String> },
    #[error("stopped at once by a second signal")]
    Interrupted,
}
