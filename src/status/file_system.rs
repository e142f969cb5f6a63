//! Reads how much space the file system of the log has left.
//!
//! It is read when a page is requested, because other programs use the file system too, also while the log
//! reports no change.

use std::path::Path;

use rustix::fs::statvfs;

/// The space on one file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// The free space, without the part that is reserved for root.
    pub(crate) free_bytes: u64,
    pub(crate) size_bytes: u64,
}

impl FileSystem {
    /// The file system of the folder of the file at `path`; the file itself need not exist. Returns `None`
    /// if the folder does not exist.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let folder = Path::new(path).parent()?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let found = statvfs(folder).ok()?;
        Some(Self {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            size_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_has_no_more_free_than_it_has() {
        let FileSystem { free_bytes, size_bytes } =
            FileSystem::of("/tmp/log.db").expect("a folder");
        assert!(free_bytes <= size_bytes && size_bytes > 0, "{free_bytes} of {size_bytes}");
        assert!(FileSystem::of("log.db").is_some(), "a relative path has a folder");
        assert_eq!(FileSystem::of("/there/is/no/such/folder/log.db"), None);
        assert_eq!(FileSystem::of(""), None, "no log yet");
    }
}
