//! What `strace` wrote, as steps: everything the daemon did to the folder of its log, in order.
//!
//! Files are named relative to that folder. The index of the journal (`-shm`) is left out: it is
//! memory that happens to have a name, and SQLite builds it anew after a crash.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Unix microseconds at which the call began.
    pub(crate) at: u64,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Create(String),
    Write {
        name: String,
        offset: usize,
        bytes: Rc<[u8]>,
    },
    /// The file has this length from now on.
    Resize {
        name: String,
        length: usize,
    },
    Sync(String),
    SyncFolder,
    Rename {
        from: String,
        to: String,
    },
    Unlink(String),
    /// The daemon said this on stderr.
    Said(String),
}

/// The calls that [`parse`] understands; any other that could change a file would be missed.
pub(crate) const CALLS: &str = "pwrite64,write,pwritev,pwritev2,writev,ftruncate,truncate,fallocate,\
     fsync,fdatasync,sync_file_range,sync,syncfs,rename,renameat,renameat2,unlink,unlinkat,link,\
     linkat,openat,open,creat,copy_file_range,sendfile";

/// Follows the names in a folder through any number of traces.
#[derive(Debug)]
pub(crate) struct Parser {
    folder: Vec<u8>,
    names: BTreeSet<String>,
    pub(crate) steps: Vec<Step>,
}

impl Parser {
    /// `names`: the files that are there.
    pub(crate) fn new(folder: &Path, names: impl IntoIterator<Item = String>) -> Self {
        let folder = folder.as_os_str().as_encoded_bytes().to_vec();
        Self { folder, names: names.into_iter().collect(), steps: Vec::new() }
    }

    pub(crate) fn read(&mut self, trace: &str) {
        let mut started: HashMap<&str, &str> = HashMap::new();
        for line in trace.lines() {
            let Some((process, rest)) = line.split_once(' ') else { continue };
            let Some((at, call)) = rest.trim_start().split_once(' ') else { continue };
            if let Some(head) = call.strip_suffix(" <unfinished ...>") {
                started.insert(process, head);
                continue;
            }
            let Some((_, tail)) = call.split_once(" resumed>").filter(|_| call.starts_with("<..."))
            else {
                self.take(at, call);
                continue;
            };
            if let Some(head) = started.remove(process) {
                self.take(at, &format!("{head}{tail}"));
            }
        }
    }

    fn take(&mut self, at: &str, text: &str) {
        let Some(call) = Call::parse(text) else { return };
        let (seconds, micros) = at.split_once('.').expect("a time with microseconds");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let at = number(seconds) * 1_000_000 + number(micros);
        for what in self.meaning(&call) {
            match &what {
                What::Create(name) => drop(self.names.insert(name.clone())),
                What::Unlink(name) => drop(self.names.remove(name)),
                What::Rename { from, to } => {
                    self.names.remove(from);
                    self.names.insert(to.clone());
                }
                _ => {}
            }
            self.steps.push(Step { at, what });
        }
    }

    fn meaning(&self, call: &Call<'_>) -> Vec<What> {
        if call.name == "write" && call.file.as_ref().is_some_and(|(fd, _)| fd == "2") {
            let said = call.strings.first().map(|said| String::from_utf8_lossy(said).into_owned());
            return said.map(What::Said).into_iter().collect();
        }
        if matches!(call.name, "fsync" | "fdatasync") && call.path() == Some(&self.folder[..]) {
            return vec![What::SyncFolder];
        }
        let named = |path: Option<&[u8]>| path.and_then(|path| self.name(path));
        match call.name {
            "openat" | "open" | "creat" => {
                let Some(name) = named(call.strings.last().map(Vec::as_slice)) else {
                    return Vec::new();
                };
                if !self.names.contains(&name) {
                    return vec![What::Create(name)];
                }
                let emptied = call.text.contains("O_TRUNC") || call.name == "creat";
                emptied.then_some(What::Resize { name, length: 0 }).into_iter().collect()
            }
            "rename" | "renameat" | "renameat2" => {
                let [from, to] = [0, 1].map(|at| named(call.strings.get(at).map(Vec::as_slice)));
                let (Some(from), Some(to)) = (from, to) else { return Vec::new() };
                vec![What::Rename { from, to }]
            }
            "unlink" | "unlinkat" => named(call.strings.last().map(Vec::as_slice))
                .map(What::Unlink)
                .into_iter()
                .collect(),
            name => {
                let Some(file) = named(call.path()) else { return Vec::new() };
                vec![on_file(name, file, call)]
            }
        }
    }

