//! The health of the storage, as one state with named transitions.
//!
//! ```text
//!            committed                  failed
//!   ┌──▶ Sound ◀────▶ Tight ──────────────────────▶ Failing ◀─┐ failed
//!   │      │  ran_short  │                          │  ▲  └─────┘
//!   │      └─ closing ───┴──▶ Closed ◀── closing ───┘  │
//!   │                          │  └─── reopened, after a failure
//!   └── committed, reopened ───┘
//! ```

use super::error::StorageError;

/// The state of the storage between two attempts to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StorageHealth {
    /// The last commit succeeded, and the file system has room to spare.
    Sound,
    /// The last commit succeeded, and the file system has little room: commits are made small.
    Tight,
    /// The last commit failed. The newest readings that memory can hold are kept, and the commit is tried
    /// again.
    Failing(Trouble),
    /// The file was closed in order to be replaced. With a trouble, opening the replacement has failed so
    /// far, and the next attempt to commit opens it first.
    Closed(Option<Trouble>),
}

/// Why the last attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What failed, why, and what to do, for a person.
    pub(crate) advice: String,
    room: Room,
}

/// How much room the file system had at the last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Enough,
    Little,
    None,
}

impl StorageHealth {
    /// The health of a log that was just opened.
    pub(crate) fn of_room(spares_journal: bool) -> Self {
        if spares_journal { Self::Sound } else { Self::Tight }
    }

    /// Why nothing can be committed; `None` if commits work.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Failing(trouble) | Self::Closed(Some(trouble)) => Some(trouble),
            Self::Sound | Self::Tight | Self::Closed(None) => None,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// Says whether commits should be small, because there is little room for them.
    pub(crate) fn is_tight(&self) -> bool {
        *self == Self::Tight || self.trouble().is_some_and(|trouble| trouble.room != Room::Enough)
    }

    /// Says whether the last commit failed because the file system had no room.
    pub(crate) fn is_full(&self) -> bool {
        self.trouble().is_some_and(|trouble| trouble.room == Room::None)
    }

    /// Records that a commit succeeded. Returns whether the one before had failed.
    pub(crate) fn committed(&mut self, spares_journal: bool) -> bool {
        let healed = self.trouble().is_some();
        *self = Self::of_room(spares_journal);
        healed
    }

    /// Records that a commit found too little room and is about to be tried again in smaller parts.
    pub(crate) fn ran_short(&mut self) {
        match self {
            Self::Sound => *self = Self::Tight,
            Self::Failing(trouble) | Self::Closed(Some(trouble))
                if trouble.room == Room::Enough =>
            {
                trouble.room = Room::Little;
            }
            Self::Tight | Self::Failing(_) | Self::Closed(_) => {}
        }
    }

    /// Records that an attempt failed and another one may succeed. Returns whether the one before had not
    /// failed.
    pub(crate) fn failed(&mut self, error: &StorageError) -> bool {
        let room = match (error.is_full(), self.is_tight()) {
            (true, _) => Room::None,
            (false, true) => Room::Little,
            (false, false) => Room::Enough,
        };
        let is_news = self.trouble().is_none();
        let trouble = Trouble { advice: error.advice(), room };
        *self = if self.is_closed() { Self::Closed(Some(trouble)) } else { Self::Failing(trouble) };
        is_news
    }

    /// Records that the file is being closed in order to be replaced.
    pub(crate) fn closing(&mut self) {
        *self = Self::Closed(self.trouble().cloned());
    }

    /// Records that another file was opened in place of the closed one. After a failure only a commit shows
    /// that the storage works again.
    pub(crate) fn reopened(&mut self, spares_journal: bool) {
        *self = match self.trouble() {
            Some(trouble) => Self::Failing(trouble.clone()),
            None => Self::of_room(spares_journal),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    fn error(kind: ErrorKind) -> StorageError {
        StorageError::Files { operation: "write", path: "log.db".into(), source: Error::from(kind) }
    }

    fn failed(kind: ErrorKind) -> StorageHealth {
        let mut health = StorageHealth::Sound;
        health.failed(&error(kind));
        health
    }

    #[test]
    fn a_failure_is_news_once_and_a_commit_ends_it() {
        let mut health = StorageHealth::Sound;
        assert!(health.failed(&error(ErrorKind::Other)));
        assert!(!health.failed(&error(ErrorKind::StorageFull)));
        assert!(health.committed(true));
        assert_eq!(health, StorageHealth::Sound);
        assert!(!health.committed(false));
        assert_eq!(health, StorageHealth::Tight);
    }

    #[test]
    fn a_full_file_system_makes_commits_small_until_there_is_room() {
        let mut health = failed(ErrorKind::StorageFull);
        assert!(health.is_full() && health.is_tight());
        health.failed(&error(ErrorKind::Other));
        assert!(!health.is_full() && health.is_tight());
        health.committed(true);
        assert!(!health.is_tight());
    }

    #[test]
    fn a_commit_that_ran_short_is_tried_again_in_a_smaller_way() {
        for before in [StorageHealth::Sound, StorageHealth::Tight, failed(ErrorKind::Other)] {
            let mut health = before.clone();
            health.ran_short();
            assert!(health.is_tight() && !health.is_full(), "{before:?}");
            assert_eq!(health.trouble().is_some(), before.trouble().is_some());
        }
    }

    #[test]
    fn a_log_that_was_replaced_is_as_sound_as_the_room_for_it() {
        for spares in [true, false] {
            let mut health = StorageHealth::Sound;
            health.closing();
            assert!(health.is_closed() && health.trouble().is_none());
            health.reopened(spares);
            assert_eq!(health, StorageHealth::of_room(spares));
        }
    }

    #[test]
    fn a_log_that_could_not_be_replaced_stays_closed_and_then_has_to_prove_itself() {
        let mut health = StorageHealth::Sound;
        health.closing();
        assert!(health.failed(&error(ErrorKind::Other)));
        assert!(health.is_closed());
        health.closing();
        assert!(!health.failed(&error(ErrorKind::Other)));
        health.reopened(true);
        assert!(matches!(health, StorageHealth::Failing(_)));
        assert!(health.committed(true));
    }
}
