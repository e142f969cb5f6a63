//! The delivery over HTTP: encodes a batch, compresses it and posts it. `transport/http_client.rs` has the
//! connection.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::write::GzEncoder;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use outstation_codec::Batch;

use super::config::{Compression, Encoding, HttpConfig, precision};
use crate::domain::model::endpoint::Endpoint;
use crate::encoding::influx::{self, Dialect, Omitted, Precision};
use crate::encoding::json;
use crate::sinks::kind::SinkContext;
use crate::telemetry::events::{Report, ValuesOmitted};
use crate::transport::http_client::HttpClient;
use crate::upload::{Class, Deliver, DeliveryError, Receipt, Rejection, SinkRefusal, Unencoded};

/// The media type of a packed batch.
pub(crate) const PACKED: &str = "application/vnd.outstation.packed";
/// The media type of one JSON object per line.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// The media type of line protocol.
pub(crate) const LINES: &str = "text/plain; charset=utf-8";
/// The size in bytes of a reading with one or two channels in the `json` encoding.
const JSON_BYTES_PER_READING: u64 = 128;
/// The size in bytes of such a reading in the `influx` encoding.
const INFLUX_BYTES_PER_READING: u64 = 80;
/// Segments are compressed already; this level catches repetition between them.
const ZSTD_LEVEL: i32 = 3;

#[derive(Debug)]
pub(crate) struct HttpSink {
    sink: String,
    encoding: Encoding,
    compression: Compression,
    dialect: Dialect,
    client: HttpClient,
    /// Whether it has been reported that the encoding cannot express some values.
    omitted: AtomicBool,
}

impl HttpSink {
    pub(crate) fn new(config: &HttpConfig, endpoint: &Endpoint, context: &SinkContext) -> Self {
        let dialect = Dialect {
            measurement: config.measurement.clone(),
            integers: config.integers,
            precision: precision(&endpoint.url).unwrap_or(Precision::Nanoseconds),
        };
        Self {
            sink: context.sink.clone(),
            encoding: config.encoding,
            compression: config.compression,
            dialect,
            client: HttpClient::new(
                endpoint.url.clone(),
                config.access.clone(),
                context.wire.clone(),
            ),
            omitted: AtomicBool::new(false),
        }
    }
}

impl Deliver for HttpSink {
    async fn deliver(&self, batch: &Batch) -> Result<Receipt, SinkRefusal> {
        let (text, omitted) = self.encode(batch)?;
        let body = compress(text, self.compression).map_err(Uncompressed)?;
        let bytes = body.len() as u64;
        match self.client.post(self.headers(batch), body).await? {
            Ok(()) => {
                self.report(omitted);
                Ok(Receipt { bytes })
            }
            Err(answer) => Err(answer.into()),
        }
    }
}

impl HttpSink {
    /// The body before compression, and the count of values that the encoding cannot express.
    fn encode(&self, batch: &Batch) -> Result<(Vec<u8>, Omitted), SinkRefusal> {
        match self.encoding {
            Encoding::Packed => {
                let packed = batch.to_packed().map_err(Unencoded::new)?;
                Ok((packed, Omitted::default()))
            }
            Encoding::Json => {
                let lines = json::encode(batch).map_err(Unencoded::new)?;
                Ok((lines, Omitted::default()))
            }
            Encoding::Influx => Ok(influx::encode(batch, &self.dialect).map_err(Unencoded::new)?),
        }
    }

    fn headers(&self, batch: &Batch) -> HeaderMap {
        let media = match self.encoding {
            Encoding::Packed => PACKED,
            Encoding::Json => NDJSON,
            Encoding::Influx => LINES,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        let coding = match self.compression {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        };
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        if let Ok(id) = HeaderValue::from_str(&batch.id().to_string()) {
            headers.insert(HeaderName::from_static("idempotency-key"), id);
        }
        headers
    }

    fn report(&self, omitted: Omitted) {
        if omitted != Omitted::default() {
            let first = !self.omitted.swap(true, Ordering::Relaxed);
            let Omitted { values, readings } = omitted;
            ValuesOmitted { sink: &self.sink, values, readings, first }.report();
        }
    }
}

/// The size in bytes of a reading with one or two channels. `None` for the packed encoding.
pub(crate) fn bytes_per_reading(config: &HttpConfig) -> Option<u64> {
    match config.encoding {
        Encoding::Packed => None,
        Encoding::Json => Some(JSON_BYTES_PER_READING),
        Encoding::Influx => Some(INFLUX_BYTES_PER_READING),
    }
}

fn compress(text: Vec<u8>, compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(text),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&text)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::bulk::compress(&text, ZSTD_LEVEL),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("failed to compress the batch")]
struct Uncompressed(#[source] io::Error);

impl DeliveryError for Uncompressed {
    fn class(&self) -> Class {
        Class::Rejected(Rejection::Content)
    }
}

#[cfg(test)]
mod tests;
