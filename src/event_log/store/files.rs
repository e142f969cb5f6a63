//! The files of a log: their names, their identity, and who may open them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::{Access, FlockOperation, access, flock};

use super::error::{Result, StorageError};

/// As many symbolic links as the kernel follows.
const LINKS_MAX: usize = 40;

/// The path of a log, from which those of the files beside it follow.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    log: PathBuf,
}

impl Files {
    /// Follows symbolic links first, because SQLite keeps its journal beside the file and not beside the
    /// link.
    pub(crate) fn of(log: &Path) -> Self {
        let mut log = log.to_owned();
        for _ in 0..LINKS_MAX {
            let Ok(target) = fs::read_link(&log) else { break };
            log = log.parent().unwrap_or(Path::new("")).join(target);
        }
        Self { log }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.log.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// SQLite's write-ahead log. Its index is beside it.
    pub(crate) fn journal(&self) -> PathBuf {
        self.beside("-wal")
    }

    pub(crate) fn journal_index(&self) -> PathBuf {
        self.beside("-shm")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.beside(".lock")
    }

    pub(crate) fn ballast(&self) -> PathBuf {
        self.beside(".ballast")
    }

    /// The control socket of the daemon.
    pub(crate) fn control(&self) -> PathBuf {
        self.beside(".control")
    }

    /// An empty file that marks a torn commit, from its discovery until its consequences are durable.
    pub(crate) fn torn(&self) -> PathBuf {
        self.beside(".torn")
    }

    /// A log that is being salvaged into. It is of no use until it is complete.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.beside(".salvage")
    }

    /// A complete salvaged log, which takes the place of the damaged one.
    pub(crate) fn salvaged(&self) -> PathBuf {
        self.beside(".salvaged")
    }

    /// The last damaged log, kept for examination.
    pub(crate) fn aside(&self) -> Self {
        Self { log: self.beside(".damaged") }
    }

    pub(crate) fn aside_bytes(&self) -> u64 {
        let aside = self.aside();
        len(aside.log()) + len(&aside.journal())
    }

    pub(crate) fn remove_aside(&self) {
        let aside = self.aside();
        remove(aside.log());
        remove(&aside.journal());
    }

    /// The folder that holds all files of the log.
    pub(crate) fn folder(&self) -> &Path {
        let parent = self.log.parent().filter(|folder| !folder.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    pub(crate) fn create_folder(&self) -> Result<()> {
        fs::create_dir_all(self.folder())
            .map_err(|source| StorageError::Folder { path: self.log.clone(), source })
    }

    /// Checks that this user may read and write the files. The error names the owner of a file that is in
    /// the way, for example after a start by root.
    pub(crate) fn check_owner(&self) -> Result<()> {
        let may = Access::READ_OK | Access::WRITE_OK;
        let ours = [self.lock_file(), self.log.clone(), self.journal(), self.journal_index()];
        let ours = ours.into_iter().map(|path| (path, may));
        for (path, may) in
            [(self.folder().to_owned(), may | Access::EXEC_OK)].into_iter().chain(ours)
        {
            if access(&path, may) == Err(rustix::io::Errno::ACCESS) {
                let owner = fs::metadata(&path).map_or(0, |metadata| metadata.uid());
                let user = rustix::process::geteuid().as_raw();
                return Err(StorageError::Owner { path, owner, user });
            }
        }
        Ok(())
    }

    /// Makes room for a file at `path`. Container tools make a folder there when a file to be mounted is
    /// missing; an empty one is removed. Anything else that is no file, such as a pipe or a device, is set
    /// aside, because opening it might wait for ever.
    pub(crate) fn clear_away(&self, path: &Path) -> Result<()> {
        if fs::metadata(path).map_or(true, |metadata| metadata.is_file())
            || fs::remove_dir(path).is_ok()
        {
            return Ok(());
        }
        let mut names = (1..).map(|number: u32| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".not-a-file.{number}"));
            PathBuf::from(name)
        });
        let aside = names.find(|name| fs::symlink_metadata(name).is_err()).unwrap_or_default();
        fs::rename(path, aside)
            .map_err(|source| self.failed("set aside what stands in the place of", source))
    }

    /// Takes the lock of the log. The kernel drops it with the process, however that ends.
    pub(crate) fn lock(&self) -> Result<File> {
        self.clear_away(&self.lock_file())?;
        let failed = |source| StorageError::Lock { path: self.log.clone(), source };
        let file = create_private(&self.lock_file()).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(StorageError::InUse { path: self.log.clone() })
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Says whether a daemon holds the log, and says yes if that cannot be known. The lock taken to find
    /// out is dropped at once; a daemon that starts in that moment fails, and its service manager starts it
    /// again.
    pub(crate) fn is_held(&self) -> bool {
        match File::open(self.lock_file()) {
            Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared).is_err(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// The identity of the log file. A copy has another inode and another time of birth.
    pub(crate) fn identity(&self) -> Result<Vec<u8>> {
        let failed = |source| self.failed("look at", source);
        let metadata = fs::metadata(&self.log).map_err(failed)?;
        let born = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let mut identity = metadata.ino().to_le_bytes().to_vec();
        identity.extend(born.unwrap_or_default().as_nanos().to_le_bytes());
        Ok(identity)
    }

    /// Makes renames and removals in the folder durable.
    pub(crate) fn sync_folder(&self) -> Result<()> {
        File::open(self.folder())
            .and_then(|folder| folder.sync_all())
            .map_err(|source| self.failed("write the folder of", source))
    }

    pub(crate) fn failed(&self, operation: &'static str, source: io::Error) -> StorageError {
        StorageError::Files { operation, path: self.log.clone(), source }
    }
}

/// Creates or opens a file that only its owner can read. SQLite gives the files beside it the same mode.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// The length of a file in bytes; zero if it does not exist.
pub(crate) fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Removes a file that may exist. If that fails, the file still counts, see `len`.
pub(crate) fn remove(path: &Path) {
    drop(fs::remove_file(path));
}
