//! The `http` sink before real servers: InfluxDB and VictoriaMetrics hold exactly what the sensors
//! said; compression, passwords and headers work; `check` finds what would keep it from sending.

use outstation_wire::{MAX_FRAME, Sample, Value as Wire};
use serde_json::{Value, json};

use crate::kit::collector::Collector;
use crate::kit::http::get;
use crate::kit::influxdb::InfluxDb;
use crate::kit::program::outstation;
use crate::kit::readings::{hello, json_lines, json_values, sample_values, samples};
use crate::kit::site::{Site, json_port, postcard_port, sink};
use crate::kit::tsdb::Tsdb;
use crate::kit::upstream::{Act, Upstream, answer};
use crate::kit::wait::eventually;

fn influx_sink(address: &str, query: &str, rest: &str) -> String {
    sink(address, &format!("encoding = \"influx\"\n{rest}"))
        .replace("/v1/readings", &format!("/write{query}"))
        .replace("500ms", "10s")
}

/// Numbers are compared as such where a float is meant: `-20` is what JSON makes of `-20.0`.
fn is(found: &Value, meant: &Value) -> bool {
    match meant.as_object() {
        Some(fields) => fields.iter().all(|(name, meant)| is(&found[name], meant)),
        None if meant.is_f64() => found.as_f64() == meant.as_f64(),
        None => found == meant,
    }
}

/// Every row is what was meant, in order, at a time of today, and numbered within its millisecond.
fn assert_rows(rows: &[Value], meant: &[Value], tags: &[(&str, &str)]) {
    assert_eq!(rows.len(), meant.len());
    for (row, meant) in rows.iter().zip(meant) {
        assert!(is(row, meant), "{row} is not {meant}");
        let time = row["time"].as_i64().expect("a time");
        assert!(time > 1_735_689_600_000_000_000, "{row}");
        assert!(tags.iter().all(|(tag, value)| row[*tag] == *value), "{row}");
        let fields = meant.as_object().expect("an object").len() + tags.len() + 1;
        assert_eq!(row.as_object().map(serde_json::Map::len), Some(fields), "{row}");
    }
    let mut numbers: Vec<_> =
        rows.iter().map(|row| row["time"].as_u64().unwrap_or(0) % 1_000_000).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), rows.len(), "each has its own number");
}

#[test]
fn influxdb_holds_every_reading_once_with_its_very_values_and_types() {
    let site = Site::new();
    let Some(influxdb) = InfluxDb::start(&site, false) else { return };
    influxdb.query("", "CREATE DATABASE site");
    // The first answers are lost on their way: the same points are written once more.
    let cut = Act::ForwardAndCut(influxdb.address.clone());
    let upstream = Upstream::start([cut.clone(), cut, Act::Forward(influxdb.address.clone())]);
    let (mut mcu, mut text) = (site.plug("mcu"), site.plug("text"));
    let config = postcard_port(&mcu) + &json_port(&text);
    let daemon = site.start(&(config + &influx_sink(&upstream.address, "?db=site", "")));
    mcu.send(hello());
    mcu.send(samples(0..200));
    text.send(json_lines(0..1000));
    daemon.delivered(1200);
    let tags = |name| [("device", "site"), ("port", name), ("sensor", name)];
    assert_rows(&influxdb.query("", "SELECT * FROM mcu"), &sample_values(0..200), &tags("mcu"));
    assert_rows(&influxdb.query("", "SELECT * FROM text"), &json_values(0..1000), &tags("text"));
    let types: Vec<_> = influxdb
        .query("", "SHOW FIELD KEYS FROM mcu")
        .iter()
        .map(|field| format!("{} {}", field["fieldKey"], field["fieldType"]).replace('"', ""))
        .collect();
    let meant =
        ["card string", "count integer", "open boolean", "position float", "temperature float"];
    assert_eq!(types, meant);
    for request in upstream.requests() {
        assert_eq!(request.header("content-encoding"), Some("gzip"));
        assert!(request.line.starts_with("POST /write?db=site "), "{}", request.line);
    }
    daemon.stop();
}

