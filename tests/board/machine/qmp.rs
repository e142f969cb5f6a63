//! The hand at the plugs: qemu's machine protocol.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

/// Says one thing to qemu and waits for its answer.
pub(crate) fn tell(socket: &Path, command: &str, arguments: &Value) -> Value {
    let stream = UnixStream::connect(socket).expect("connect to qemu");
    let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    let mut say = |what: Value| {
        writeln!(&stream, "{what}").expect("write to qemu");
        loop {
            let line = lines.next().expect("qemu answers").expect("read from qemu");
            let answer: Value = serde_json::from_str(&line).expect("qemu speaks JSON");
            if answer.get("return").is_some() || answer.get("error").is_some() {
                return answer;
            }
        }
    };
    say(json!({"execute": "qmp_capabilities"}));
    let answer = say(json!({"execute": command, "arguments": arguments}));
    assert!(answer.get("error").is_none(), "{command}: {answer}");
    answer["return"].clone()
}
