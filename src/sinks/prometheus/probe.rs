//! Asks a Prometheus what it has, by requests that change nothing.
//!
//! Remote write has no way to read. But Prometheus looks at the samples of a request one after another,
//! says what is wrong with the first that is wrong, and stores nothing of a request that it refuses
//! (2.42 to 3.14: `storage/remote/write_handler.go`). So a sample that is followed by one of 1970 is
//! never stored, and the answer tells what would have become of it:
//!
//! | the series' newest sample is | answer |
//! |---|---|
//! | before it, or this very sample | `out of bounds` (of the one behind it) |
//! | of the same time with another value | `duplicate sample for timestamp` |
//! | after it | `out of order sample` |
//!
//! Two questions prove that a sample is there: its series takes it as it is, and takes none a
//! millisecond earlier.
//!
//! Which times the server takes at all does not depend on the series, so a series of our own
//! (`outstation_write_probe`) shows it, on any server.

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::in_doubt::Witness;
use super::samples::{Point, body};
use crate::transport::http_client::{HttpClient, Unsuccessful};
use crate::upload::SinkRefusal;

/// What follows a sample in question, and is refused in any case.
#[derive(Debug)]
pub(super) enum GuardSample {
    /// As out of bounds.
    Of1970,
    /// As a duplicate: another value of the newest sample of a series of our own.
    Marked { labels: Vec<u8>, other: Point },
}

const OF_1970: Point = Point { time_ms: 1, value: 0.0, seq: 0 };

/// What a server has against a request, in Prometheus' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// The series has a newer sample.
    OutOfOrder,
    /// The series' newest sample is of this very time, and another.
    Duplicate,
    /// Before (or long after) the times that are written now, of any series.
    OutOfBounds,
    /// Before the window for samples out of order.
    TooOld,
}

impl Objection {
    /// Whether it is said of what the server has, too. A duplicate is another value than it has.
    pub(super) fn may_be_of_a_repeat(self) -> bool {
        self == Self::OutOfOrder
    }

    /// Said in other words, it may be meant otherwise: other servers store what is good of a request
    /// that they refuse.
    pub(super) fn in_answer(answer: &Unsuccessful) -> Option<Self> {
        match answer.said.as_str() {
            "out of order sample" => Some(Self::OutOfOrder),
            "out of bounds" => Some(Self::OutOfBounds),
            "too old sample" => Some(Self::TooOld),
            // Newer ones add which values.
            said if said.starts_with("duplicate sample for timestamp") => Some(Self::Duplicate),
            _ => None,
        }
    }
}

/// What becomes of a request, unless the answer is not about a sample.
pub(super) type ProbeAnswer = Result<Result<(), Objection>, SinkRefusal>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Probe<'a> {
    pub(super) client: &'a HttpClient,
}

impl Probe<'_> {
    /// Whether a series' newest sample is this one.
    pub(super) async fn is_newest(&self, witness: &Witness) -> Result<bool, SinkRefusal> {
        let (newest, labels) = (witness.newest, &witness.labels);
        let before = Point { time_ms: newest.time_ms.saturating_sub(1), ..newest };
        Ok(self.would(labels, newest).await? == Err(Objection::OutOfBounds)
            && self.would(labels, before).await? == Err(Objection::OutOfOrder))
    }

    /// Whether a series' newest sample is of this time or later.
    pub(super) async fn has_reached(
        &self,
        labels: &[u8],
        time: &Point,
    ) -> Result<bool, SinkRefusal> {
        let before = Point { time_ms: time.time_ms.saturating_sub(1), ..*time };
        Ok(self.would(labels, before).await? == Err(Objection::OutOfOrder))
    }

    /// Whether a series does not take a sample.
    pub(super) async fn refuses(
        &self,
        labels: &[u8],
        sample: Point,
        guard: &GuardSample,
    ) -> Result<bool, SinkRefusal> {
        let said = self.would_under(guard, labels, sample).await?;
        Ok(match guard {
            GuardSample::Of1970 => {
                [Err(Objection::OutOfOrder), Err(Objection::Duplicate)].contains(&said)
            }
            GuardSample::Marked { .. } => said != Ok(()) && said != Err(Objection::Duplicate),
        })
    }

    /// Gives the series of our own a sample of this moment, as a guard.
    pub(super) async fn mark(
        &self,
        labels: &[u8],
        now_ms: i64,
    ) -> Result<Option<GuardSample>, SinkRefusal> {
        let mark = Point { time_ms: now_ms, value: 1.0, seq: 0 };
        let said = self.send(body([(labels, &[mark][..])].into_iter())).await?;
        let guard =
            GuardSample::Marked { labels: labels.to_owned(), other: Point { value: 2.0, ..mark } };
        Ok(said.is_ok().then_some(guard))
    }

    /// Whether a sample of this time would be refused whatever its series; `labels` are the probe's.
    pub(super) async fn is_past(&self, labels: &[u8], time_ms: i64) -> Result<bool, SinkRefusal> {
        let sample = Point { time_ms, value: 1.0, seq: 0 };
        let said = self.send(body([(labels, &[sample][..])].into_iter())).await?;
        Ok(said == Err(Objection::OutOfBounds))
    }

    /// What would become of a sample.
    async fn would(&self, labels: &[u8], sample: Point) -> ProbeAnswer {
        self.would_under(&GuardSample::Of1970, labels, sample).await
    }

    async fn would_under(&self, guard: &GuardSample, labels: &[u8], sample: Point) -> ProbeAnswer {
        let request = match guard {
            GuardSample::Of1970 => body([(labels, &[sample, OF_1970][..])].into_iter()),
            GuardSample::Marked { labels: marked, other } => {
                let (sample, other) = ([sample], [*other]);
                body([(labels, &sample[..]), (marked, &other[..])].into_iter())
            }
        };
        self.send(request).await
    }

    async fn send(&self, body: Vec<u8>) -> ProbeAnswer {
        match self.client.post(headers(), body).await? {
            Ok(()) => Ok(Ok(())),
            Err(answer) => match Objection::in_answer(&answer) {
                Some(objection) => Ok(Err(objection)),
                None => Err(answer.into()),
            },
        }
    }
}

/// Of every remote-write request.
pub(super) fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let version = HeaderName::from_static("x-prometheus-remote-write-version");
    headers.insert(version, HeaderValue::from_static("0.1.0"));
    headers
}
