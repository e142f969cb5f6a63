//! Checks the sender, the encoding and the size of an upload, and reads headers and body into an
//! [`UploadBody`].

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::UploadRefusal;
use super::upload::{UploadBody, UploadEncoding};

const BODY_BYTES_MAX: usize = 16 << 20;
/// The size of all bodies in memory together. Without this bound 64 connections could hold a gigabyte.
const BODIES_BYTES_MAX: usize = 64 << 20;
/// The number of bytes of a refused body that are read and dropped. A client that is still writing when the
/// connection closes would get a reset instead of the reason.
const DRAIN_BYTES_MAX: u64 = 64 << 20;

const PACKED: &str = "application/vnd.outstation.packed";
const LINES: &str = "application/x-ndjson";

const BEARER: &[u8] = b"Bearer ";

#[derive(Debug)]
pub(super) struct Reception {
    token: Option<String>,
    room: Arc<Semaphore>,
}

impl Reception {
    pub(super) fn new(token: Option<String>) -> Self {
        Self { token, room: Arc::new(Semaphore::new(BODIES_BYTES_MAX)) }
    }

    /// Checks the headers, then reads the body. The permit reserves the memory of the body until it is
    /// dropped.
    pub(super) async fn take(
        &self,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Result<(UploadBody, OwnedSemaphorePermit), UploadRefusal> {
        self.admit(headers)?;
        let encoding = encoding(headers)?;
        let announced = body.size_hint().lower();
        check_size(announced)?;
        let mut room = self.room_for(0)?;
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(UploadRefusal::Cut)?.into_data() else { continue };
            check_size((bytes.len() + data.len()) as u64)?;
            room.merge(self.room_for(data.len())?);
            bytes.extend_from_slice(&data);
        }
        Ok((UploadBody { encoding, body: bytes.freeze() }, room))
    }

    fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, UploadRefusal> {
        let bytes = u32::try_from(bytes).map_err(|_| UploadRefusal::Busy)?;
        Arc::clone(&self.room).try_acquire_many_owned(bytes).map_err(|_| UploadRefusal::Busy)
    }

    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), UploadRefusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let shown = headers.get(header::AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
        let shown = match shown.split_at_checked(BEARER.len()) {
            Some((scheme, shown)) if scheme.eq_ignore_ascii_case(BEARER) => shown,
            _ => return Err(UploadRefusal::Token),
        };
        if same(shown, token.as_bytes()) { Ok(()) } else { Err(UploadRefusal::Token) }
    }
}

/// Compares two texts in a time that does not depend on where they differ, so that a token cannot be
/// guessed byte by byte.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| std::hint::black_box(differ | (a ^ b)));
    a.len() == b.len() && differ == 0
}

fn encoding(headers: &HeaderMap) -> Result<UploadEncoding, UploadRefusal> {
    let plain = |name| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let value = value.unwrap_or("").split(';').next().unwrap_or("");
        value.trim().to_ascii_lowercase()
    };
    let compression = plain(header::CONTENT_ENCODING);
    match (plain(header::CONTENT_TYPE).as_str(), compression.as_str()) {
        (PACKED, "" | "zstd") => Ok(UploadEncoding::Packed),
        (LINES, "" | "identity") => Ok(UploadEncoding::Lines),
        (LINES, "zstd") => Ok(UploadEncoding::ZstdLines),
        (LINES, "gzip") => Ok(UploadEncoding::GzipLines),
        (PACKED | LINES, _) => Err(UploadRefusal::Encoding),
        _ => Err(UploadRefusal::MediaType),
    }
}

fn check_size(bytes: u64) -> Result<(), UploadRefusal> {
    if bytes > BODY_BYTES_MAX as u64 {
        return Err(UploadRefusal::TooLarge { what: "body", bytes_max: BODY_BYTES_MAX });
    }
    Ok(())
}

pub(super) async fn drain(mut body: Incoming) {
    let mut left = DRAIN_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
