//! The stages of the daemon, the order in which they stop, and how often their actors may crash.

use crate::domain::policy::restart::RestartBudget;

/// A stage of the daemon. The variants stand in the order in which the stages stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Ports,
    Uploads,
    Log,
    Http,
}

impl Stage {
    /// The restart budget of each actor of this stage.
    pub(super) fn budget(self) -> RestartBudget {
        match self {
            Self::Log => RestartBudget::none(),
            Self::Ports | Self::Uploads | Self::Http => RestartBudget::default(),
        }
    }
}

pub(super) const STOP_ORDER: [Stage; 4] = [Stage::Ports, Stage::Uploads, Stage::Log, Stage::Http];
