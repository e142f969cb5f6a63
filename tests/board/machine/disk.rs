//! What a board boots from: a copy of its own for each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::board::Board;

/// Which kind of board, as Debian names it: `OUTSTATION_BOARD_ARCH`, armhf by default.
pub(crate) fn arch() -> String {
    std::env::var("OUTSTATION_BOARD_ARCH").unwrap_or_else(|_| "armhf".into())
}

/// What `tests/board/run` has built: kernel, initrd, disk and packages of one kind of board.
pub(crate) fn built(name: &str) -> PathBuf {
    let folder = std::env::var_os("OUTSTATION_BOARD").expect("run this by tests/board/run");
    Path::new(&folder).join(arch()).join(name)
}

/// Outlives the board that runs from it, as a memory card does.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Debian without our package.
    pub(crate) fn bare() -> Self {
        Self::copy(&built("disk"))
    }

    /// With our package installed and nothing configured. It is installed once.
    pub(crate) fn installed() -> Self {
        static INSTALLED: OnceLock<Disk> = OnceLock::new();
        let install = || {
            let board = Board::boot(Self::bare());
            board.run("apt-get install -y /packages/old/*.deb");
            board.power_off()
        };
        Self::copy(&INSTALLED.get_or_init(install).path())
    }

    fn copy(from: &Path) -> Self {
        let disk = Self { folder: TempDir::new().expect("make a folder") };
        // Most of it is empty.
        let copied = Command::new("cp").arg("--sparse=always").arg(from).arg(disk.path()).status();
        assert!(copied.expect("run cp").success(), "copy {}", from.display());
        disk
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// A card of the same content.
    pub(crate) fn duplicate(&self) -> Self {
        Self::copy(&self.path())
    }

    /// Another file of the one who boots from it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
