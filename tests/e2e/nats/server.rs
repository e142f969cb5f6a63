//! A real nats-server with JetStream, and a client that asks it what it holds.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::need;
use crate::kit::process::Process;
use crate::kit::site::Site;
use crate::kit::wait::PATIENCE;

const PROGRAM: &str = "nats-server";
const DEBIAN_PACKAGES: &str = "nats-server";

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct NatsServer {
    process: Process,
    pub(crate) address: String,
    log: PathBuf,
    options: Vec<String>,
}

/// A message of a stream.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) id: String,
    pub(crate) body: Value,
}

/// Whether there is one; skips the test if not.
pub(crate) fn installed() -> bool {
    need::installed(PROGRAM, DEBIAN_PACKAGES)
}

impl NatsServer {
    /// With JetStream; `options` are those of its command line.
    pub(crate) fn start(site: &Site, options: &[&str]) -> Self {
        let store = site.path("nats").display().to_string();
        Self::start_without(site, &[&["--jetstream", "--store_dir", &store], options].concat())
    }

    /// With a user who may publish telemetry and hear answers but ask nothing, a stream, and what its
    /// sink has to say.
    pub(crate) fn start_for_a_publisher(site: &Site) -> (Self, Client, String) {
        let users = "authorization { users: [\n\
             { user: admin, password: a },\n\
             { user: pump, password: p, permissions: \
               { publish: \"telemetry.>\", subscribe: \"_INBOX.>\" } } ] }\n";
        let config = site.write("nats.conf", users).display().to_string();
        let server = Self::start(site, &["--config", &config]);
        let admin = Client::connect(&server.address, &json!({"user": "admin", "pass": "a"}));
        let password = site.write("password", "p").display().to_string();
        (server, admin, format!("username = \"pump\"\npassword_file = \"{password}\"\n"))
    }

    /// With these options only.
    pub(crate) fn start_without(site: &Site, options: &[&str]) -> Self {
        let (address, log) = (site.address(), site.path("nats.log"));
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let process = run(&address, &log, &options);
        Self { process, address, log, options }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// As the OOM killer ends it.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Where it was, with what it had.
    pub(crate) fn restart(&mut self) {
        self.process = run(&self.address, &self.log, &self.options);
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.address, &json!({}))
    }

    /// A stream of all telemetry.
    pub(crate) fn with_stream(self, more: &Value) -> Self {
        self.client().create_stream(more);
        self
    }
}

/// Returns when it listens.
fn run(address: &str, log: &Path, options: &[String]) -> Process {
    let (host, port) = address.split_once(':').expect("a port");
    let mut command = Command::new(PROGRAM);
    command.args(["--addr", host, "--port", port, "--log"]).arg(log).args(options);
    let mut process = Process::start(&mut command);
    process.listens(address, log);
    process
}

/// A client of its own, so that what is tested does not judge itself.
#[derive(Debug)]
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    /// What a stream delivered while an answer was waited for.
    early: VecDeque<Delivery>,
}

/// A message as it comes.
#[derive(Debug)]
struct Delivery {
    subject: String,
    /// Where to acknowledge it.
    reply: String,
    head: String,
    body: Vec<u8>,
}

/// What a server sends before it hears that something has arrived: it cuts off who falls behind.
const UNACKNOWLEDGED_MAX: u64 = 1000;

