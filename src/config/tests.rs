//! Invariants checked: what ships is the defaults and mentions every key; what is printed parses to
//! what was meant; every mistake is reported, in exactly these words; no text makes parsing panic.

use std::error::Error as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::reader::syntax::either;
use super::*;
use crate::protocols::PROTOCOLS;
use crate::sinks::KINDS;
use crate::telemetry::LogFilter;
use crate::test_kit::config::{parse, problems};

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shipped() -> String {
    file("config/outstation.toml")
}

/// The shipped file with every line that starts with `#: ` put to use.
fn shipped_with_examples() -> String {
    let lines = shipped();
    let used = lines.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line));
    used.collect::<Vec<_>>().join("\n")
}

fn sink(rest: &str) -> String {
    format!("[[sink]]\nname = \"cloud\"\nkind = \"http\"\n{rest}\n")
}

#[test]
fn what_ships_is_the_defaults() {
    assert_eq!(parse(&shipped()), Config::default());
    assert_eq!(parse(""), Config::default());
}

/// Each key with its section.
fn all_keys() -> Vec<(&'static str, Key)> {
    let keys = |section: SectionKeys| {
        let keys: Vec<Key> = section.all().cloned().collect();
        keys.into_iter().map(move |key| (section.name, key))
    };
    sections().into_iter().flat_map(keys).collect()
}

#[test]
fn what_ships_mentions_every_key_under_its_section() {
    let text = shipped_with_examples();
    for (section, key) in all_keys() {
        let mut current = "";
        let found = text.lines().any(|line| {
            current = line.strip_prefix('[').map_or(current, |head| head.trim_matches(['[', ']']));
            current == section && line.starts_with(&format!("{} = ", key.name))
        });
        assert!(found, "{section}.{} is not mentioned", key.name);
    }
}

#[test]
fn every_key_has_a_sentence_and_every_default_is_one_that_may_be_written() {
    for (section, key) in all_keys() {
        let about = key.about.trim();
        assert!(about.ends_with('.') && !about.is_empty(), "{section}.{}: {about}", key.name);
        if let Without::Default(text) = &key.without {
            let value: serde_json::Value = serde_json::from_str(text).expect("TOML and JSON alike");
            assert!(!value.is_null(), "{section}.{}", key.name);
        }
    }
}

#[test]
fn the_examples_of_what_ships_hold_when_put_to_use() {
    let config = parse(&shipped_with_examples());
    assert_eq!(config.device.id.as_deref(), Some("pump-7"));
    for kind in PROTOCOLS {
        assert!(config.ports.iter().any(|port| port.framing.name == kind.name), "{}", kind.name);
    }
    for row in KINDS.iter().filter(|row| row.kind.is_some()) {
        assert!(config.sinks.iter().any(|sink| sink.kind.name == row.name), "{}", row.name);
    }
    let usual = Port::default().line_settings();
    assert_eq!(config.ports[0].line_settings(), usual);
    assert_eq!(warnings(&config), Vec::<String>::new());
}

#[test]
fn a_port_and_a_sink_need_only_their_required_keys() {
    let text = sink("url = \"http://[::1]:9438/v1/readings\"")
        + "[[port]]\nname = \"m\"\npath = \"/dev/ttyS1\"\nframing = \"lines\"\nformat = \"csv\"\n\
           columns = [\"a\"]\n";
    let config = parse(&text);
    let sink = &config.sinks[0];
    assert_eq!(sink.timeout, Duration::from_secs(30));
    assert_eq!((sink.batch_readings, sink.batch_bytes, sink.retries), (65_536, 262_144, 2));
    let printed = config.to_toml();
    assert!(printed.contains("\nencoding = \"packed\"\n"), "{printed}");
    assert!(printed.contains("\ndelimiter = \",\"\n"), "{printed}");
    assert!(printed.contains("\n# sensor_key: not set, "), "{printed}");
    assert!(printed.contains("\nline_max = 4096\n"), "{printed}");
    assert!(printed.contains("\n# token_file: not set, "), "{printed}");
    assert_eq!(parse(&printed), config);
}

