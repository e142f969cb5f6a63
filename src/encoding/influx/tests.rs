//! Invariants checked: a line has the values of its reading, with types that do not change; no name or text
//! breaks out of its place; values that cannot be expressed are counted.

use outstation_codec::{Anchor, Sensor, Stamp};
use proptest::prelude::*;

use super::*;
use crate::test_kit::batches;

const MS: i64 = 1_767_225_600_123;

fn dialect() -> Dialect {
    Dialect {
        measurement: Template::parse("{sensor}").expect("sound"),
        integers: Integers::Integer,
        precision: Precision::Nanoseconds,
    }
}

fn sensor(port: &str, name: &str, channels: &[(&str, ValueType)]) -> Sensor {
    Sensor { port: port.into(), ..batches::sensor(name, channels) }
}

/// A batch of one sensor whose readings are numbered from `first_seq`.
fn batch(sensor: Sensor, first_seq: u64, rows: &[(Stamp, Vec<Value>)]) -> Batch {
    let segment = batches::segment(first_seq, rows.iter().cloned());
    Batch { device: "pump-7".into(), ..batches::batch(vec![sensor], vec![segment]) }
}

fn lines(batch: &Batch, dialect: &Dialect) -> (Vec<String>, Omitted) {
    let (text, omitted) = encode(batch, dialect).expect("sound");
    let text = String::from_utf8(text).expect("text");
    (text.lines().map(str::to_owned).collect(), omitted)
}

fn one(sensor: Sensor, values: Vec<Value>) -> String {
    let (lines, omitted) = lines(&batch(sensor, 42, &[(Stamp::unix(MS), values)]), &dialect());
    assert_eq!((lines.len(), omitted), (1, Omitted::default()), "{lines:?}");
    lines[0].clone()
}

#[test]
fn every_type_is_written_as_the_protocol_has_it() {
    use ValueType::{Bool, F32, F64, Int, Text};
    let kinds = [("f", F32), ("d", F64), ("n", Int), ("open", Bool), ("s", Text), ("e", F64)];
    let values = vec![
        Value::F32(0.1),
        Value::F64(-1.5e-7),
        Value::Int(i64::MIN),
        Value::Bool(true),
        Value::Text("a \"b\" \\ c,d=e é".into()),
        Value::F64(1e300),
    ];
    assert_eq!(
        one(sensor("mcu", "t1", &kinds), values),
        "t1,device=pump-7,port=mcu,sensor=t1 f=0.1,d=-1.5e-7,n=-9223372036854775808i,open=t,\
         s=\"a \\\"b\\\" \\\\ c,d=e é\",e=1e300 1767225600123000042"
    );
}

#[test]
fn a_field_keeps_the_type_of_its_channel() {
    use ValueType::{F64, Int, Text};
    let kinds = [("a", F64), ("b", Int), ("c", F64), ("d", Text), ("e", Text), ("g", Text)];
    let values = vec![
        Value::Int(20),
        Value::Bool(true),
        Value::Bool(false),
        Value::Int(5),
        Value::F64(0.5),
        Value::Bool(true),
    ];
    let line = one(sensor("p", "s", &kinds), values);
    assert!(line.contains(" a=20,b=1i,c=0,d=\"5\",e=\"0.5\",g=\"true\" "), "{line}");
    let float = Dialect { integers: Integers::Float, ..dialect() };
    let whole =
        batch(sensor("p", "s", &[("n", Int)]), 1, &[(Stamp::unix(MS), vec![Value::Int(7)])]);
    assert!(lines(&whole, &float).0[0].contains(" n=7 "));
}

#[test]
fn names_are_escaped_and_what_the_protocol_cannot_say_is_replaced() {
    let kinds = [("t, 1=\"x\\", ValueType::Int), ("time", ValueType::Int)];
    let line = one(sensor("p=1", "#a, b=c\\", &kinds), vec![Value::Int(1), Value::Int(2)]);
    assert_eq!(
        line,
        "_a\\,\\ b=c/,device=pump-7,port=p\\=1,sensor=#a\\,\\ b\\=c/ t\\,\\ 1\\='x/=1i,time_=2i \
         1767225600123000042"
    );
    let line = one(sensor("p", "", &[("", ValueType::Bool)]), vec![Value::Bool(false)]);
    assert_eq!(line, "_,device=pump-7,port=p _=f 1767225600123000042");
}

