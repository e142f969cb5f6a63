//! A receiver that opens every batch and notes what it was offered, and when.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outstation_codec::{Batch, PublishedEvent, Value};
use serde::{Deserialize, Serialize};

use crate::sensor::{now, text};
use crate::watched::Watched;

/// One request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// When all of it was there; before it was answered.
    pub(crate) at: u64,
    pub(crate) accepted: bool,
    pub(crate) content: Content,
}

/// What a batch says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) epoch: u64,
    /// Sequence number, and the number the sensor gave.
    pub(crate) readings: Vec<(u64, u64)>,
    pub(crate) evicted: Vec<(u64, u64)>,
}

impl Content {
    /// The first and last number, and that none is missing between.
    pub(crate) fn range(&self) -> Option<(u64, u64)> {
        let ((first, _), (last, _)) = (self.readings.first()?, self.readings.last()?);
        assert_eq!(last - first + 1, self.readings.len() as u64, "a batch has a gap");
        Some((*first, *last))
    }

    /// Reads a batch of a sensor whose texts are `length` long.
    pub(crate) fn of(batch: &Batch, length: usize) -> Result<Self, String> {
        let mut content = Self { epoch: batch.epoch, ..Self::default() };
        let mut strange = None;
        batch
            .for_each(|dated| {
                let value = |name: &str| {
                    let at = dated.sensor.channels.iter().position(|channel| channel.name == name);
                    let mut cells = dated.reading.cells.iter();
                    cells.find(|(channel, _)| Some(usize::from(*channel)) == at).map(|cell| cell.1)
                };
                let seq = dated.reading.seq;
                match (value("n"), value("x")) {
                    (Some(Value::Int(n)), Some(Value::Text(x)))
                        if *text(n.unsigned_abs(), length) == **x =>
                    {
                        content.readings.push((seq, n.unsigned_abs()));
                    }
                    _ => strange = Some(format!("number {seq} is {:?}", dated.reading.cells)),
                }
            })
            .map_err(|error| format!("a batch does not decode: {error}"))?;
        for record in &batch.events {
            if let PublishedEvent::Evicted { first, last, .. } = record.event {
                content.evicted.push((first, last));
            }
        }
        strange.map_or(Ok(content), Err)
    }
}

#[derive(Debug)]
struct Shared {
    accepting: AtomicBool,
    length: usize,
    offers: Watched<Vec<Offer>>,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

impl Upstream {
    pub(crate) fn start(length: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("an address").to_string();
        let (accepting, offers) = (AtomicBool::new(true), Watched::default());
        let shared = Arc::new(Shared { accepting, length, offers });
        let service = Arc::clone(&shared);
        // They end with the test process; nothing waits for them.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let service = Arc::clone(&service);
                std::thread::spawn(move || drop(converse(&stream, &service)));
            }
        });
        Self { address, shared }
    }

    /// Whether it takes what it is offered, from the next request on.
    pub(crate) fn accept(&self, accepting: bool) {
        self.shared.accepting.store(accepting, Ordering::Relaxed);
    }

    pub(crate) fn offers(&self) -> Vec<Offer> {
        self.shared.offers.with(Clone::clone)
    }

    /// Waits until what it was offered is good.
    pub(crate) fn until(&self, what: &str, good: impl Fn(&[Offer]) -> bool) -> Result<(), String> {
        self.shared.offers.until(what, |offers| good(offers))
    }
}

/// The highest number of the sensor in what was accepted.
pub(crate) fn highest(offers: &[Offer]) -> u64 {
    let accepted = offers.iter().filter(|offer| offer.accepted);
    accepted.flat_map(|offer| &offer.content.readings).map(|(_, n)| *n).max().unwrap_or(0)
}

fn converse(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(body) = request(&mut reader)? {
        let batch = zstd::decode_all(&body[..])?;
        let batch: Batch = postcard::from_bytes(&batch).expect("a batch");
        let content = Content::of(&batch, shared.length).expect("what the sensor said");
        let accepted = shared.accepting.load(Ordering::Relaxed);
        let offer = Offer { at: now(), accepted, content };
        shared.offers.change(|offers| offers.push(offer));
        let status = if accepted { "200 OK" } else { "503 Service Unavailable" };
        write!(writer, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")?;
    }
    Ok(())
}

/// The body of the next request.
fn request(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            from.read_exact(&mut body)?;
            return Ok(Some(body));
        }
        if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            body.resize(length.trim().parse().unwrap_or(0), 0);
        }
    }
}
