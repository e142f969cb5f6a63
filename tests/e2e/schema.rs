//! The JSON Schema of a configuration, judged by a validator of other people: python3-jsonschema.
//!
//! Invariants checked: the schema is one; what ships and what `check` accepts is valid; the mistakes an editor
//! can find are found where they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::kit::need::installed;
use crate::kit::program::outstation;
use crate::kit::site::Site;

const DEBIAN_PACKAGES: &str = "python3-jsonschema";

/// Says of each file what is wrong with it: a line for each mistake, with its path.
const VALIDATE: &str = r#"
import json, sys, tomllib
from jsonschema import Draft7Validator
schema = json.load(open(sys.argv[1]))
Draft7Validator.check_schema(schema)
def leaves(error):
    return [leaf for child in error.context for leaf in leaves(child)] or [error]
for error in Draft7Validator(schema).iter_errors(tomllib.load(open(sys.argv[2], "rb"))):
    for leaf in leaves(error):
        print(".".join(str(part) for part in leaf.absolute_path), leaf.message)
"#;

struct Editor(Site);

impl Editor {
    /// None, with a word, where the validator is missing.
    fn start() -> Option<Self> {
        let site = installed("jsonschema", DEBIAN_PACKAGES).then(Site::new)?;
        let output = outstation(&["check", "--schema"]);
        assert!(output.status.success(), "{output:?}");
        fs::write(site.path("schema.json"), output.stdout).expect("write the schema");
        Some(Self(site))
    }

    fn mistakes(&self, text: &str) -> Vec<String> {
        let file = self.0.path("edited.toml");
        fs::write(&file, text).expect("write a configuration");
        let mut validator = Command::new("/usr/bin/python3");
        let validator = validator.args(["-c", VALIDATE]).arg(self.0.path("schema.json")).arg(file);
        let output = validator.output().expect("run the validator");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
    }
}

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_ships_is_valid_for_an_editor_too() {
    let Some(editor) = Editor::start() else { return };
    let shipped = repository("config/outstation.toml");
    let used: Vec<&str> =
        shipped.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut texts = vec![shipped.clone(), used.join("\n"), String::new()];
    for example in fs::read_dir(examples).expect("a folder") {
        texts.push(fs::read_to_string(example.expect("an entry").path()).expect("a file"));
    }
    assert!(texts.len() > 4, "the examples are found");
    for text in texts {
        assert_eq!(editor.mistakes(&text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn an_editor_shows_the_mistakes_where_they_are() {
    let Some(editor) = Editor::start() else { return };
    let port = "[[port]]\nname = \"p\"\npath = \"/dev/ttyS1\"\n";
    let sink = "[[sink]]\nname = \"s\"\nkind = \"http\"\nurl = \"http://h/\"\n";
    let alarm = "[[alarm]]\nport = \"p\"\nchannel = \"c\"\n";
    let cases = [
        ("[log]\ncommit_reading = 1\n".to_owned(), "log "),
        ("[log]\ncommit_readings = 32769\n".to_owned(), "log.commit_readings "),
        ("[device]\nid = \"pump 7\"\n".to_owned(), "device.id "),
        (format!("{port}framing = \"frames\"\n"), "port.0.framing "),
        (port.to_owned(), "port.0 'framing' is a required property"),
        (format!("{port}framing = \"lines\"\n"), "port.0 'format' is a required property"),
        (format!("{port}framing = \"postcard\"\nline_max = 80\n"), "port.0.line_max "),
        (
            format!("{port}framing = \"lines\"\nformat = \"csv\"\n"),
            "port.0 'columns' is a required property",
        ),
        (
            format!("{port}framing = \"lines\"\nformat = \"json\"\ndelimiter = \",\"\n"),
            "port.0.format 'csv' was expected",
        ),
        (format!("{sink}version = \"5\"\n"), "sink.0.version "),
        (format!("{sink}cert_file = \"/c\"\n"), "sink.0 'key_file' is a required property"),
        (format!("{sink}batch_bytes = \"16 TiB\"\n"), "sink.0.batch_bytes "),
        (format!("{alarm}above = 1\nis = true\n"), "alarm.0 "),
    ];
    for (text, mistake) in cases {
        let found = editor.mistakes(&text);
        assert!(found.iter().any(|found| found.starts_with(mistake)), "{text}{found:?}");
        let file = editor.0.path("edited.toml").display().to_string();
        let checked = outstation(&["check", "--config", &file]);
        assert_eq!(checked.status.code(), Some(78), "never stricter than `check`: {text}");
    }
}