#[test]
fn a_kind_of_sink_is_refused_by_a_build_without_it() {
    for row in KINDS.iter().filter(|row| row.kind.is_none()) {
        let name = row.name;
        // Its own keys are not known either, which is no mistake of theirs.
        let found = problems(&format!("[[sink]]\nname = \"s\"\nkind = \"{name}\"\nown_key = 1\n"));
        let message = format!(
            "line 3: sink[0].kind: found \"{name}\", which this build lacks: it was made without the \
             feature `{name}`"
        );
        assert_eq!(found, [message]);
    }
}

#[test]
fn the_effective_configuration_parses_to_itself() {
    let odd = "[log]\npath = \"/tmp/\\\"quoted\\\" \\\\ \\u0007.db\"\ncommit_interval = \"1m 0.5s\"\n\
               [http]\nlisten = \"off\"\n[telemetry]\nlevel = \" warn , outstation::upload=trace\"\n"
        .to_owned()
        + &sink("url = \"https://example.com\"\nbatch_bytes = \"1 MiB\"\nencoding = \"json\"");
    for text in [String::new(), shipped_with_examples(), odd] {
        let config = parse(&text);
        assert_eq!(parse(&config.to_toml()), config, "{}", config.to_toml());
    }
}

#[test]
fn the_effective_configuration_names_every_key() {
    let printed = parse(&shipped_with_examples()).to_toml();
    for (_, key) in all_keys() {
        let name = key.name;
        assert!(printed.lines().any(|line| line.starts_with(&format!("{name} = "))), "{name}");
    }
    let defaults = Config::default().to_toml();
    assert!(defaults.contains("# id: not set, it is derived from the machine id"), "{defaults}");
}

#[test]
fn every_mistake_is_reported_at_once_and_in_these_words() {
    let error = Config::parse(&file("tests/golden/bad-config.toml"), "bad-config.toml")
        .expect_err("it is full of mistakes")
        .to_string();
    let kinds = KINDS.iter().filter(|row| row.kind.is_some());
    let kinds: Vec<String> = kinds.map(|row| format!("{:?}", row.name)).collect();
    let protocols: Vec<String> = PROTOCOLS.iter().map(|kind| format!("{:?}", kind.name)).collect();
    let golden = file("tests/golden/bad-config.txt")
        .replace("{kinds of sink}", &either(&kinds))
        .replace("{protocols}", &either(&protocols));
    assert_eq!(error.trim_end(), golden.trim_end(), "\n--- the message is now:\n{error}\n");
    assert!(!error.contains("sec/ret") && !error.contains("secret"), "a secret shows: {error}");
}

#[cfg(all(feature = "mqtt", feature = "prometheus"))]
#[test]
fn a_key_that_several_other_kinds_have_is_one_mistake() {
    let text =
        "[[sink]]\nname = \"s\"\nkind = \"mqtt\"\nurl = \"mqtt://h\"\nheaders = { A = \"b\" }\n";
    assert_eq!(
        problems(text),
        ["line 5: sink[0].headers: does not apply to kind = \"mqtt\"; allowed: only with \
          kind = \"http\" or \"prometheus\""]
    );
}

#[test]
fn broken_toml_is_reported_with_line_and_column() {
    let found =
        problems("[log]\npath = \"a\nörtlich = = 1\n[http]\nlisten = \"off\"\nlisten = \"off\"\n");
    assert_eq!(
        problems("[device]\nid = pump\n"),
        ["line 2, column 6: not TOML: text needs quotes: \"pump\""]
    );
    assert_eq!(
        found,
        [
            "line 2, column 10: not TOML: invalid basic string, expected `\"`",
            "line 3, column 11: not TOML: extra `=`, expected nothing",
            "line 6, column 1: not TOML: duplicate key",
        ]
    );
}

#[test]
fn a_table_of_the_wrong_shape_says_which_brackets_it_needs() {
    assert_eq!(
        problems("sink = [1]\n[port]\nname = \"a\"\n[[log]]\n"),
        [
            "line 1: sink[0]: found 1; allowed: [[sink]]",
            "line 2: port: found a table; allowed: [[port]], in double brackets",
            "line 4: log: found a list; allowed: one [log]",
        ]
    );
}

