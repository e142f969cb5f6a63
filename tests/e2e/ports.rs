//! From bytes on a line to readings at the collector, and everything a line can do wrong.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::termios::{ControlModes, LocalModes};
use serde_json::{Value, json};

use crate::kit::collector::Collector;
use crate::kit::daemon::Daemon;
use crate::kit::readings::{hello, json_lines, json_values, sample, sample_values, samples};
use crate::kit::site::{Site, json_port, port, postcard_port, sink};
use crate::kit::wait::eventually;

/// Waits until the port is in this state.
fn state(daemon: &Daemon, name: &str, state: &str) -> Value {
    eventually(&format!("{name} is {state}"), || daemon.port(name), |port| port["state"] == state)
}

#[test]
fn frames_and_json_lines_arrive_with_every_value() {
    let site = Site::new();
    let (mut mcu, mut text) = (site.plug("mcu"), site.plug("text"));
    let collector = Collector::start(&site);
    let ports = postcard_port(&mcu) + &json_port(&text);
    let daemon = site.start(&(ports + &sink(&collector.address, "")));
    mcu.send(hello());
    for part in 0..10 {
        mcu.send(samples(part * 30..part * 30 + 30));
        text.send(json_lines(u64::from(part) * 20..u64::from(part) * 20 + 20));
    }
    daemon.delivered(500);
    assert_eq!(collector.holds(500), 0);
    assert_eq!(collector.values("mcu"), sample_values(0..300));
    assert_eq!(collector.values("text"), json_values(0..200));
    assert!(collector.rows().iter().all(|row| row.sensor == row.port));
    daemon.stop();
}

#[test]
fn csv_and_key_value_lines_arrive_with_their_sensors_and_times() {
    let site = Site::new();
    let (mut meter, mut pair) = (site.plug("meter"), site.plug("pair"));
    let collector = Collector::start(&site);
    let csv = "framing = \"lines\"\nformat = \"csv\"\ndelimiter = \";\"\ntime_key = \"ts\"\n\
               columns = [\"ts\", \"voltage\", \"state\"]";
    let key_value = "framing = \"lines\"\nformat = \"key-value\"\nsensor_key = \"id\"\n\
                     time_key = \"at\"\ntime_unit = \"ms\"";
    let ports = port("meter", meter.path(), csv) + &port("pair", pair.path(), key_value);
    let daemon = site.start(&(ports + &sink(&collector.address, "")));
    meter.send("1767225600;230.5;on\r\n1767225601;;off\n");
    pair.send("id=roof at=1767225600123 wind=3.25 gust=7\nid=yard at=1767225600124 dry=true\n");
    daemon.delivered(4);
    collector.holds(4);
    assert_eq!(
        collector.values("meter"),
        [json!({"voltage": 230.5, "state": "on"}), json!({"state": "off"})]
    );
    assert_eq!(collector.values("pair"), [json!({"wind": 3.25, "gust": 7}), json!({"dry": true})]);
    let rows = collector.rows();
    let mut stamped: Vec<_> = rows.iter().map(|row| (row.sensor.as_str(), row.time_ms)).collect();
    stamped.sort_unstable();
    assert_eq!(
        stamped,
        [
            ("meter", 1_767_225_600_000),
            ("meter", 1_767_225_601_000),
            ("roof", 1_767_225_600_123),
            ("yard", 1_767_225_600_124)
        ]
    );
    daemon.stop();
}

#[test]
fn garbage_between_frames_is_counted_and_nothing_beside_it_is_disturbed() {
    let site = Site::new();
    let (mut mcu, mut text, mut calm) = (site.plug("mcu"), site.plug("text"), site.plug("calm"));
    let collector = Collector::start(&site);
    let quiet = port("calm", calm.path(), "framing = \"postcard\"");
    let ports = postcard_port(&mcu) + &json_port(&text) + &quiet;
    let daemon = site.start(&(ports + &sink(&collector.address, "")));
    mcu.send(hello());
    calm.send(hello());
    let mut flipped = sample(100);
    flipped[6] ^= 0x10;
    for part in 0..20 {
        mcu.send(sample(part));
        mcu.send([0x42, 0x99, 0xff, 0x13, 0x37, 0]);
        mcu.send(&flipped);
        mcu.send([0x55; 3000]);
        mcu.send([0]);
        text.send(json_lines(part.into()..u64::from(part) + 1));
        text.send(b"{\"n\":\n\xff\xfe\xfd\n\n{}\n");
        text.send(["x".repeat(9000), "\n".into()].concat());
        calm.send(sample(part));
    }
    daemon.delivered(60);
    assert_eq!(collector.values("mcu"), sample_values(0..20));
    assert_eq!(collector.values("text"), json_values(0..20));
    assert_eq!(collector.values("calm"), sample_values(0..20));
    let faults = |name: &str| daemon.port(name)["faults"].clone();
    assert_eq!(faults("mcu")["too_long"], 20);
    let total: u64 =
        faults("mcu").as_object().into_iter().flatten().filter_map(|f| f.1.as_u64()).sum();
    assert_eq!(total, 60, "{}", faults("mcu"));
    for reason in ["unparsable", "not_utf8", "no_value", "too_long"] {
        assert_eq!(faults("text")[reason], 20, "{reason}");
    }
    assert_eq!(faults("calm"), json!({}));
    let warnings = daemon.said().lines().filter(|line| line.contains("delivers faults")).count();
    assert!((2..=4).contains(&warnings), "{warnings} lines for 140 faults");
    daemon.stop();
}

