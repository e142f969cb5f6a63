//! Describes the machine that the figures were measured on; without it a table of figures means little.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// The unit of the counters of block devices, in bytes, whatever the size of their own sectors.
const SECTOR: u64 = 512;

/// The machine, and the file system under the measured folder.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    pub kernel: String,
    pub arch: &'static str,
    pub cpu: String,
    pub cores: usize,
    pub folder: PathBuf,
    pub file_system: String,
    pub device: String,
}

impl Machine {
    pub fn of(folder: &Path) -> Self {
        let mount = Mount::of(folder).unwrap_or_default();
        Self {
            kernel: read("/proc/sys/kernel/osrelease"),
            arch: std::env::consts::ARCH,
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            folder: folder.to_owned(),
            file_system: mount.file_system,
            device: mount.source,
        }
    }

    pub fn line(&self) -> String {
        let Self { kernel, arch, cpu, cores, folder, file_system, device } = self;
        let folder = folder.display();
        format!("Linux {kernel} {arch}, {cores} × {cpu}; {folder}: {file_system} on {device}")
    }
}

/// The block device under a folder, if it has counters.
#[derive(Clone, Debug)]
pub struct BlockDevice(PathBuf);

impl BlockDevice {
    pub fn under(folder: &Path) -> Option<Self> {
        let number = Mount::of(folder)?.number;
        let stat = PathBuf::from(format!("/sys/dev/block/{number}/stat"));
        stat.exists().then_some(Self(stat))
    }

    /// The bytes that all processes have written to it since the machine started.
    pub fn written(&self) -> Option<u64> {
        let stat = fs::read_to_string(&self.0).ok()?;
        Some(stat.split_whitespace().nth(6)?.parse::<u64>().ok()? * SECTOR)
    }
}

/// One line of proc_pid_mountinfo(5).
#[derive(Debug, Default, PartialEq, Eq)]
struct Mount {
    /// The major and minor number of the device, such as `8:1`.
    number: String,
    file_system: String,
    source: String,
}

impl Mount {
    fn of(folder: &Path) -> Option<Self> {
        let folder = existing(folder)?;
        Self::find(&fs::read_to_string("/proc/self/mountinfo").ok()?, &folder)
    }

    /// The innermost mount that contains the folder. Of several mounts at one place the last hides the
    /// others.
    fn find(table: &str, folder: &Path) -> Option<Self> {
        let mounts = table.lines().filter_map(|line| {
            let (place, rest) = line.split_once(" - ")?;
            let place: Vec<&str> = place.split(' ').collect();
            let point = PathBuf::from(place.get(4)?.replace("\\040", " "));
            let mut rest = rest.split(' ');
            let mount = Self {
                number: (*place.get(2)?).to_owned(),
                file_system: rest.next()?.to_owned(),
                source: rest.next()?.to_owned(),
            };
            folder.starts_with(&point).then(|| (point.components().count(), mount))
        });
        mounts.max_by_key(|(depth, _)| *depth).map(|(_, mount)| mount)
    }
}

/// The folder, or the innermost folder of its path that exists.
fn existing(folder: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(folder).ok()?;
    whole.ancestors().find_map(|path| path.canonicalize().ok())
}

/// The name of the board from the device tree, or on other machines the name of the processor.
fn cpu() -> String {
    let board = read("/proc/device-tree/model");
    if !board.is_empty() {
        return board;
    }
    let table = read("/proc/cpuinfo");
    let model = table.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |model| model.trim_start_matches(['\t', ' ', ':'])).to_owned()
}

fn read(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim_matches(['\0', '\n', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
        21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        30 21 0:25 / /dev/shm rw - tmpfs tmpfs rw\n\
        40 21 7:0 / /mnt/a\\040b rw - ext4 /dev/loop0 rw\n";

    #[test]
    fn the_innermost_mount_holds_a_folder() {
        let found = |folder| Mount::find(TABLE, Path::new(folder)).expect("one").number;
        assert_eq!(found("/var/lib"), "254:0");
        assert_eq!(found("/dev/shm/x"), "0:25");
        assert_eq!(found("/mnt/a b/c"), "7:0");
        assert_eq!(found("/mnt/a"), "254:0");
    }

    #[test]
    fn this_machine_has_a_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let machine = Machine::of(&folder.path().join("not/there/yet"));
        assert!(!machine.kernel.is_empty() && !machine.file_system.is_empty(), "{machine:?}");
        assert!(machine.line().starts_with("Linux "), "{}", machine.line());
    }
}