#[test]
fn an_unknown_key_brings_the_nearest_known_one() {
    let cases = [
        ("[telemetry]\nlogformat = 1", "did you mean `log_format`?"),
        ("[device]\nlisten = 1", "did you mean `http.listen`?"),
        ("[supervisor]\ndeadline_seconds = 1", "allowed: shutdown_deadline"),
        ("[telemetrie]", "did you mean `telemetry`?"),
    ];
    for (text, advice) in cases {
        let found = problems(text);
        assert!(found[0].ends_with(advice), "{found:?} should end with {advice}");
    }
}

#[test]
fn an_alarm_without_a_port_or_a_condition_that_holds_together_is_refused() {
    let port = "[[port]]\nname = \"p\"\npath = \"/dev/ttyS1\"\nframing = \"postcard\"\n";
    let alarm = |rest: &str| format!("{port}[[alarm]]\nport = \"p\"\nchannel = \"c\"\n{rest}\n");
    let cases = [
        ("", "alarm[0].above: missing; allowed: one of above, below, change (for numbers) or is"),
        ("above = \"x\"", "alarm[0].above: found \"x\"; allowed: a number, such as 80 or -1.5"),
        ("above = inf", "alarm[0].above: found inf; allowed: a number, such as 80 or -1.5"),
        ("change = 0", "alarm[0].change: found 0; allowed: a number above 0, such as 1.5"),
        (
            "change = 1\nhysteresis = 1",
            "alarm[0].hysteresis: does not apply by itself; allowed: only with above or below",
        ),
        ("is = true\nabove = 1", "alarm[0].is: does not go with above; allowed: one of the two"),
        (
            "above = 1\nbelow = 1",
            "alarm[0].below: found 1.0; allowed: less than above, which is 1.0",
        ),
    ];
    for (rest, problem) in cases {
        let found = problems(&alarm(rest));
        assert!(found.len() == 1 && found[0].ends_with(problem), "{rest}: {found:?}");
    }
    let unknown = alarm("above = 1").replace("port = \"p\"", "port = \"q\"");
    assert_eq!(
        problems(&unknown),
        ["line 6: alarm[0].port: found \"q\"; allowed: the name of a [[port]]: p"]
    );
    let one = &alarm("above = 1")[port.len()..];
    let found = problems(&(port.to_owned() + &one.repeat(33)));
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("one too many; allowed: 32 [[alarm]] for a port"), "{found:?}");
    let text = alarm("above = 1e300\nbelow = -2\nhysteresis = 0.5\nchange = 3");
    let config = parse(&text);
    assert_eq!(parse(&config.to_toml()), config, "{}", config.to_toml());
}

#[test]
fn a_service_is_looked_up_in_the_dns() {
    let with = |url: &str| sink(&format!("url = {url:?}"));
    for good in ["srv:_x._tcp.a.example.com", "srv:_x._tcp.a.local"] {
        parse(&with(good));
    }
    assert!(problems(&with("srv:x._tcp.a.local"))[0].contains("allowed: a service such as"));
}

#[cfg(feature = "mdns")]
#[test]
fn a_service_is_looked_up_on_the_local_network_and_nowhere_below_it() {
    let with = |url: &str| sink(&format!("url = {url:?}"));
    parse(&with("mdns:_x._tcp.local"));
    for bad in ["mdns:_x._tcp.a.local", "mdns:_x._tcp.example.com", "mdns:x._tcp.local"] {
        assert!(problems(&with(bad))[0].contains("allowed: a service such as"), "{bad}");
    }
}

#[cfg(not(feature = "mdns"))]
#[test]
fn multicast_dns_is_refused_by_a_build_without_it() {
    let asking = "[http]\nannounce = true\n".to_owned() + &sink("url = \"mdns:_x._tcp.local\"");
    let lacks = "which this build lacks: it was made without the feature `mdns`";
    let expected = [
        format!("line 2: http.announce: found true, {lacks}"),
        format!("line 6: sink[0].url: found \"mdns:_x._tcp.local\", {lacks}"),
    ];
    assert_eq!(problems(&asking), expected);
    parse(&("[http]\nannounce = false\n".to_owned() + &sink("url = \"srv:_x._tcp.a.local\"")));
}

