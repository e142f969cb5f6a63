//! Small file systems of one's own, real ones: a tmpfs, and an ext4 in a file.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

use super::need::skipped;
use super::site::Site;

/// Mounted at `disk` in the folder of a site; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
}

pub(crate) fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output();
    output.unwrap_or_else(|error| panic!("failed to run `{program}`: {error}"))
}

fn try_run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program} {args:?}: {said}")) }
}

impl Disk {
    /// None, said loudly, where nothing can be mounted.
    pub(crate) fn tmpfs(site: &Site, mebibytes: u32) -> Option<Self> {
        let path = Self::place(site);
        let size = format!("size={mebibytes}m");
        Self::mounted(path, &["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    pub(crate) fn ext4(site: &Site, mebibytes: u64) -> Option<Self> {
        let path = Self::place(site);
        let image = site.path("image");
        let made = File::create(&image).and_then(|file| file.set_len(mebibytes << 20));
        made.expect("make a file for a disk");
        let name = image.display().to_string();
        if let Err(why) = try_run("mkfs.ext4", &["-q", &name]) {
            return unmounted(&why);
        }
        Self::mounted(path, &["-o", "loop", &name])
    }

    fn place(site: &Site) -> PathBuf {
        let path = site.path("disk");
        fs::create_dir_all(&path).expect("make a folder to mount at");
        path
    }

    fn mounted(path: PathBuf, args: &[&str]) -> Option<Self> {
        let at = path.display().to_string();
        match try_run("mount", &[args, &[&at]].concat()) {
            Ok(()) => Some(Self { path }),
            Err(why) => unmounted(&why),
        }
    }

    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = try_run("mount", &["-o", &options, &self.path.display().to_string()]);
        assert_eq!(done, Ok(()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Another program takes so much of it.
    pub(crate) fn take(&self, name: &str, bytes: usize) {
        fs::write(self.path(name), vec![7; bytes]).expect("there is room");
    }

    /// Another program takes everything.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.path("filler")).expect("make a file");
        for piece in [1 << 20, 4096, 64] {
            while file.write_all(&vec![7; piece]).is_ok() {}
        }
        // What is only promised is not taken yet.
        drop(file.sync_all());
    }

    pub(crate) fn free(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("remove a file");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(try_run("umount", &["-l", &self.path.display().to_string()]));
    }
}

fn unmounted<T>(why: &str) -> Option<T> {
    skipped(&format!("{why}; these tests need root, `mount` and a loop device"))
}
