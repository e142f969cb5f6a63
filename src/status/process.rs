//! Reads the kernel's figures about this process from `/proc/self`.
//!
//! A figure is missing if the kernel hides it: a page without it is better than no page.

use std::fs;

/// `USER_HZ`, the number of ticks per second in `/proc`. It is part of Linux's interface, and 100 on every
/// ARM and x86.
const TICKS_PER_SECOND: f64 = 100.0;

/// The kernel's figures about this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Process {
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) cpu_seconds: Option<f64>,
    /// The time from the boot of the device to the start of the process.
    pub(crate) started_seconds: Option<f64>,
    pub(crate) open_fds: Option<usize>,
}

impl Process {
    pub(crate) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            resident_bytes: resident_bytes(&status),
            cpu_seconds: cpu_seconds(&stat),
            started_seconds: ticks(&stat, 22).map(seconds),
            // Reading the folder takes a descriptor of its own, which is not counted.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|open| open.count().saturating_sub(1)),
        }
    }
}

/// Reads the resident memory from `status` and not from `statm`, which counts pages: ARM kernels have three
/// page sizes.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    let (user, system) = (ticks(stat, 14)?, ticks(stat, 15)?);
    Some(seconds(user + system))
}

/// Reads field `number` (14 or more) of proc_pid_stat(5). The second field is the program's name and may
/// itself hold spaces and parentheses, so counting starts behind the last parenthesis.
fn ticks(stat: &str, number: usize) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(number - 3)?.parse().ok()
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_figures() {
        let process = Process::read();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{process:?}");
        assert!(process.open_fds.is_some_and(|open| open >= 3), "{process:?}");
        assert!(process.started_seconds.is_some_and(|at| at > 0.0), "{process:?}");
        assert!(process.cpu_seconds.is_some(), "{process:?}");
    }

    #[test]
    fn a_program_may_have_any_name() {
        let rest = "S 4 5 6 7 8 9 10 11 12 13 150 25 16 17 18 19 20 21 4200 23";
        let stat = format!("1 (a) b (c d) {rest}");
        assert_eq!((cpu_seconds(&stat), ticks(&stat, 22)), (Some(1.75), Some(4200)));
        assert_eq!(cpu_seconds(""), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident_bytes("VmHWM:\t  900 kB\nVmRSS:\t    812 kB\n"), Some(831_488));
        assert_eq!(resident_bytes("VmRSS:\t\n"), None);
    }
}