#[test]
fn urls_that_cannot_be_posted_to_are_refused() {
    let bad =
        ["", "/v1", "example.com", "example.com:80", "https://", "https://:80/", "http://h:0/"];
    let more =
        ["http://h:99999/", "http://h:/", "https://h/#part", "HTTPS//h", "http://h/ x", "u:p@h"];
    for url in bad.into_iter().chain(more) {
        let found = problems(&sink(&format!("url = {url:?}")));
        assert!(found[0].starts_with("line 4: sink[0].url: found"), "{url}: {found:?}");
    }
    for url in
        ["https://h", "http://10.0.0.1:8080/a/@b?c=d@e", "HTTPS://Example.com/", "http://[::1]:1"]
    {
        parse(&sink(&format!("url = {url:?}")));
    }
}

#[test]
fn misspelt_log_filters_are_refused() {
    for level in ["", "inof", "info,", "a=b=info", "=info", "a=", "a b=info", "outstation=verbose"]
    {
        assert_eq!(problems(&format!("[telemetry]\nlevel = {level:?}")).len(), 1, "{level}");
    }
    assert_eq!("info".parse(), Ok(LogFilter::default()));
}

#[test]
fn warnings_name_what_is_legal_but_hardly_meant() {
    let text = "[log]\npath = \"log.db\"\n".to_owned()
        + &sink("url = \"http://10.1.2.3/\"\ntoken_file = \"/t\"\nca_file = \"/c\"");
    let said = warnings(&parse(&text));
    let starts =
        ["there is no [[port]]", "log.path `log.db`", "sink `cloud` sends its secrets to `10.1"];
    assert_eq!(said.len(), 4);
    assert!(starts.iter().zip(&said).all(|(start, warning)| warning.starts_with(start)));
    assert_eq!(warnings(&Config::default()).len(), 2);
    for host in ["localhost", "127.1.2.3:80", "[::1]:80"] {
        let text = sink(&format!("url = \"http://{host}/\"\ntoken_file = \"/t\""));
        assert_eq!(
            warnings(&parse(&text)).len(),
            1,
            "{host} is loopback; only the port is missing"
        );
    }
}

