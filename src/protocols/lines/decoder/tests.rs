//! Lines in every format: what they become, and how each error is counted.

use outstation_codec::{FaultStage, Value};
use proptest::prelude::*;

use super::*;
use crate::domain::model::ledger::Books;
use crate::protocols::lines::config::TimeUnit;

fn config(format: LineFormat) -> Lines {
    Lines { format, line_max: 200, ..Lines::default() }
}

fn csv(columns: &[&str], delimiter: u8) -> Lines {
    let columns = columns.iter().map(|column| (*column).to_owned()).collect();
    Lines { columns, delimiter, ..config(LineFormat::Csv) }
}

fn keyed() -> Lines {
    Lines {
        sensor_key: Some("sensor".into()),
        time_key: Some("ts".into()),
        time_unit: TimeUnit::Milliseconds,
        sequence_key: Some("seq".into()),
        ..config(LineFormat::Json)
    }
}

type Row = (String, Stamp, Vec<(String, Value)>);

struct Rig {
    decoder: LinesDecoder,
    out: Outbox,
}

impl Rig {
    fn new(config: &Lines) -> Self {
        Self { decoder: LinesDecoder::new("p", config), out: Outbox::default() }
    }

    fn feed(mut self, bytes: &[u8]) -> Self {
        self.out.intake.bytes += bytes.len() as u64;
        self.decoder.feed(bytes, 5, &mut self.out);
        self
    }

    fn fault(&self, fault: Fault) -> u64 {
        self.out.intake.faults.get(fault)
    }

    fn rows(&mut self) -> Vec<Row> {
        let sensors = self.out.readings.sensors().to_vec();
        let mut rows = Vec::new();
        self.out.readings.drain(|sensor, stamp, cells| {
            let sensor = &sensors[sensor];
            let named =
                cells.map(|(at, value)| (sensor.channels[usize::from(at)].name.clone(), value));
            rows.push((sensor.name.clone(), stamp, named.collect()));
        });
        rows
    }

    /// Checks that the account would balance if the outbox were handed over now.
    fn balanced(&self) {
        let mut intake = self.out.intake.clone();
        intake.bytes -= self.decoder.partial().bytes;
        let mut books = Books::default();
        books.took_in("p", &intake);
        let ledger = books.ledger(0, intake.accepted - intake.overflow, &[]);
        assert_eq!(ledger.imbalances(), Vec::<String>::new());
    }
}

fn cell(name: &str, value: Value) -> (String, Value) {
    (name.into(), value)
}

#[test]
fn a_json_line_becomes_a_reading_of_the_sensor_it_names() {
    let line =
        br#"{"sensor":"t1","seq":3,"ts":1700000000123,"value":21.37,"n":2,"ok":true,"x":null}"#;
    let mut rig = Rig::new(&keyed()).feed(line).feed(b"\r\n");
    rig.balanced();
    let cells = vec![
        cell("value", Value::F64(21.37)),
        cell("n", Value::Int(2)),
        cell("ok", Value::Bool(true)),
    ];
    assert_eq!(rig.rows(), [("t1".into(), Stamp::unix(1_700_000_000_123), cells)]);
}

#[test]
fn without_keys_the_port_is_the_sensor_and_arrival_is_the_time() {
    let mut rig = Rig::new(&config(LineFormat::Json)).feed(b"{\"v\":-1}\n");
    assert_eq!(rig.rows(), [("p".into(), Stamp::boot(5), vec![cell("v", Value::Int(-1))])]);
}

#[test]
fn an_array_takes_as_many_names_as_it_has_elements() {
    let rig = Rig::new(&config(LineFormat::Json)).feed(b"{\"a\":[],\"v\":[1,2]}\n");
    let names: Vec<&str> = rig.decoder.fields.names.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a", "v", "v.0", "v.1"]);
}

#[test]
fn nested_json_is_flattened_and_a_repeated_field_counts_once() {
    let mut rig = Rig::new(&config(LineFormat::Json))
        .feed(b"{\"a\":{\"b\":1,\"c\":[2,3]},\"d\":4,\"d\":5}\n");
    let cells = [("a.b", 1), ("a.c.0", 2), ("a.c.1", 3), ("d", 5)]
        .map(|(name, int)| cell(name, Value::Int(int)));
    assert_eq!(rig.rows()[0].2, cells);
}

#[test]
fn key_value_and_csv_lines_are_understood() {
    let mut rig =
        Rig::new(&config(LineFormat::KeyValue)).feed(b"temp=21.5, hum:40;state=ok flag=true\n");
    let cells = vec![
        cell("temp", Value::F64(21.5)),
        cell("hum", Value::Int(40)),
        cell("state", Value::Text("ok".into())),
        cell("flag", Value::Bool(true)),
    ];
    assert_eq!(rig.rows()[0].2, cells);
    let csv = Lines { sensor_key: Some("id".into()), ..csv(&["id", "t", "h"], b';') };
    let mut rig = Rig::new(&csv).feed(b"id;t;h\nnorth; 20.25 ;\nnorth;1\n");
    rig.balanced();
    assert_eq!((rig.fault(Fault::NoValue), rig.fault(Fault::Unparsable)), (1, 1));
    assert_eq!(rig.rows(), [("north".into(), Stamp::boot(5), vec![cell("t", Value::F64(20.25))])]);
}

