//! Networks of one's own, real ones: namespaces, and virtual cables between them.

use std::io::BufRead as _;
use std::process::{Command, Output, Stdio};

use super::daemon::Daemon;
use super::need::{installed, skip};
use super::process::Process;
use super::site::Site;

/// Whether this machine lets a test make a network, and has this program of a package for it; skips
/// the test if not.
pub(crate) fn has(program: &str, package: &str) -> bool {
    let namespaces = Command::new("unshare").args(["-U", "-r", "-n", "-m", "true"]).status();
    if !namespaces.is_ok_and(|status| status.success()) {
        skip("network namespaces are not to be had");
        return false;
    }
    installed(program, package)
}

/// A machine with a network of its own: a namespace that others can be brought into.
#[derive(Debug)]
pub(crate) struct Machine(Process);

impl Machine {
    pub(crate) fn new() -> Self {
        Self::held_by(Command::new("unshare").args(["-U", "-r", "-n"]))
    }

    /// Another one, which may be given a network with this one.
    pub(crate) fn beside(&self) -> Self {
        Self::held_by(&mut self.command(&["unshare", "-n"]))
    }

    /// And a board on the same network.
    pub(crate) fn with_board() -> (Self, Self) {
        let machine = Self::new();
        let board = machine.beside();
        board.connect(&machine);
        (machine, board)
    }

    /// A daemon on this machine.
    pub(crate) fn starts(&self, site: &Site, rest: &str) -> Daemon {
        let inside = self.inside();
        let starter: Vec<&str> = inside.iter().map(String::as_str).collect();
        let daemon = site.spawn_under(&starter, rest);
        daemon.notified("READY=1");
        daemon
    }

    /// By a process that lives as long as the machine.
    fn held_by(namespace: &mut Command) -> Self {
        let script = "ip link set lo up && echo up && exec sleep 1000";
        let command = namespace.args(["sh", "-c", script]).stdout(Stdio::piped());
        let mut process = Process::start(command);
        let mut line = String::new();
        process.stdout().read_line(&mut line).expect("read its only line");
        assert_eq!(line, "up\n");
        Self(process)
    }

    /// A network of these two.
    fn connect(&self, other: &Self) {
        let script = format!(
            "set -e; ip link add lan type veth peer name lan netns {0}; \
             ip address add 10.77.0.1/24 dev lan; ip link set lan up; \
             nsenter -n -t {0} ip address add 10.77.0.2/24 dev lan; \
             nsenter -n -t {0} ip link set lan up",
            other.pid()
        );
        let output = self.run(&["sh", "-c", &script]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Words that begin a command line there.
    fn inside(&self) -> Vec<String> {
        let target = self.pid().to_string();
        let words = ["nsenter", "--preserve-credentials", "-U", "-n", "-t", &target];
        words.map(str::to_owned).to_vec()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let inside = self.inside();
        let mut command = Command::new(&inside[0]);
        command.args(&inside[1..]).args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("run in a namespace")
    }
}