#[test]
fn what_line_protocol_cannot_say_is_left_out_and_counted() {
    let site = Site::new();
    let Some(influxdb) = InfluxDb::start(&site, false) else { return };
    influxdb.query("", "CREATE DATABASE site");
    let mut mcu = site.plug("mcu");
    let sink = influx_sink(&influxdb.address, "?db=site", "measurement = \"{device} {port}\"");
    let daemon = site.start(&(postcard_port(&mcu) + &sink));
    mcu.send(hello());
    let frame = |seq, values: &[(u16, Wire<'_>)]| {
        let sample = Sample { seq, uptime_ms: 1000 + seq, values: values.into() };
        sample.encode(&mut [0; MAX_FRAME]).expect("a sample fits a frame").to_vec()
    };
    let newline = "a\nevil,device=other n=1";
    mcu.send(frame(1, &[(1, Wire::F32(f32::NAN)), (3, Wire::Int(i64::MAX))]));
    mcu.send(frame(2, &[(2, Wire::F64(f64::INFINITY))]));
    mcu.send(frame(3, &[(9, Wire::Text(newline))]));
    daemon.delivered(3);
    let rows = influxdb.query("", "SELECT * FROM \"site mcu\"");
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((&rows[0]["count"], &rows[0]["temperature"]), (&json!(i64::MAX), &Value::Null));
    assert_eq!(rows[1]["card"], "a\\nevil,device=other n=1");
    let (_, metrics) = get(&daemon.address, "/metrics");
    for line in [
        "outstation_sink_omitted_values_total{sink=\"cloud\"} 2",
        "outstation_sink_omitted_readings_total{sink=\"cloud\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    assert_eq!(daemon.said().matches("cannot say").count(), 1, "{}", daemon.said());
    daemon.stop();
}

#[test]
fn a_channel_that_turns_out_a_float_is_taken_where_integers_are_sent_as_floats() {
    let site = Site::new();
    let Some(influxdb) = InfluxDb::start(&site, false) else { return };
    influxdb.query("", "CREATE DATABASE site");
    let mut text = site.plug("text");
    let sink = influx_sink(&influxdb.address, "?db=site", "integers = \"float\"");
    let daemon = site.start(&(json_port(&text) + &sink));
    for (count, line) in (1..).zip(["{\"t\":20}\n", "{\"t\":20.5}\n", "{\"t\":21}\n"]) {
        text.send(line);
        daemon.delivered(count);
    }
    let rows = influxdb.query("", "SELECT t FROM text");
    let values: Vec<_> = rows.iter().map(|row| row["t"].as_f64()).collect();
    assert_eq!(values, [Some(20.0), Some(20.5), Some(21.0)]);
    daemon.stop();
}

#[test]
fn a_password_lets_in_and_a_wrong_one_is_said_and_shown_nowhere() {
    let site = Site::new();
    let Some(influxdb) = InfluxDb::start(&site, true) else { return };
    influxdb.query("", "CREATE USER board WITH PASSWORD 'open sesame' WITH ALL PRIVILEGES");
    let board = "&u=board&p=open%20sesame";
    influxdb.query(board, "CREATE DATABASE site");
    let password = site.write("password", "wrong sesame\n");
    let mut text = site.plug("text");
    let rest = format!("username = \"board\"\npassword_file = \"{}\"", password.display());
    let config = json_port(&text) + &influx_sink(&influxdb.address, "?db=site", &rest);
    let daemon = site.start(&config);
    text.send(json_lines(0..10));
    daemon.stored(10);
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["pending"]), (&"misconfigured".into(), &10.into()));
    let error = open["last_error"].as_str().expect("an error");
    assert!(error.contains("401") && error.contains("password_file"), "{error}");
    let shown = daemon.said() + &daemon.status().to_string();
    assert!(!shown.contains("sesame"), "{shown}");
    daemon.stop();
    std::fs::write(&password, "open sesame\n").expect("write a file");
    let daemon = site.start(&config);
    daemon.delivered(10);
    let rows = influxdb.query(board, "SELECT * FROM text");
    assert_rows(
        &rows,
        &json_values(0..10),
        &[("device", "site"), ("port", "text"), ("sensor", "text")],
    );
    daemon.stop();
}

#[test]
fn victoria_metrics_holds_every_number() {
    let site = Site::new();
    let Some(server) = Tsdb::victoria_metrics() else { return };
    let mut text = site.plug("text");
    // It keeps milliseconds whatever it is sent; asked for them, two of one are two samples to it.
    let daemon = site.start(&(json_port(&text) + &influx_sink(&server.address, "", "")));
    text.send(json_lines(0..1000));
    daemon.delivered(1000);
    for (channel, meant) in [("n", "n"), ("t", "t")] {
        let path = format!("/api/v1/export?match[]=text_{channel}");
        let export = || {
            drop(get(&server.address, "/internal/force_flush"));
            get(&server.address, &path.replace('[', "%5B").replace(']', "%5D")).1
        };
        let numbers = |text: &str| -> Vec<f64> {
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            let values =
                lines.flat_map(|line| line["values"].as_array().cloned().unwrap_or_default());
            values.filter_map(|value| value.as_f64()).collect()
        };
        let text = eventually("the values can be read", export, |text| numbers(text).len() == 1000);
        for name in ["\"device\":\"site\"", "\"port\":\"text\"", "\"sensor\":\"text\""] {
            assert!(text.contains(name), "{text}");
        }
        // Several of one millisecond come in any order.
        let mut found = numbers(&text);
        found.sort_by(f64::total_cmp);
        let meant: Vec<f64> = json_values(0..1000)
            .iter()
            .map(|value| value[meant].as_f64().expect("a number"))
            .collect();
        assert_eq!(found, meant);
    }
    daemon.stop();
}