    /// The name of a file of the log, if it is one whose content a cut can hurt.
    fn name(&self, path: &[u8]) -> Option<String> {
        let name = path.strip_prefix(&self.folder[..])?.strip_prefix(b"/")?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        // The tail of a port is for the death of a process: its place is a memory file system.
        let hurts = !name.ends_with("-shm") && !name.contains(".tail.");
        (name.starts_with("log.db") && hurts).then_some(name)
    }
}

fn on_file(call_name: &str, name: String, call: &Call<'_>) -> What {
    match call_name {
        "pwrite64" => {
            let bytes = &call.strings[0];
            assert_eq!(call.result, bytes.len(), "a short write: {}", call.text);
            What::Write { name, offset: call.number(1), bytes: bytes.as_slice().into() }
        }
        "ftruncate" => What::Resize { name, length: call.number(1) },
        "fallocate" => What::Resize { name, length: call.number(2) + call.number(3) },
        "fsync" | "fdatasync" => What::Sync(name),
        other => panic!("`{other}` changes the log and is not understood: {}", call.text),
    }
}

/// One successful call.
struct Call<'a> {
    name: &'a str,
    text: &'a str,
    /// The descriptor it is made on, and its path.
    file: Option<(String, Vec<u8>)>,
    strings: Vec<Vec<u8>>,
    /// What stands between the strings and brackets, by comma.
    plain: Vec<String>,
    result: usize,
}

impl<'a> Call<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (name, _) = text.split_once('(')?;
        let (inside, result) = text[name.len() + 1..].rsplit_once(") = ")?;
        let result = result.split(['<', ' ']).next()?.parse().ok()?;
        let mut call = Self { name, text, file: None, strings: vec![], plain: vec![], result };
        for (at, part) in inside.split(", ").enumerate() {
            if let Some(quoted) = part.strip_prefix('"') {
                assert!(quoted.ends_with('"'), "strace cut a string short: {part}");
                call.strings.push(bytes_of(quoted.trim_end_matches('"')));
                continue;
            }
            if let Some((fd, path)) = part.split_once('<').filter(|_| at == 0) {
                call.file = Some((fd.to_owned(), bytes_of(path.trim_end_matches('>'))));
            }
            call.plain.push(part.to_owned());
        }
        Some(call)
    }

    fn path(&self) -> Option<&[u8]> {
        self.file.as_ref().map(|(_, path)| path.as_slice())
    }

    /// The last number of a `pwrite64` is its offset, whatever stands before.
    fn number(&self, at: usize) -> usize {
        let plain = if self.name == "pwrite64" { self.plain.last() } else { self.plain.get(at) };
        plain.and_then(|text| text.parse().ok()).expect("a number")
    }
}

/// `\x2f\x74` as strace prints it with `-xx`.
fn bytes_of(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let text = text.as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut at = 0;
    while at < text.len() {
        match text[at..] {
            [b'\\', b'x', high, low, ..] => {
                let (high, low) = (digit(high).expect("hex"), digit(low).expect("hex"));
                bytes.push(high << 4 | low);
                at += 4;
            }
            [byte, ..] => {
                bytes.push(byte);
                at += 1;
            }
            [] => unreachable!("the loop has ended"),
        }
    }
    bytes
}

#[test]
fn a_trace_is_read_as_it_is_written() {
    let hex = |text: &str| text.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let wal = hex("/f/log.db-wal");
    let trace = [
        format!(
            "7   1.000001 openat(AT_FDCWD<{}>, \"{wal}\", O_RDWR|O_CREAT, 0600) = 9<{wal}>",
            hex("/")
        ),
        format!("7   1.000002 pwrite64(9<{wal}>, \"{}\", 2, 32) = 2", hex("ab")),
        format!("7   1.000003 fsync(9<{wal}> <unfinished ...>"),
        "8   1.000004 openat(AT_FDCWD<x>, \"y\", O_RDONLY) = -1 ENOENT (No such file)".to_owned(),
        "7   1.000005 <... fsync resumed>) = 0".to_owned(),
        format!("7   1.000006 fsync(4<{}>) = 0", hex("/f")),
        format!("7   1.000007 write(2<x>, \"{}\", 9) = 9", hex("committed")),
        format!("7   1.000008 unlink(\"{wal}\") = 0"),
    ];
    let mut parser = Parser::new(Path::new("/f"), []);
    parser.read(&trace.join("\n"));
    let name = || "log.db-wal".to_owned();
    let seen: Vec<What> = parser.steps.iter().map(|step| step.what.clone()).collect();
    let bytes = b"ab".as_slice().into();
    let expected = [
        What::Create(name()),
        What::Write { name: name(), offset: 32, bytes },
        What::Sync(name()),
        What::SyncFolder,
        What::Said("committed".to_owned()),
        What::Unlink(name()),
    ];
    assert_eq!(seen, expected);
    assert_eq!(parser.steps[2].at, 1_000_005, "a sync counts when it is over");
}
