//! What the file system of the log has left, for whoever watches from outside.
//!
//! Asked when a page is: other programs fill it too, at times when the log has nothing to say.

use std::path::Path;

use rustix::fs::statvfs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// Without what is reserved for root.
    pub(crate) free_bytes: u64,
    pub(crate) size_bytes: u64,
}

impl FileSystem {
    /// Of the folder of a file, which is there before the file is. None where there is no such folder.
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