#[test]
fn times_are_read_in_their_unit_or_as_rfc_3339() {
    let cases = [
        (TimeUnit::Seconds, "1700000000.5", 1_700_000_000_500),
        (TimeUnit::Seconds, "1700000000", 1_700_000_000_000),
        (TimeUnit::Milliseconds, "1700000000001", 1_700_000_000_001),
        (TimeUnit::Microseconds, "1700000000001999", 1_700_000_000_001),
        (TimeUnit::Seconds, "\"2023-11-14T22:13:20Z\"", 1_700_000_000_000),
    ];
    for (unit, text, ms) in cases {
        let time_key = Some("ts".into());
        let line = format!("{{\"ts\":{text},\"v\":1}}\n");
        let mut rig = Rig::new(&Lines { time_key, time_unit: unit, ..config(LineFormat::Json) })
            .feed(line.as_bytes());
        assert_eq!(rig.rows()[0].1, Stamp::unix(ms), "{line}");
    }
}

#[test]
fn every_way_of_being_wrong_has_its_own_count() {
    let cases: [(&[u8], Fault); 10] = [
        (b"\xFF\xFE\n", Fault::NotUtf8),
        (&[b'x'; 300], Fault::TooLong),
        (b"{\"ts\":1,\"v\":\n", Fault::Unparsable),
        (b"[1,2]\n", Fault::Unparsable),
        (b"{\"v\":1}\n", Fault::Time),
        (b"{\"ts\":true,\"v\":1}\n", Fault::Time),
        (b"{\"ts\":-5,\"v\":1}\n", Fault::Time),
        (b"{\"ts\":1700000000123000,\"v\":1}\n", Fault::Time),
        (b"{\"ts\":1}\n", Fault::NoValue),
        (b"{\"ts\":1,\"sensor\":1.5,\"v\":1}\n", Fault::Unparsable),
    ];
    for (bytes, fault) in cases {
        let rig = Rig::new(&keyed()).feed(bytes).feed(b"\n");
        assert_eq!(rig.fault(fault), 1, "{fault:?}: {:?}", rig.out.intake);
        rig.balanced();
    }
}

#[test]
fn an_over_long_line_is_one_fault_and_the_next_line_is_fine() {
    let mut rig = Rig::new(&config(LineFormat::Json))
        .feed(&[b'x'; 150])
        .feed(&[b'y'; 1000])
        .feed(b"z\n{\"v\":1}\n");
    assert_eq!((rig.fault(Fault::TooLong), rig.rows().len()), (1, 1));
    rig.balanced();
}

#[test]
fn sequence_gaps_and_restarts_are_noticed() {
    let line = |seq: u64| format!("{{\"ts\":1,\"seq\":{seq},\"v\":1}}\n");
    let text = [1, 2, 5, 6, 0].map(line).concat();
    let rig = Rig::new(&keyed()).feed(text.as_bytes());
    assert_eq!((rig.fault(Fault::SequenceGap), rig.fault(Fault::SensorRestart)), (2, 1));
    assert_eq!(rig.out.intake.faults.total(FaultStage::Decode), 0);
}

#[test]
fn a_channel_that_alternates_between_types_stays_one_sensor() {
    let text = "{\"v\":20}\n{\"v\":20.5}\n".repeat(50);
    let rig = Rig::new(&config(LineFormat::Json)).feed(text.as_bytes());
    assert_eq!(rig.out.readings.len(), 100);
    assert!(rig.out.readings.sensors().len() <= 2, "{}", rig.out.readings.sensors().len());
}

#[test]
fn names_without_end_are_refused_in_bounded_memory() {
    let mut rig = Rig::new(&keyed());
    for number in 0..2 * SENSORS_MAX {
        rig = rig.feed(format!("{{\"ts\":1,\"sensor\":\"s{number}\",\"v\":1}}\n").as_bytes());
    }
    assert_eq!(rig.fault(Fault::TooMany), SENSORS_MAX as u64);
    for number in 0..10_000 {
        rig = rig.feed(format!("{{\"ts\":1,\"sensor\":\"s1\",\"v{number}\":1}}\n").as_bytes());
    }
    assert!(rig.decoder.fields.names.len() < 2000);
    rig.balanced();
}

proptest! {
    #[test]
    fn any_bytes_in_any_chunks_are_accounted_for(
        chunks in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..50),
                "\\{\"ts\":[0-9]{1,3},\"v\":[0-9]{1,4}\\}\n".prop_map(String::into_bytes),
                "[\\[{]{0,300}".prop_map(String::into_bytes),
            ],
            0..30,
        ),
    ) {
        for lines in [config(LineFormat::Json), config(LineFormat::KeyValue), csv(&["a"], b',')] {
            let mut rig = Rig::new(&lines);
            for chunk in &chunks {
                rig = rig.feed(chunk);
            }
            rig.balanced();
            rig.decoder.interrupted(&mut rig.out);
            rig.balanced();
        }
    }
}
