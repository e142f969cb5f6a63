//! A board that runs: qemu, a shell on it, its plugs, its local port.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::disk::{Disk, arch, built};
use super::qmp;
use super::sensor::Sensor;
use crate::kit::address::Reserved;
use crate::kit::collector::Collector;
use crate::kit::http::try_get;
use crate::kit::process::Process;
use crate::kit::site::Site;
use crate::kit::wait::{eventually, eventually_within};

/// An emulated board on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// How the machine that runs the tests is reached from the board.
const HOST: &str = "10.0.2.2";
/// The name under which the adapter stays the same, wherever it is plugged in.
pub(crate) const BY_ID: &str = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_PROBE-if00-port0";

/// An installed board that reads a sensor and delivers to a collector, and the collector's place.
pub(crate) fn reading() -> (Site, Collector, Board, Sensor) {
    let site = Site::new();
    let collector = Collector::start(&site);
    let board = Board::boot(Disk::installed());
    board.start(&collector, "");
    let sensor = board.sensor();
    (site, collector, board, sensor)
}

/// Without power when dropped.
#[derive(Debug)]
pub(crate) struct Board {
    qemu: Process,
    hand: RefCell<BufReader<UnixStream>>,
    disk: Option<Disk>,
    /// Where the board's local port is reached.
    pub(crate) local_port: String,
    _reserved: Reserved,
}

impl Board {
    pub(crate) fn boot(disk: Disk) -> Self {
        Self::boot_with(disk, &[])
    }

    /// The same with further words for qemu.
    pub(crate) fn boot_with(disk: Disk, rest: &[&str]) -> Self {
        let root = format!("if=none,id=root,format=raw,file={}", disk.path().display());
        Self::boot_from(disk, &["-drive", &root], rest)
    }

