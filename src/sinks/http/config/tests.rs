//! Invariants checked: contradictions are refused with their key, secrets are not shown, and a printed
//! configuration means the same.

use crate::config::{Config, warnings};
use crate::test_kit::config;

use super::*;

fn sink(rest: &str) -> String {
    format!("[[sink]]\nname = \"s\"\nkind = \"http\"\n{rest}\n")
}

fn http(rest: &str) -> HttpConfig {
    let config = Config::parse(&sink(rest), "test").unwrap_or_else(|error| panic!("{error}"));
    let printed = Config::parse(&config.to_toml(), "printed").expect("what is printed parses");
    assert_eq!(printed, config, "{}", config.to_toml());
    let settings = config.sinks[0].kind.settings.as_any();
    settings.downcast_ref::<HttpConfig>().expect("an http sink").clone()
}

fn problems(rest: &str) -> String {
    config::problems(&sink(rest)).join("\n")
}

const URL: &str = "url = \"http://h/write?db=x\"\n";

#[test]
fn each_encoding_is_compressed_as_its_servers_take_it_unless_told_otherwise() {
    let compression = |rest: &str| http(&format!("{URL}{rest}")).compression;
    assert_eq!(compression(""), Compression::Zstd);
    assert_eq!(compression("encoding = \"json\""), Compression::None);
    assert_eq!(compression("encoding = \"influx\""), Compression::Gzip);
    assert_eq!(compression("encoding = \"json\"\ncompression = \"gzip\""), Compression::Gzip);
    let said = problems(&format!("{URL}compression = \"gzip\""));
    assert!(said.contains("sink[0].compression: found \"gzip\"; allowed: \"zstd\""), "{said}");
}

#[test]
fn the_line_protocol_is_told_no_events() {
    let config = |rest: &str| Config::parse(&sink(&format!("{URL}{rest}")), "test");
    assert!(!config("encoding = \"influx\"").expect("sound").sinks[0].events);
    assert!(config("encoding = \"json\"").expect("sound").sinks[0].events);
    assert!(config("encoding = \"influx\"\nevents = true").is_err());
    let said = problems(&format!("{URL}measurement = \"m\""));
    assert!(said.contains("allowed: only with encoding = \"influx\""), "{said}");
}

#[test]
fn the_precision_of_the_line_protocol_is_that_of_the_url() {
    assert_eq!(precision("http://h/write?db=precision"), Some(Precision::Nanoseconds));
    assert_eq!(precision("http://h/write?precision=ns&db=x"), Some(Precision::Nanoseconds));
    assert_eq!(precision("http://h/w?db=x&precision=ms"), Some(Precision::Milliseconds));
    let said = problems("encoding = \"influx\"\nurl = \"http://h/write?db=x&precision=s\"");
    assert!(said.contains("sink[0].url: found another precision"), "{said}");
}

#[test]
fn a_password_in_the_query_is_refused_and_not_shown() {
    let said = problems("encoding = \"influx\"\nurl = \"http://h/write?db=x&u=me&p=hunter2\"");
    assert!(said.contains("sink[0].url: found a password") && !said.contains("hunter2"), "{said}");
}

#[test]
fn halves_of_a_pair_and_two_ways_to_log_in_are_refused() {
    for (rest, said) in [
        (
            "cert_file = \"/c\"",
            "sink[0].cert_file: does not apply by itself; allowed: only with key_file",
        ),
        (
            "key_file = \"/c\"",
            "sink[0].key_file: does not apply by itself; allowed: only with cert_file",
        ),
        (
            "username = \"u\"",
            "sink[0].username: does not apply by itself; allowed: only with password_file",
        ),
        (
            "password_file = \"/p\"",
            "sink[0].password_file: does not apply by itself; allowed: only with username",
        ),
        (
            "token_file = \"/t\"\nusername = \"u\"\npassword_file = \"/p\"",
            "sink[0].token_file: does not go with username; allowed: one of the two",
        ),
        ("username = \"a:b\"\npassword_file = \"/p\"", "sink[0].username: found \"a:b\""),
    ] {
        let found = problems(&format!("{URL}{rest}"));
        assert!(found.contains(said), "{found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
    let both = http(&format!("{URL}cert_file = \"/c\"\nkey_file = \"/k\"")).access;
    assert!(both.tls.identity().is_some() && both.exposure().secret.is_none());
}

#[test]
fn plain_headers_are_kept_and_those_that_are_secret_or_ours_are_refused() {
    let plain = http(&format!("{URL}headers = {{ X-Site = \"north \\\"1\\\"\", x-a = \"\" }}"));
    let expected = [("X-Site", "north \"1\""), ("x-a", "")];
    assert_eq!(plain.access.headers, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    for name in ["Authorization", "X-Api-Key", "cookie", "Proxy-Authorization", "X-TOKEN"] {
        let said = problems(&format!("{URL}headers = {{ {name} = \"hunter2\" }}"));
        assert!(said.contains("headers_file") && !said.contains("hunter2"), "{said}");
    }
    for name in ["Host", "content-length", "Transfer-Encoding", "\"a b\"", "\"\""] {
        let said = problems(&format!("{URL}headers = {{ {name} = \"v\" }}"));
        assert!(said.contains("sink[0].headers: found"), "{said}");
    }
    for value in ["1", "\"a\\nb\"", "\" a\""] {
        let said = problems(&format!("{URL}headers = {{ X-Site = {value} }}"));
        assert!(said.contains("on one line"), "{said}");
    }
}

#[test]
fn an_influx_url_without_a_database_is_doubted() {
    let warnings = |url: &str| {
        let text = sink(&format!("encoding = \"influx\"\nurl = \"{url}\""));
        warnings(&Config::parse(&text, "test").expect("sound")).join("\n")
    };
    assert!(warnings("http://127.0.0.1/write").contains("without db= or bucket="));
    assert!(!warnings("http://127.0.0.1/write?db=x").contains("without db="));
}