#[test]
fn what_waits_in_the_tty_before_the_start_is_read() {
    let site = Site::new();
    let (mut mcu, mut text) = (site.plug("mcu"), site.plug("text"));
    mcu.send([hello(), samples(0..10)].concat());
    text.send(json_lines(0..10));
    let collector = Collector::start(&site);
    let ports = postcard_port(&mcu) + &json_port(&text);
    let daemon = site.start(&(ports + &sink(&collector.address, "")));
    daemon.delivered(20);
    assert_eq!(collector.values("mcu"), sample_values(0..10));
    assert_eq!(collector.values("text"), json_values(0..10));
    daemon.stop();
}

#[test]
fn samples_before_the_hello_are_held_until_it_comes() {
    let site = Site::new();
    let mut mcu = site.plug("mcu");
    let collector = Collector::start(&site);
    let daemon = site.start(&(postcard_port(&mcu) + &sink(&collector.address, "")));
    let five = samples(0..5);
    mcu.send(&five);
    let held = |port: &Value| port["bytes"] == five.len();
    let port = eventually("five frames are in", || daemon.port("mcu"), held);
    assert_eq!((&port["accepted"], &port["waiting_frames"]), (&json!(0), &json!(5)));
    mcu.send([hello(), sample(5)].concat());
    let status = daemon.delivered(6);
    assert_eq!(status["ledger"]["faults"], json!({}));
    assert_eq!(collector.values("mcu"), sample_values(0..6));
    daemon.stop();
}

#[test]
fn a_sensor_is_asked_to_introduce_itself_whenever_its_port_is_opened() {
    let site = Site::new();
    let mut mcu = site.plug("mcu");
    let collector = Collector::start(&site);
    let config = postcard_port(&mcu) + &sink(&collector.address, "");
    for life in 0..2 {
        let daemon = site.start(&config);
        let asked = |heard: &String| heard == "[0]";
        eventually("the daemon asks", || format!("{:?}", mcu.heard()), asked);
        mcu.send([sample(life), hello()].concat());
        daemon.delivered(u64::from(life) + 1);
        daemon.stop();
    }
    assert_eq!(collector.values("mcu"), sample_values(0..2));
}

#[test]
fn a_port_that_is_absent_at_the_start_is_opened_when_it_appears() {
    let site = Site::new();
    let collector = Collector::start(&site);
    let late = port("late", &site.path("late"), "framing = \"lines\"\nformat = \"json\"");
    let daemon = site.start(&(late + &sink(&collector.address, "")));
    let absent = state(&daemon, "late", "absent");
    let reason = absent["reason"].as_str().expect("a reason");
    assert!(reason.contains("does not exist; is the device plugged in?"), "{reason}");
    let mut line = site.plug("late");
    state(&daemon, "late", "open");
    line.send(json_lines(0..10));
    daemon.delivered(10);
    assert_eq!(daemon.said().matches("port not open").count(), 1, "{}", daemon.said());
    daemon.stop();
}

#[test]
fn an_unplugged_device_goes_on_when_it_is_back_and_its_neighbour_never_notices() {
    let site = Site::new();
    let (mut mcu, mut calm) = (site.plug("mcu"), site.plug("text"));
    let collector = Collector::start(&site);
    let ports = postcard_port(&mcu) + &json_port(&calm);
    let daemon = site.start(&(ports + &sink(&collector.address, "")));
    for round in 0..3 {
        let first = round * 10;
        mcu.send([hello(), samples(first..first + 10)].concat());
        // Half a frame is all that an unplugged device leaves.
        mcu.send(&sample(99)[..7]);
        calm.send(json_lines(u64::from(first)..u64::from(first) + 5));
        daemon.stored(15 + 20 * u64::from(round));
        drop(mcu);
        let gone = state(&daemon, "mcu", "absent");
        assert!(gone["reason"].as_str().is_some_and(|reason| reason.contains("mcu`")), "{gone}");
        assert_eq!(daemon.port("text")["state"], "open");
        calm.send(json_lines(u64::from(first) + 5..u64::from(first) + 10));
        daemon.stored(20 + 20 * u64::from(round));
        mcu = site.plug("mcu");
        state(&daemon, "mcu", "open");
    }
    daemon.delivered(60);
    assert_eq!(collector.holds(60), 0);
    assert_eq!(collector.values("mcu"), sample_values(0..30));
    assert_eq!(collector.values("text"), json_values(0..30));
    assert_eq!(daemon.port("mcu")["faults"]["too_short"], 3);
    daemon.stop();
}