    /// From a block device `root` that these words define.
    pub(crate) fn boot_from(disk: Disk, root: &[&str], rest: &[&str]) -> Self {
        let reserved = Reserved::new();
        let local_port = reserved.to_string();
        let path = |name: &str| disk.beside(name).display().to_string();
        let socket = |id: &str| format!("socket,id={id},path={},server=on,wait=off", path(id));
        let (program, machine, cpu) = match arch().as_str() {
            "arm64" => ("qemu-system-aarch64", "virt", "cortex-a53"),
            _ => ("qemu-system-arm", "virt,highmem=off", "cortex-a7"),
        };
        let packages = built("packages").display().to_string();
        let packages = format!("if=none,id=packages,format=raw,readonly=on,file={packages}");
        let console = File::create(disk.beside("console")).expect("make a file for the console");
        let mut command = Command::new(program);
        command
            .args(["-M", machine, "-cpu", cpu, "-m", "256", "-smp", "1"])
            .args(["-accel", "tcg,tb-size=128", "-nodefaults", "-display", "none", "-no-reboot"])
            .arg("-kernel")
            .arg(built("kernel"))
            .arg("-initrd")
            .arg(built("initrd"))
            .args(["-append", "console=ttyAMA0 quiet loglevel=4", "-serial", "stdio"])
            .args(root)
            .args(["-device", "virtio-blk-pci,drive=root"])
            .args(["-drive", &packages])
            .args(["-device", "virtio-blk-pci,drive=packages"])
            .arg("-netdev")
            .arg(format!("user,id=lan,hostfwd=tcp:{local_port}-:9437"))
            .args(["-device", "virtio-net-pci,netdev=lan,romfile=", "-device", "virtio-rng-pci"])
            .args(["-device", "virtio-serial-pci", "-chardev", &socket("hand")])
            .args(["-device", "virtserialport,chardev=hand,name=hand"])
            .args(["-device", "qemu-xhci,id=usb", "-chardev", &socket("cable")])
            .args(["-chardev", "null,id=other"])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", path("qmp"))])
            .args(rest)
            .stdin(Stdio::null())
            .stdout(console)
            .stderr(File::create(disk.beside("qemu")).expect("make a file for qemu"));
        let qemu = Process::start(&mut command);
        let hand = disk.beside("hand");
        let mut stream = None;
        let connects = || {
            stream = UnixStream::connect(&hand).ok();
            stream.is_some()
        };
        eventually("qemu runs", connects, |connected| *connected);
        let stream = stream.expect("it is connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        let hand = RefCell::new(BufReader::new(stream));
        let board = Self { qemu, hand, disk: Some(disk), local_port, _reserved: reserved };
        board.until("hand ready").expect("the board boots");
        board.run("mkdir -p /packages && mount -o ro /dev/vdb /packages");
        board.plug();
        board
    }

    /// Carries out a command on the board, which must succeed; what it printed.
    pub(crate) fn run(&self, command: &str) -> String {
        let (code, said) = self.attempt(command);
        assert_eq!(code, 0, "`{command}` said:\n{said}");
        said
    }

    /// Its exit code, and what it printed.
    pub(crate) fn attempt(&self, command: &str) -> (i32, String) {
        assert!(!command.contains('\n'), "one line: {command}");
        let answer = self.ask(command);
        answer.unwrap_or_else(|error| panic!("the board does not answer `{command}`: {error}"))
    }

    fn ask(&self, command: &str) -> io::Result<(i32, String)> {
        writeln!(self.hand.borrow_mut().get_mut(), "{command}")?;
        let (said, code) = self.until("hand: ")?;
        Ok((code.parse().map_err(io::Error::other)?, said))
    }

    /// What comes before the line that starts so, and the rest of that line.
    fn until(&self, mark: &str) -> io::Result<(String, String)> {
        let (mut said, mut hand) = (String::new(), self.hand.borrow_mut());
        loop {
            let mut line = String::new();
            if hand.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(rest) = line.strip_prefix(mark) {
                return Ok((said, rest.trim_end().to_owned()));
            }
            said.push_str(&line);
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let encoded = base64(text.as_bytes());
        self.run(&format!("echo {encoded} | base64 -d > {path}"));
    }

    /// A configuration with the port of the sensor and a sink at the collector; the device is the
    /// same as on sites of this machine, so that logs can be carried over.
    pub(crate) fn configure(&self, collector: &Collector, rest: &str) {
        let port = collector.address.rsplit(':').next().expect("an address has a port");
        self.write(
            "/etc/outstation/outstation.toml",
            &format!(
                "[device]\nid = \"site\"\n[http]\nlisten = \"0.0.0.0:9437\"\n\
                 [[port]]\nname = \"probe\"\npath = \"{BY_ID}\"\nframing = \"lines\"\nformat = \"json\"\n\
                 sensor_key = \"sensor\"\nsequence_key = \"n\"\n\
                 [[sink]]\nname = \"host\"\nkind = \"http\"\n\
                 url = \"http://{HOST}:{port}/v1/readings\"\ntimeout = \"5s\"\n{rest}"
            ),
        );
    }

    /// Runs that configuration from now on, with the port open.
    pub(crate) fn start(&self, collector: &Collector, rest: &str) {
        self.configure(collector, rest);
        self.run("systemctl restart outstation");
        self.reads();
    }

    /// Waits until the port is open.
    pub(crate) fn reads(&self) {
        self.sees("the port is open", |status| status["ports"][0]["state"] == "open");
    }

    /// Waits until `/status` says so.
    pub(crate) fn sees(&self, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        eventually_within(PATIENCE, what, || self.status().unwrap_or_default(), good)
    }

    /// Waits until so many readings are stored.
    pub(crate) fn stored(&self, count: u64) -> Value {
        self.sees(&format!("{count} readings are stored"), |now| now["ledger"]["stored"] == count)
    }

    /// None while nobody answers.
    pub(crate) fn status(&self) -> Option<Value> {
        let answer = try_get(&self.local_port, "/status").ok()?;
        serde_json::from_str(&answer.1).ok()
    }

    /// Nothing was killed for want of memory, and the daemon never began anew.
    pub(crate) fn kept_its_ceiling(&self) {
        let cgroup = "/sys/fs/cgroup/system.slice/outstation.service";
        let events = self.run(&format!("cat {cgroup}/memory.peak {cgroup}/memory.events"));
        drop(writeln!(std::io::stderr().lock(), "memory.peak and events: {events}"));
        assert!(events.contains("oom_kill 0"), "{events}");
        assert_eq!(self.run("systemctl show -p NRestarts --value outstation").trim(), "0");
    }

    pub(crate) fn sensor(&self) -> Sensor {
        Sensor::at(&self.disk().beside("cable"))
    }

    pub(crate) fn plug(&self) {
        self.add("cable", "PROBE");
    }

    pub(crate) fn unplug(&self) {
        qmp::tell(&self.disk().beside("qmp"), "device_del", &json!({"id": "cable"}));
        self.waits_until(&format!("! test -e {BY_ID}"));
    }

    /// Another adapter takes the first free number.
    pub(crate) fn plug_another(&self) {
        self.add("other", "OTHER");
    }

    fn add(&self, id: &str, serial: &str) {
        let device = json!({"driver": "usb-serial", "id": id, "chardev": id, "bus": "usb.0",
            "always-plugged": true, "serial": serial});
        qmp::tell(&self.disk().beside("qmp"), "device_add", &device);
        self.waits_until(&format!("ls /dev/serial/by-id | grep -q {serial}"));
    }

    /// Asks the board again and again.
    pub(crate) fn waits_until(&self, command: &str) {
        self.run(&format!("for _ in {{1..300}}; do {command} && exit; sleep 0.3; done; exit 1"));
    }

    fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("it has one until it ends")
    }

    /// Shuts down in good order.
    pub(crate) fn power_off(mut self) -> Disk {
        self.run("systemctl --no-block poweroff");
        let ended = || self.qemu.ended().is_some();
        eventually_within(PATIENCE, "the board is off", ended, |ended| *ended);
        self.disk.take().expect("it has one until it ends")
    }

    /// Cuts the power.
    pub(crate) fn power_cut(mut self) -> Disk {
        self.qemu.kill();
        self.disk.take().expect("it has one until it ends")
    }

    fn console(&self) -> PathBuf {
        self.disk().beside("console")
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if std::thread::panicking() && self.disk.is_some() {
            let console = std::fs::read_to_string(self.console()).unwrap_or_default();
            let journal =
                self.ask("journalctl -u outstation -n 40 --no-pager").unwrap_or_default().1;
            drop(writeln!(
                std::io::stderr().lock(),
                "--- the board's console:\n{console}\n--- its journal:\n{journal}"
            ));
        }
        self.qemu.kill();
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
