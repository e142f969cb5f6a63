//! Asks a Prometheus which samples it has, by requests that change nothing.
//!
//! Remote write has no way to read. But Prometheus examines the samples of a request one after another,
//! reports the first error, and stores nothing of a request that it refuses (2.42 to 3.14:
//! `storage/remote/write_handler.go`). So a sample that is followed by one of 1970 is never stored, and the
//! answer shows what would have happened to it:
//!
//! | the series' newest sample is | answer |
//! |---|---|
//! | before it, or this very sample | `out of bounds` (of the one behind it) |
//! | of the same time with another value | `duplicate sample for timestamp` |
//! | after it | `out of order sample` |
//!
//! Two questions prove that a sample is there: its series accepts it as it is, and refuses one a
//! millisecond earlier.
//!
//! Which times the server accepts at all does not depend on the series, so a series of our own
//! (`outstation_write_probe`) shows that on any server.

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::in_doubt::Witness;
use super::samples::{Point, body};
use crate::transport::http_client::{HttpClient, Unsuccessful};
use crate::upload::SinkRefusal;

/// The sample that follows the one in question and is refused in any case.
#[derive(Debug)]
pub(super) enum GuardSample {
    /// A sample of 1970, refused as out of bounds.
    Of1970,
    /// A second value for the newest sample of our own series, refused as a duplicate.
    Marked { labels: Vec<u8>, other: Point },
}

const OF_1970: Point = Point { time_ms: 1, value: 0.0, seq: 0 };

/// Why a server refuses a request, from the words of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// The series has a newer sample.
    OutOfOrder,
    /// The series' newest sample has the same time and another value.
    Duplicate,
    /// The time is before, or long after, the times that any series accepts now.
    OutOfBounds,
    /// The time is before the window for samples out of order.
    TooOld,
}

impl Objection {
    /// Whether the server would say this of a sample that it has. It does not say `Duplicate` then, because
    /// that means another value.
    pub(super) fn may_be_of_a_repeat(self) -> bool {
        self == Self::OutOfOrder
    }

    /// Recognises the exact words of Prometheus only. Other servers use other words, and some store the
    /// good part of a request that they refuse.
    pub(super) fn in_answer(answer: &Unsuccessful) -> Option<Self> {
        match answer.said.as_str() {
            "out of order sample" => Some(Self::OutOfOrder),
            "out of bounds" => Some(Self::OutOfBounds),
            "too old sample" => Some(Self::TooOld),
            // Newer versions append the values.
            said if said.starts_with("duplicate sample for timestamp") => Some(Self::Duplicate),
            _ => None,
        }
    }
}

/// The outcome of a probe. The outer error is an answer that is not about a sample.
pub(super) type ProbeAnswer = Result<Result<(), Objection>, SinkRefusal>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Probe<'a> {
    pub(super) client: &'a HttpClient,
}

impl Probe<'_> {
    /// Whether the witness is the newest sample of its series.
    pub(super) async fn is_newest(&self, witness: &Witness) -> Result<bool, SinkRefusal> {
        let (newest, labels) = (witness.newest, &witness.labels);
        let before = Point { time_ms: newest.time_ms.saturating_sub(1), ..newest };
        Ok(self.would(labels, newest).await? == Err(Objection::OutOfBounds)
            && self.would(labels, before).await? == Err(Objection::OutOfOrder))
    }

    /// Whether the newest sample of a series is of this time or later.
    pub(super) async fn has_reached(
        &self,
        labels: &[u8],
        time: &Point,
    ) -> Result<bool, SinkRefusal> {
        let before = Point { time_ms: time.time_ms.saturating_sub(1), ..*time };
        Ok(self.would(labels, before).await? == Err(Objection::OutOfOrder))
    }

    /// Whether a series refuses a sample.
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

    /// Writes a sample of the present to our own series, to be used as a guard. `None` if the server
    /// refuses it.
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

    /// Whether any series would refuse a sample of this time. `labels` are those of our own series.
    pub(super) async fn is_past(&self, labels: &[u8], time_ms: i64) -> Result<bool, SinkRefusal> {
        let sample = Point { time_ms, value: 1.0, seq: 0 };
        let said = self.send(body([(labels, &[sample][..])].into_iter())).await?;
        Ok(said == Err(Objection::OutOfBounds))
    }

    /// Returns what would happen to a sample.
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

/// The headers of every remote-write request.
pub(super) fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let version = HeaderName::from_static("x-prometheus-remote-write-version");
    headers.insert(version, HeaderValue::from_static("0.1.0"));
    headers
}