#[test]
fn compressed_json_arrives_as_it_is_without() {
    for compression in ["gzip", "zstd"] {
        let site = Site::new();
        let collector = Collector::start(&site);
        let upstream = Upstream::start([Act::Forward(collector.address.clone())]);
        let mut text = site.plug("text");
        let rest = format!("encoding = \"json\"\ncompression = \"{compression}\"");
        let sink = sink(&upstream.address, &rest).replace("500ms", "10s");
        let daemon = site.start(&(json_port(&text) + &sink));
        text.send(json_lines(0..300));
        daemon.delivered(300);
        assert_eq!(collector.holds(300), 0);
        assert_eq!(collector.values("text"), json_values(0..300));
        for request in upstream.requests() {
            assert_eq!(request.header("content-encoding"), Some(compression));
        }
        daemon.stop();
    }
}

#[test]
fn headers_go_along_and_those_of_a_file_are_shown_nowhere() {
    let site = Site::new();
    let echo = "no, X-Api-Key s3cret is not known here";
    let upstream = Upstream::start([answer("403 Forbidden", "", echo)]);
    let file = site.write("headers", "X-Api-Key: s3cret\n");
    let mut text = site.plug("text");
    let rest = format!("headers = {{ X-Site = \"north\" }}\nheaders_file = \"{}\"", file.display());
    let config = json_port(&text) + &sink(&upstream.address, &rest);
    let daemon = site.start(&config);
    text.send(json_lines(0..10));
    daemon.stored(10);
    daemon.breaker("open");
    let request = upstream.asked(1).remove(0);
    assert_eq!(request.header("x-api-key"), Some("s3cret"));
    assert_eq!(request.header("x-site"), Some("north"));
    let check =
        outstation(&["check", "--config", &site.path("outstation.toml").display().to_string()]);
    let check = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.contains("headers = { \"X-Site\" = \"north\" }"), "{check}");
    let shown = daemon.said() + &daemon.status().to_string() + &check;
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("[secret]"), "{shown}");
    daemon.stop();
}

#[test]
fn what_a_collector_writes_into_its_answer_moves_nothing() {
    let site = Site::new();
    let lie = answer(
        "503 Service Unavailable",
        "content-type: image/png\r\n",
        "{\"accepted\":30,\"acknowledged\":[1,1000]}",
    );
    let upstream = Upstream::start([lie]);
    let mut text = site.plug("text");
    let daemon = site.start(&(json_port(&text) + &sink(&upstream.address, "")));
    text.send(json_lines(0..30));
    daemon.stored(30);
    let open = daemon.breaker("open");
    assert_eq!((&open["cause"], &open["pending"]), (&"server_busy".into(), &30.into()), "{open}");
    assert_eq!(daemon.status()["ledger"]["delivered"], 0);
    let said = daemon.said();
    assert_eq!(said.matches(" WARN ").count() + said.matches("ERROR").count(), 1, "{said}");
    daemon.stop();
}

#[test]
fn check_finds_what_would_keep_a_sink_from_sending() {
    let site = Site::new();
    let (key, certificate) = pair();
    let key = site.write("key.pem", &key).display().to_string();
    let own = site.write("cert.pem", &certificate).display().to_string();
    let other = site.write("other.pem", &pair().1).display().to_string();
    let text = site.write("text", "not a certificate\n").display().to_string();
    let nowhere = site.path("nowhere").display().to_string();
    let pair =
        |certificate: &str, key: &str| format!("cert_file = {certificate:?}\nkey_file = {key:?}");
    let check = |rest: &str| {
        let config = site.configure(&sink("127.0.0.1:1", rest).replace("http:", "https:"));
        let output = outstation(&["check", "--config", &config.display().to_string()]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (rest, said) in [
        (format!("token_file = {nowhere:?}"), "failed to read the token file"),
        ("token_file = \"/dev/zero\"".to_owned(), "it is no regular file"),
        (format!("headers_file = {nowhere:?}"), "failed to read the headers file"),
        (format!("headers_file = {text:?}"), "line 1 of the headers file"),
        (
            format!("username = \"u\"\npassword_file = {nowhere:?}"),
            "failed to read the password file",
        ),
        (format!("ca_file = {nowhere:?}"), "nowhere`: No such file"),
        (format!("ca_file = {text:?}"), "holds no certificate"),
        (pair(&nowhere, &key), "nowhere`: No such file"),
        (pair(&own, &nowhere), "nowhere`: No such file"),
        (pair(&own, &own), "holds no private key"),
        (pair(&key, &key), "holds no certificate"),
        (pair(&other, &key), "does not fit the certificate"),
        ("url = \"htp://h\"".to_owned(), "duplicate key"),
    ] {
        let (sound, found) = check(&rest);
        assert!(!sound && found.contains(said), "{rest}: {found}");
    }
    let (sound, found) = check(&pair(&own, &key));
    assert!(sound, "{found}");
}

/// A private key and a certificate of it, in PEM.
fn pair() -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["board".to_owned()]).expect("parameters");
    (key.serialize_pem(), params.self_signed(&key).expect("a certificate").pem())
}
