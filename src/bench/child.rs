//! Runs this program as a child process and reads from the kernel what it used.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// The folder in which Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";
/// The time in which a daemon has to become ready.
const READY_MAX: Duration = Duration::from_secs(10);

/// A child process, which is killed when this is dropped.
#[derive(Debug)]
pub struct Child(std::process::Child);

/// The resources that a process has used since it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessUsage {
    pub cpu: Duration,
    pub rss_kib: u64,
    pub rss_peak_kib: u64,
    pub read_calls: u64,
    pub write_calls: u64,
    pub written: u64,
    /// The bytes that reached the block device.
    pub device_written: u64,
    pub switches: u64,
}

impl Child {
    /// Starts a collector and returns it with its address, which it prints in its first line.
    pub fn collector() -> io::Result<(Self, String)> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["collect", "--listen", "127.0.0.1:0", "--log-format", "text"])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        BufReader::new(output).read_line(&mut line)?;
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address
            .ok_or_else(|| io::Error::other(format!("the collector said `{}`", line.trim())))?;
        Ok((Self(child), address.to_owned()))
    }

    /// Starts a daemon and waits until it has notified this process, as its service manager, that it is
    /// ready.
    pub async fn daemon(folder: &Path, config: &Path) -> io::Result<Self> {
        let socket = folder.join("notify");
        let notify = UnixDatagram::bind(&socket)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").arg("--config").arg(config);
        command.env("NOTIFY_SOCKET", &socket).env("OUTSTATION_LOG", "warn");
        // The folder is in memory, like the one that a service manager gives. A clean stop leaves no file
        // there.
        if Path::new(MEMORY).is_dir() {
            command.env("RUNTIME_DIRECTORY", MEMORY);
        }
        let child = Self(command.spawn()?);
        let mut message = [0; 4096];
        loop {
            let received = timeout(READY_MAX, notify.recv(&mut message)).await;
            let count = received.map_err(|_| io::ErrorKind::TimedOut)??;
            if message[..count].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(child);
            }
        }
    }

    /// The address of the only socket that the process listens on, read from `/proc`.
    pub fn local_port(&self) -> io::Result<String> {
        let inodes = self.socket_inodes()?;
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", self.0.id()))?;
        let port = table.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listening = fields.get(3) == Some(&"0A")
                && inodes.iter().any(|inode| Some(&inode.as_str()) == fields.get(9));
            let port = fields.get(1)?.rsplit(':').next()?;
            listening.then(|| u16::from_str_radix(port, 16).ok()).flatten()
        });
        port.map(|port| format!("127.0.0.1:{port}"))
            .ok_or_else(|| io::Error::other("it listens nowhere"))
    }

    fn socket_inodes(&self) -> io::Result<Vec<String>> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.0.id()))?;
        let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        let inode = |target: std::path::PathBuf| {
            Some(target.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        };
        Ok(targets.filter_map(inode).collect())
    }

    /// The resources that the kernel has charged to the process so far.
    pub fn usage(&self) -> io::Result<ProcessUsage> {
        let proc = format!("/proc/{}", self.0.id());
        let status = std::fs::read_to_string(format!("{proc}/status"))?;
        let io = std::fs::read_to_string(format!("{proc}/io"))?;
        let stat = std::fs::read_to_string(format!("{proc}/stat"))?;
        let mut switches = 0;
        for task in std::fs::read_dir(format!("{proc}/task"))? {
            let status = std::fs::read_to_string(task?.path().join("status"))?;
            switches += field(&status, "voluntary_ctxt_switches:")
                + field(&status, "nonvoluntary_ctxt_switches:");
        }
        Ok(ProcessUsage {
            cpu: cpu(&stat),
            rss_kib: field(&status, "VmRSS:"),
            rss_peak_kib: field(&status, "VmHWM:"),
            read_calls: field(&io, "syscr:"),
            write_calls: field(&io, "syscw:"),
            written: field(&io, "wchar:"),
            device_written: field(&io, "write_bytes:"),
            switches,
        })
    }

    /// Asks the process to stop, and blocks until it has ended.
    pub fn end(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        drop(self.0.wait());
    }
}

/// Kills the process, so that a failed run leaves none behind.
impl Drop for Child {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl ProcessUsage {
    /// The resources used since `before`; the two memory figures stay as they are.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            rss_kib: self.rss_kib,
            rss_peak_kib: self.rss_peak_kib,
            read_calls: self.read_calls - before.read_calls,
            write_calls: self.write_calls - before.write_calls,
            written: self.written - before.written,
            device_written: self.device_written - before.device_written,
            switches: self.switches - before.switches,
        }
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The user and system time: fields 14 and 15 of proc_pid_stat(5), counted from behind the name.
fn cpu(stat: &str) -> Duration {
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_millis(ticks * 1000 / per_second)
}