impl Client {
    pub(crate) fn connect(address: &str, login: &Value) -> Self {
        let stream = TcpStream::connect(address).expect("connect to nats-server");
        stream.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        let mut client = Self { reader: BufReader::new(stream), early: VecDeque::new() };
        assert!(client.line().starts_with("INFO "), "a nats-server introduces itself");
        let mut connect = json!({"verbose": false, "headers": true, "no_responders": true});
        for (key, value) in login.as_object().expect("a table") {
            connect[key] = value.clone();
        }
        client.say(&format!("CONNECT {connect}\r\nSUB answers 1\r\nSUB messages 2\r\n"));
        client
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).expect("write to nats-server");
    }

    /// Returns once the server knows of it: what is published from then on comes here.
    pub(crate) fn subscribe(&mut self, subject: &str) {
        self.say(&format!("SUB {subject} 3\r\nPING\r\n"));
        while self.line() != "PONG\r\n" {}
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("read from nats-server");
        line
    }

    /// The next message, and whether it is an answer.
    fn message(&mut self) -> (bool, Delivery) {
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let number = |at: usize| words[words.len() - at].parse::<usize>().expect("a number");
            match words[..] {
                ["PING"] => self.say("PONG\r\n"),
                [verb @ ("MSG" | "HMSG"), subject, sid, ..] => {
                    let sizes = if verb == "HMSG" { 2 } else { 1 };
                    let head = if verb == "HMSG" { number(2) } else { 0 };
                    let (mut all, subject) = (vec![0; number(1) + 2], subject.to_owned());
                    let is_answer = sid == "1";
                    let reply = words[3..words.len() - sizes].concat();
                    self.reader.read_exact(&mut all).expect("a whole message");
                    all.truncate(all.len() - 2);
                    let body = all.split_off(head);
                    let head = String::from_utf8(all).expect("a head is text");
                    return (is_answer, Delivery { subject, reply, head, body });
                }
                _ => panic!("nats-server said: {line:?}"),
            }
        }
    }

    fn answer(&mut self) -> Delivery {
        loop {
            match self.message() {
                (true, answer) => return answer,
                (false, delivery) => self.early.push_back(delivery),
            }
        }
    }

    fn delivery(&mut self) -> Delivery {
        self.early.pop_front().unwrap_or_else(|| self.message().1)
    }

    /// Answers the next message that comes on any subscription.
    pub(crate) fn reply(&mut self, text: &str) {
        let asked = self.asked();
        self.reply_to(&asked, text);
    }

    /// Where the answer to the next message that comes on any subscription is to go.
    pub(crate) fn asked(&mut self) -> String {
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            if let ["HMSG", _, _, reply, ..] = words[..] {
                return reply.to_owned();
            }
        }
    }

    pub(crate) fn reply_to(&mut self, asked: &str, text: &str) {
        self.say(&format!("PUB {asked} {}\r\n{text}\r\n", text.len()));
    }

    /// Asks the API of JetStream.
    pub(crate) fn ask(&mut self, what: &str, question: &Value) -> Value {
        let question = question.to_string();
        self.say(&format!("PUB $JS.API.{what} answers {}\r\n{question}\r\n", question.len()));
        let Delivery { head, body, .. } = self.answer();
        assert!(head.is_empty(), "{what}: {head}");
        let answer: Value = serde_json::from_slice(&body).expect("an answer is JSON");
        assert!(answer["error"].is_null(), "{what}: {answer}");
        answer
    }

    pub(crate) fn create_stream(&mut self, more: &Value) {
        let mut stream = json!({"name": "T", "subjects": ["telemetry.>"], "storage": "file"});
        for (key, value) in more.as_object().expect("a table") {
            stream[key] = value.clone();
        }
        self.ask("STREAM.CREATE.T", &stream);
    }

    pub(crate) fn count(&mut self) -> u64 {
        let info = self.ask("STREAM.INFO.T", &json!({}));
        info["state"]["messages"].as_u64().expect("a count")
    }

    /// Consumes the stream from its first message to its last.
    pub(crate) fn consume(&mut self) -> Vec<Stored> {
        let count = self.count();
        let consumer = json!({
            "deliver_subject": "messages", "deliver_policy": "all", "ack_policy": "all",
            "max_ack_pending": UNACKNOWLEDGED_MAX,
        });
        let made = json!({"stream_name": "T", "config": consumer});
        let made = self.ask("CONSUMER.CREATE.T", &made);
        let stored = (1..=count).map(|number| self.stored(number % (UNACKNOWLEDGED_MAX / 2) == 0));
        let stored = stored.collect();
        let name = made["name"].as_str().expect("a name");
        self.ask(&format!("CONSUMER.DELETE.T.{name}"), &json!({}));
        stored
    }

    fn stored(&mut self, acknowledge: bool) -> Stored {
        let Delivery { subject, reply, head, body } = self.delivery();
        if acknowledge {
            self.say(&format!("PUB {reply} 4\r\n+ACK\r\n"));
        }
        let id = head.lines().find_map(|line| line.strip_prefix("Nats-Msg-Id: "));
        let id = id.expect("each message has an id").to_owned();
        Stored { subject, id, body: serde_json::from_slice(&body).expect("JSON") }
    }
}

/// Between a sink and a server: passes on everything, but can cut a connection where the server
/// acknowledges something, which it has stored by then.
#[derive(Debug)]
pub(crate) struct Cutter {
    pub(crate) address: String,
    cuts: Arc<AtomicUsize>,
    passed: Arc<AtomicU64>,
    connections: Arc<AtomicUsize>,
}

impl Cutter {
    /// Cuts so many connections.
    pub(crate) fn start(server: &str, cuts: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("an address").to_string();
        let (cuts, passed) = (Arc::new(AtomicUsize::new(cuts)), Arc::new(AtomicU64::new(0)));
        let (server, left, count) = (server.to_owned(), Arc::clone(&cuts), Arc::clone(&passed));
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        // It ends with the test process; nothing waits for it.
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                accepted.fetch_add(1, Ordering::Relaxed);
                let far = TcpStream::connect(&server).expect("connect to nats-server");
                let (near_too, far_too) = (near.try_clone(), far.try_clone());
                let count_too = Arc::clone(&count);
                std::thread::spawn(move || pass(near_too?, far_too?, &count_too));
                let (left, count) = (Arc::clone(&left), Arc::clone(&count));
                std::thread::spawn(move || pass_or_cut(far, near, &left, &count));
            }
        });
        Self { address, cuts, passed, connections }
    }

    /// Cuts so many more.
    pub(crate) fn cut(&self, more: usize) {
        self.cuts.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn are_done(&self) -> bool {
        self.cuts.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Bytes in both directions.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, passed: &AtomicU64) -> io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        match from.read(&mut piece)? {
            0 => return to.shutdown(Shutdown::Both),
            count => {
                passed.fetch_add(count as u64, Ordering::Relaxed);
                to.write_all(&piece[..count])?;
            }
        }
    }
}

/// Line by line, to find the first acknowledgement.
fn pass_or_cut(
    far: TcpStream,
    mut near: TcpStream,
    cuts: &AtomicUsize,
    passed: &AtomicU64,
) -> io::Result<()> {
    let mut reader = BufReader::new(far);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let less = |left: usize| left.checked_sub(1);
        let is_acknowledgement = line.starts_with(b"{\"stream\":");
        if is_acknowledgement
            && cuts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
        {
            // The server reads and stores what came with it, and time passes.
            std::thread::sleep(Duration::from_millis(300));
            break;
        }
        passed.fetch_add(line.len() as u64, Ordering::Relaxed);
        near.write_all(&line)?;
        line.clear();
    }
    near.shutdown(Shutdown::Both)
}