#[test]
fn a_port_that_stays_unplugged_is_looked_for_at_next_to_no_cost() {
    const LOOK: Duration = Duration::from_secs(3);
    let site = Site::new();
    let mut mcu = site.plug("mcu");
    let daemon = site.start(&postcard_port(&mcu));
    mcu.send([hello(), samples(0..10)].concat());
    daemon.stored(10);
    drop(mcu);
    state(&daemon, "mcu", "absent");
    let (begin, spent) = (Instant::now(), daemon.cpu());
    eventually("the look is over", || begin.elapsed() > LOOK, |over| *over);
    let spent = daemon.cpu() - spent;
    assert!(spent < LOOK / 20, "{spent:?} of CPU in {:?}", begin.elapsed());
    let mut mcu = site.plug("mcu");
    state(&daemon, "mcu", "open");
    mcu.send([hello(), samples(10..20)].concat());
    daemon.stored(20);
    daemon.stop();
}

#[test]
fn a_path_that_is_no_serial_port_says_so_and_the_other_ports_work() {
    let site = Site::new();
    let mut text = site.plug("text");
    let collector = Collector::start(&site);
    let file = site.write("notes.txt", "not a tty");
    let lines = "framing = \"lines\"\nformat = \"json\"";
    let folder = site.path("folder");
    std::fs::create_dir(&folder).expect("make a folder");
    let paths = [("file", file.as_path()), ("null", Path::new("/dev/null")), ("folder", &folder)];
    let wrong: String = paths.iter().map(|(name, path)| port(name, path, lines)).collect();
    let daemon = site.start(&(wrong + &json_port(&text) + &sink(&collector.address, "")));
    text.send(json_lines(0..10));
    daemon.delivered(10);
    for (name, path) in paths {
        let wrong = state(&daemon, name, "absent");
        let reason = wrong["reason"].as_str().expect("a reason");
        let says = format!("`{}` is not a serial port; ", path.display());
        assert!(reason.starts_with(&says), "{reason}");
    }
    assert_eq!(std::fs::read_to_string(&file).expect("the file is there"), "not a tty");
    daemon.stop();
}

#[test]
fn line_settings_arrive_on_the_line() {
    let site = Site::new();
    let (slow, fast) = (site.plug("slow"), site.plug("fast"));
    let slow_line = "framing = \"postcard\"\nbaud = 9600\nstop_bits = 2";
    let fast_line = "framing = \"postcard\"\nbaud = 250000\nflow_control = \"hardware\"";
    let ports = port("slow", slow.path(), slow_line) + &port("fast", fast.path(), fast_line);
    let daemon = site.start(&ports);
    state(&daemon, "slow", "open");
    state(&daemon, "fast", "open");
    let (slow, fast) = (slow.settings(), fast.settings());
    assert_eq!((slow.input_speed(), slow.output_speed()), (9600, 9600));
    assert_eq!((fast.input_speed(), fast.output_speed()), (250_000, 250_000));
    let modes = |settings: &rustix::termios::Termios| {
        settings.control_modes & (ControlModes::CSTOPB | ControlModes::CRTSCTS)
    };
    assert_eq!(modes(&slow), ControlModes::CSTOPB);
    assert_eq!(modes(&fast), ControlModes::CRTSCTS);
    let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
    assert!(!slow.local_modes.intersects(cooked), "{:?}", slow.local_modes);
    daemon.stop();
}

#[test]
fn a_setting_the_device_does_not_take_is_an_error_and_never_another_value() {
    let site = Site::new();
    // The kernel sets eight bits and no parity on every pty, whatever it was asked for.
    let (even, seven) = (site.plug("even"), site.plug("seven"));
    let mut text = site.plug("text");
    let collector = Collector::start(&site);
    let ports = port("even", even.path(), "framing = \"postcard\"\nparity = \"even\"")
        + &port("seven", seven.path(), "framing = \"postcard\"\ndata_bits = 7")
        + &json_port(&text);
    let daemon = site.start(&(ports + &sink(&collector.address, "")));
    text.send(json_lines(0..3));
    daemon.delivered(3);
    for (name, key) in [("even", "parity"), ("seven", "data_bits")] {
        let port = state(&daemon, name, "absent");
        let reason = port["reason"].as_str().expect("a reason");
        assert!(reason.contains("does not support"), "{reason}");
        assert!(reason.ends_with(&format!("change `{key}`")), "{reason}");
    }
    daemon.stop();
}
