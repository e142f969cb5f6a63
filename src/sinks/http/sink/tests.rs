//! Invariants checked: the same text arrives whatever the compression, and each encoding has the assumed
//! size.

use std::io::Read as _;

use outstation_codec::{Channel, Sensor, Stamp, Value, ValueType};

use super::*;
use crate::bench::w1::{SENSORS, W1Readings};
use crate::test_kit::batches;

/// A batch of as many seconds of the workload W1, with one commit per second.
fn w1(seconds: u64) -> Batch {
    let mut samples = W1Readings::new();
    let sensor = |number: usize| Sensor {
        port: "mcu".into(),
        name: format!("t{number}"),
        channels: vec![Channel { name: "value".into(), unit: "Cel".into(), kind: ValueType::F64 }],
    };
    let segment = |second| {
        let rows = samples.by_ref().take(1000).map(|sample| {
            let number = u32::try_from(sample.sensor).expect("ten");
            let stamp = Stamp::unix(i64::try_from(sample.ts).expect("a date"));
            (number, stamp, vec![Value::F64(sample.value)])
        });
        batches::segment_of(second * 1000 + 1, rows)
    };
    let batch =
        batches::batch((0..SENSORS).map(sensor).collect(), (0..seconds).map(segment).collect());
    Batch { device: "pump-7".into(), epoch: 0x1234_5678_9abc, ..batch }
}

fn sink(encoding: Encoding, compression: Compression) -> HttpSink {
    let config = HttpConfig { encoding, compression, ..HttpConfig::default() };
    let endpoint = Endpoint { url: "http://127.0.0.1:1/".into(), ..Endpoint::default() };
    HttpSink::new(&config, &endpoint, &SinkContext::for_tests())
}

fn text(batch: &Batch, encoding: Encoding) -> Vec<u8> {
    sink(encoding, Compression::None).encode(batch).expect("sound").0
}

#[test]
fn gzip_and_zstd_hold_the_text_and_say_so() {
    let batch = w1(1);
    let plain = text(&batch, Encoding::Json);
    let gzip = compress(plain.clone(), Compression::Gzip).expect("memory");
    let mut back = Vec::new();
    flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut back).expect("gzip");
    assert_eq!(back, plain);
    let zstd = compress(plain.clone(), Compression::Zstd).expect("memory");
    assert_eq!(zstd::decode_all(zstd.as_slice()).expect("zstd"), plain);
    let coding = |compression| {
        let headers = sink(Encoding::Json, compression).headers(&batch);
        headers.get(CONTENT_ENCODING).map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(coding(Compression::None), None);
    assert_eq!(coding(Compression::Gzip).as_deref(), Some("gzip"));
    assert_eq!(coding(Compression::Zstd).as_deref(), Some("zstd"));
}

/// Prints the figures of `docs/develop/figures.md` with `--nocapture`.
#[test]
#[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
fn a_reading_of_w1_takes_the_bytes_that_the_batch_limits_assume() {
    let batch = w1(2);
    let each = |bytes: usize| bytes as f64 / batch.readings() as f64;
    for (name, encoding) in
        [("packed", Encoding::Packed), ("json", Encoding::Json), ("influx", Encoding::Influx)]
    {
        let plain = text(&batch, encoding);
        for (how, compression) in [("gzip", Compression::Gzip), ("zstd", Compression::Zstd)] {
            let body = compress(plain.clone(), compression).expect("memory");
            println!("{name}: {:.1} plain, {:.1} {how}", each(plain.len()), each(body.len()));
            assert!(encoding == Encoding::Packed || body.len() * 6 < plain.len());
        }
        let config = HttpConfig { encoding, ..HttpConfig::default() };
        if let Some(assumed) = bytes_per_reading(&config) {
            let measured = each(plain.len());
            assert!((0.7..1.1).contains(&(measured / assumed as f64)), "{name}: {measured}");
        }
    }
}