#[test]
fn what_does_not_fit_together_at_the_local_port_is_said_at_once() {
    let text = "[http]\nallowed_networks = [\"192.168.1.1/24\"]\ncert_file = \"http.pem\"\n\
                client_ca_file = \"\"\nusers_file = 7\n";
    let expected = [
        "line 2: http.allowed_networks: found [\"192.168.1.1/24\"]; allowed: a list of 1 to 64 \
         networks, such as [\"192.168.1.0/24\", \"fd00::/8\"], or addresses, with zeros behind the \
         prefix",
        "line 3: http.cert_file: does not apply by itself; allowed: only with key_file",
        "line 4: http.client_ca_file: found \"\"; allowed: the path of a file, or \
         \"credential:NAME\" for NAME in /etc/outstation/credentials",
        "line 5: http.users_file: found 7; allowed: the path of a file, or \"credential:NAME\" for \
         NAME in /etc/outstation/credentials",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn a_local_port_that_is_open_to_everybody_is_warned_of() {
    let warned = |keys: &str| {
        let warnings = warnings(&parse(&format!("[http]\n{keys}")));
        warnings.into_iter().filter(|warning| warning.starts_with("http.")).collect::<Vec<_>>()
    };
    let open = "listen = \"[::]:9437\"\n";
    let tls = "cert_file = \"c\"\nkey_file = \"k\"\n";
    let everybody = "http.listen `[::]:9437` lets in everybody who can reach this board: set \
                     http.allowed_networks or http.users_file";
    let unencrypted = "http.listen `[::]:9437` takes passwords unencrypted: set http.cert_file and \
                       http.key_file";
    assert_eq!(warned(open), [everybody]);
    assert_eq!(warned(&format!("{open}{tls}")), [everybody]);
    assert_eq!(warned(&format!("{open}users_file = \"u\"")), [unencrypted]);
    for good in [
        String::new(),
        "users_file = \"u\"".to_owned(),
        format!("{open}allowed_networks = [\"10.0.0.0/8\"]"),
        format!("{open}{tls}users_file = \"u\""),
        format!("{open}{tls}client_ca_file = \"a\""),
    ] {
        assert_eq!(warned(&good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn announcing_what_cannot_be_reached_is_warned_of() {
    let warned = |http: &str| {
        let warnings = warnings(&parse(&format!("[http]\n{http}\n")));
        warnings.iter().any(|warning| warning.starts_with("http.announce has no effect"))
    };
    for listen in ["", "listen = \"off\"", "listen = \"[::1]:9437\""] {
        assert!(warned(&format!("announce = true\n{listen}")), "{listen}");
    }
    assert!(!warned("announce = true\nlisten = \"0.0.0.0:9437\""));
    assert!(!warned(""), "it is off unless it is asked for");
}

#[test]
fn alarms_that_cannot_overtake_while_a_sink_is_held_back_are_warned_of() {
    let alarm = "[[port]]\nname = \"p\"\npath = \"/dev/ttyS1\"\nframing = \"postcard\"\n\
                 [[alarm]]\nport = \"p\"\nchannel = \"t\"\nabove = 1.0\n";
    let warned = |alarm: &str, keys: &str| {
        let url = "url = \"http://localhost/\"";
        let warnings = warnings(&parse(&format!("{alarm}{}", sink(&format!("{url}\n{keys}")))));
        warnings.iter().any(|warning| warning.contains("lets no alarm overtake"))
    };
    assert!(warned(alarm, "order = \"as_stored\"\nbudget = 100000"));
    assert!(warned(alarm, "order = \"as_stored\"\nquiet_hours = \"22:00-06:00\""));
    assert!(!warned(alarm, "order = \"as_stored\"\nmax_rate = 1000"));
    assert!(!warned(alarm, "budget = 100000"));
    assert!(!warned("", "order = \"as_stored\"\nbudget = 100000"));
}

#[test]
fn keys_that_only_a_restart_changes_are_named_when_they_differ() {
    let old = parse("[log]\npath = \"/a.db\"\n");
    let new = parse(
        "[log]\npath = \"/b.db\"\nmax_bytes = \"1 GiB\"\n[device]\nid = \"x\"\n[http]\nlisten = \"off\"\n",
    );
    assert_eq!(old.restart_needed(&new), ["device.id", "log.path"]);
    assert!(old.restart_needed(&old).is_empty());
    let marked: Vec<String> = all_keys()
        .into_iter()
        .filter(|(_, key)| key.restart)
        .map(|(section, key)| format!("{section}.{}", key.name))
        .collect();
    assert_eq!(marked, ["device.id", "log.path", "telemetry.log_format"]);
}

#[test]
fn a_file_that_cannot_be_read_says_what_to_do_next() {
    let error = Config::load(Path::new("/no/such/outstation.toml")).expect_err("it is missing");
    assert_eq!(
        error.to_string(),
        "failed to read configuration `/no/such/outstation.toml`; name the file with --config FILE, \
         or copy config/outstation.toml there"
    );
    assert!(error.source().is_some(), "the cause is kept for the chain");
    assert_eq!(error.code(), "config_unreadable");
    for device in ["/dev/zero", "/"] {
        let error = Config::load(Path::new(device)).expect_err("it is no file of text");
        assert_eq!(error.code(), "config_unreadable", "{device}");
    }
}

#[test]
fn durations_too_long_to_add_up_are_refused_without_a_panic() {
    let text = "[log]\ncommit_interval = \"18446744073709551615s 1000000000ns\"";
    assert_eq!(problems(text).len(), 1);
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_named_mistakes(text in "(?s).{0,200}") {
        let _ = Config::parse(&text, "any").map_err(|error| error.to_string());
    }

    #[test]
    fn any_value_of_any_key_is_a_configuration_or_named_mistakes(
        key in 0..all_keys().len(),
        value in "(\"[ -!#-\\[\\]-~µ]{0,40}\"|-?[0-9]{1,25}|\\[[a-z\", ]{0,20}\\]|[0-9a-fx_:.-]{1,20})",
    ) {
        let (section, key) = &all_keys()[key];
        let leaf = key.name;
        for head in [format!("[{section}]"), format!("[[{section}]]")] {
            let text = format!("{head}\n{leaf} = {value}\n");
            if let Ok(config) = Config::parse(&text, "any") {
                prop_assert_eq!(parse(&config.to_toml()), config);
            }
        }
    }
}
