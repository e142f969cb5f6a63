//! The stages of the daemon, and the order in which they stop.

use crate::domain::policy::restart::RestartBudget;

/// The stages, in the order in which they stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Ports,
    Uploads,
    Log,
    Http,
}

impl Stage {
    /// How often its actors may crash.
    pub(super) fn budget(self) -> RestartBudget {
        match self {
            Self::Log => RestartBudget::none(),
            Self::Ports | Self::Uploads | Self::Http => RestartBudget::default(),
        }
    }
}

pub(super) const STOP_ORDER: [Stage; 4] = [Stage::Ports, Stage::Uploads, Stage::Log, Stage::Http];