#[test]
fn the_measurement_follows_its_template() {
    let template = Template::parse("{device}.{port} x").expect("sound");
    let dialect = Dialect { measurement: template, ..dialect() };
    let batch = batch(
        sensor("p", "s", &[("n", ValueType::Int)]),
        1,
        &[(Stamp::unix(1), vec![Value::Int(1)])],
    );
    assert_eq!(
        lines(&batch, &dialect).0,
        ["pump-7.p\\ x,device=pump-7,port=p,sensor=s n=1i 1000001"]
    );
}

#[test]
fn readings_of_one_millisecond_are_points_of_their_own_at_finer_precisions_alone() {
    let rows: Vec<_> = (0..3).map(|n| (Stamp::unix(MS), vec![Value::Int(n)])).collect();
    let batch = batch(sensor("p", "s", &[("n", ValueType::Int)]), 2_999_999, &rows);
    let times = |dialect: &Dialect| -> Vec<String> {
        let (lines, _) = lines(&batch, dialect);
        lines.iter().filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect()
    };
    let nanoseconds = ["1767225600123999999", "1767225600123000000", "1767225600123000001"];
    assert_eq!(times(&dialect()), nanoseconds);
    let milliseconds = Dialect { precision: Precision::Milliseconds, ..dialect() };
    assert_eq!(times(&milliseconds), ["1767225600123"; 3]);
}

#[test]
fn what_cannot_be_said_is_left_out_and_counted() {
    let kinds = [("a", ValueType::F64), ("b", ValueType::F32)];
    let row = |a, b| (Stamp::unix(MS), vec![Value::F64(a), Value::F32(b)]);
    let mut rows = vec![row(f64::NAN, 1.0), row(f64::INFINITY, f32::NAN), row(1.0, 2.0)];
    rows.push((Stamp::unix(i64::MAX / 1000), vec![Value::F64(1.0), Value::F32(1.0)]));
    let (lines, omitted) = lines(&batch(sensor("p", "s", &kinds), 1, &rows), &dialect());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains(" b=1.0 ") && lines[1].contains(" a=1.0,b=2.0 "), "{lines:?}");
    assert_eq!(omitted, Omitted { values: 3, readings: 2 });
}

#[test]
fn a_reading_from_before_the_clock_was_set_is_marked() {
    let kinds = [("n", ValueType::Int)];
    let mut early = batch(sensor("p", "s", &kinds), 5, &[(Stamp::boot(1500), vec![Value::Int(1)])]);
    assert_eq!(
        lines(&early, &dialect()).0,
        ["s,clock=unset,device=pump-7,port=p,sensor=s n=1i 1500000005"]
    );
    early.boots = vec![(0, Some(Anchor::new(MS, 1500)))];
    assert_eq!(
        lines(&early, &dialect()).0,
        ["s,device=pump-7,port=p,sensor=s n=1i 1767225600123000005"]
    );
}

/// Divides a line as parsers do: at blanks that are neither escaped nor quoted.
fn parts(line: &str) -> Vec<String> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in line.chars() {
        match c {
            ' ' if !quoted && !escaped => parts.push(String::new()),
            _ => {
                // Quotes have a meaning in the fields only.
                quoted ^= c == '"' && !escaped && parts.len() == 2;
                parts.last_mut().expect("one").push(c);
            }
        }
        escaped = c == '\\' && !escaped;
    }
    parts
}

proptest! {
    #[test]
    fn no_name_or_text_breaks_out_of_its_line(
        port in ".{0,8}", name in "[-,= \\\\\"#a\u{7f}]{0,12}", key in "[,= \\\\\"#a]{0,8}",
        text in "(?s)[-,= \\\\\"#a\n\r]{0,20}",
    ) {
        let sensor = sensor(&port, &name, &[(&key, ValueType::Text)]);
        let line = one(sensor, vec![Value::Text(text.into())]);
        let parts = parts(&line);
        prop_assert_eq!(parts.len(), 3, "{}", line);
        prop_assert_eq!(parts[2].as_str(), "1767225600123000042");
        prop_assert!(!line.starts_with('#'));
    }
}
