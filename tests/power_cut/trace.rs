//! What `strace` wrote, as steps: everything the daemon did to the folder of its log, in order.
//!
//! Files are named relative to that folder. The index of the journal (`-shm`) is left out: it is
//! memory that happens to have a name, and SQLite builds it anew after a crash.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write as _};
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
    /// The last calls of each process of the last trace, unless strace saw that they succeeded.
    under_way: Vec<String>,
}

impl Parser {
    /// `names`: the files that are there.
    pub(crate) fn new(folder: &Path, names: impl IntoIterator<Item = String>) -> Self {
        let folder = folder.as_os_str().as_encoded_bytes().to_vec();
        let names = names.into_iter().collect();
        Self { folder, names, steps: Vec::new(), under_way: Vec::new() }
    }

    /// Reads the trace of a life that is over. A call that the process is killed in may have done what it was
    /// to do, and strace does not know: it gives `?`, or nothing, or an error that there is none of. What is in
    /// the folder now tells. If it was done it is added to the trace, for whoever reads that again.
    pub(crate) fn read_to_the_end(&mut self, trace: &Path, folder: &Path) -> io::Result<()> {
        let text = std::fs::read_to_string(trace)?;
        self.read(&text);
        let last = text.lines().next_back().unwrap_or_default();
        let at = last.split_whitespace().nth(1).unwrap_or_default();
        let mut ended = String::new();
        for call in std::mem::take(&mut self.under_way) {
            if let Some(result) = self.came_to(&call, folder) {
                writeln!(ended, "0 {at} {call}) = {result}").expect("a string takes all");
            }
        }
        std::fs::File::options().append(true).open(trace)?.write_all(ended.as_bytes())?;
        self.read(&ended);
        Ok(())
    }

    /// The result of a call that the process was killed in, if it did anything that a cut can hurt.
    fn came_to(&self, text: &str, folder: &Path) -> Option<usize> {
        let text = format!("{text}) = 0");
        let mut call = Call::parse(&text)?;
        let whole = if call.name == "pwrite64" { call.strings[0].len() } else { 0 };
        call.result = whole;
        let there = |name: &str| folder.join(name).exists();
        let came = |what: What| match what {
            What::Write { name, offset, bytes } => {
                let file = std::fs::read(folder.join(name)).unwrap_or_default();
                let found = file.get(offset..).unwrap_or_default();
                let same = found.iter().zip(&*bytes).take_while(|(a, b)| a == b).count();
                // A kill ends it between two pages of memory, if at all.
                let done =
                    if same == whole { whole } else { same.saturating_sub((offset + same) % 4096) };
                (done > 0).then_some(done)
            }
            What::Resize { name, length } => {
                let found = std::fs::metadata(folder.join(name));
                found.is_ok_and(|found| found.len() == length as u64).then_some(0)
            }
            What::Create(name) => there(&name).then_some(0),
            What::Unlink(name) | What::Rename { from: name, .. } => (!there(&name)).then_some(0),
            // It leaves what there is, and nobody was told that it had ended.
            What::Sync(_) | What::SyncFolder | What::Said(_) => None,
        };
        self.meaning(&call).into_iter().find_map(came)
    }

    pub(crate) fn read(&mut self, trace: &str) {
        self.under_way.clear();
        let mut started: HashMap<&str, &str> = HashMap::new();
        let mut failed: HashMap<&str, String> = HashMap::new();
        for line in trace.lines() {
            let Some((process, rest)) = line.split_once(' ') else { continue };
            let Some((at, call)) = rest.trim_start().split_once(' ') else { continue };
            if call.starts_with("+++") {
                let unfinished = started.remove(process).map(str::to_owned);
                self.under_way.extend(unfinished.or(failed.remove(process)));
                continue;
            }
            if let Some(head) = call.strip_suffix(" <unfinished ...>") {
                started.insert(process, head);
                continue;
            }
            let resumed = call.split_once(" resumed>").filter(|_| call.starts_with("<..."));
            let call = match resumed {
                None => call.to_owned(),
                Some((_, tail)) => match started.remove(process) {
                    Some(head) => format!("{head}{tail}"),
                    None => continue,
                },
            };
            if self.take(at, &call) {
                failed.remove(process);
            } else if let Some((call, _)) = call.rsplit_once(") = ") {
                failed.insert(process, call.to_owned());
            }
        }
    }

    /// Whether this is a call that succeeded.
    fn take(&mut self, at: &str, text: &str) -> bool {
        let Some(call) = Call::parse(text) else { return false };
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
        true
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
        "pwrite64" => What::Write {
            name,
            offset: call.number(1),
            bytes: call.strings[0][..call.result].into(),
        },
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

#[test]
fn what_a_process_was_killed_in_is_done_if_it_is_in_the_folder() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let base = tempfile::tempdir().expect("a folder");
    let folder = base.path().join("log");
    std::fs::create_dir(&folder).expect("a folder");
    let trace = base.path().join("trace");
    let wal = hex(folder.join("log.db-wal").as_os_str().as_encoded_bytes());
    let write = |bytes: &[u8], offset: usize| {
        format!("pwrite64(9<{wal}>, \"{}\", {}, {offset}", hex(bytes), bytes.len())
    };
    let long = [7; 512];
    // Each of them is the last call of a life: how strace shows it, what the folder has then, and what it did.
    let mut page_by_page = vec![0; 4200];
    page_by_page[3800..4096].fill(7);
    let mark = write(b"mark", 4);
    let done = || Some((4, b"mark".to_vec()));
    let cases = [
        (format!("{mark}) = ?"), b"....mark".to_vec(), done()),
        (format!("{mark}) = ? <unavailable>"), b"....mark".to_vec(), done()),
        (format!("{mark}) = -1 (errno 18446744073709551598)"), b"....mark".to_vec(), done()),
        (format!("{mark} <unfinished ...>"), b"....mark".to_vec(), done()),
        (format!("{mark}) = ?"), b"....maps".to_vec(), None),
        (format!("{mark}) = ?"), b"....".to_vec(), None),
        (format!("{}) = ?", write(&long, 3800)), page_by_page, Some((3800, vec![7; 296]))),
    ];
    for (last, found, expected) in cases {
        std::fs::write(folder.join("log.db-wal"), found).expect("written");
        let lines = format!(
            "7   1.000001 {}) = 2\n7   1.000002 {last}\n7   1.000003 +++ killed by SIGKILL +++\n",
            write(b"ab", 0)
        );
        std::fs::write(&trace, lines).expect("written");
        let names = || ["log.db-wal".to_owned()];
        let mut parser = Parser::new(&folder, names());
        parser.read_to_the_end(&trace, &folder).expect("readable");
        let mut again = Parser::new(&folder, names());
        again.read(&std::fs::read_to_string(&trace).expect("readable"));
        for parser in [parser, again] {
            let seen: Vec<_> =
                parser.steps.iter().skip(1).map(|step| (step.at, step.what.clone())).collect();
            let name = "log.db-wal".to_owned();
            let expected = expected.clone().map(|(offset, bytes)| {
                (1_000_003, What::Write { name, offset, bytes: bytes.into() })
            });
            assert_eq!(seen, Vec::from_iter(expected), "{last}");
        }
    }
}
