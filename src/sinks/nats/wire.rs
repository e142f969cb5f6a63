//! The text protocol of NATS: writes commands and parses operations, without I/O.
//!
//! ```text
//! ◀ INFO {…}                                    ▶ CONNECT {…}
//! ▶ SUB _INBOX.x.* 1                            ▶ PING        ◀ PONG
//! ▶ HPUB telemetry.pump-7 _INBOX.x.7 48 172     ◀ MSG _INBOX.x.7 1 34
//!   NATS/1.0 … Nats-Msg-Id: …   {"device":…}      {"stream":"TELEMETRY","seq":7}
//! ```

use std::io::Write as _;

use serde::Deserialize;

/// The longest line in bytes that is read: the INFO of a cluster names all its servers.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;
/// The longest message in bytes that is read. An acknowledgement takes about fifty bytes, the description
/// of a stream a few thousand.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// The part of a server's INFO that is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    /// The longest message in bytes that the server accepts, including its headers.
    pub(super) max_payload: usize,
    pub(super) headers: bool,
    pub(super) tls_required: bool,
    /// The challenge that a client with a key has to sign.
    pub(super) nonce: Option<String>,
}

/// One operation that a server sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    Info(Box<Info>),
    Message(NatsMessage<'a>),
    /// The text of `-ERR`, without its quotes.
    Error(&'a str),
    Ping,
    Pong,
    Ok,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct NatsMessage<'a> {
    pub(super) subject: &'a str,
    /// The id of the subscription that the message arrived by.
    pub(super) subscription: &'a str,
    pub(super) reply: Option<&'a str>,
    /// The headers: empty, or `NATS/1.0 503` and more lines.
    pub(super) head: &'a [u8],
    pub(super) body: &'a [u8],
}

/// The input is not NATS, or is longer than any answer we ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

/// A message to be published.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishCommand<'a> {
    pub(super) subject: &'a str,
    pub(super) reply: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

impl PublishCommand<'_> {
    /// Appends the command. Returns the number of bytes that count towards `max_payload`.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> usize {
        let mut head = Vec::new();
        if !self.headers.is_empty() {
            head.extend_from_slice(b"NATS/1.0\r\n");
            for (name, value) in self.headers {
                // Writing into memory does not fail.
                drop(write!(head, "{name}: {value}\r\n"));
            }
            head.extend_from_slice(b"\r\n");
        }
        let (head_bytes, all_bytes) = (head.len(), head.len() + self.body.len());
        drop(match head_bytes {
            0 => write!(out, "PUB {} {} {all_bytes}\r\n", self.subject, self.reply),
            _ => write!(out, "HPUB {} {} {head_bytes} {all_bytes}\r\n", self.subject, self.reply),
        });
        out.extend_from_slice(&head);
        out.extend_from_slice(self.body);
        out.extend_from_slice(b"\r\n");
        all_bytes
    }
}

impl NatsMessage<'_> {
    /// The status in the headers. A server sends 503 in place of an answer if no subscriber exists.
    pub(super) fn status(&self) -> Option<u16> {
        let line = self.head.strip_prefix(b"NATS/1.0 ")?;
        std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
    }

    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let head = std::str::from_utf8(self.head).ok()?;
        let found = head.lines().filter_map(|line| line.split_once(':'));
        found.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value.trim())
    }
}

/// Parses the first operation. Returns it with the number of bytes it takes, or `None` while it is
/// incomplete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Operation<'_>, usize)>, Nonsense> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() > LINE_BYTES_MAX { Err(Nonsense) } else { Ok(None) };
    };
    let (line, rest) = (bytes[..end].trim_ascii(), &bytes[end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| Nonsense)?;
    let (verb, rest_of_line) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let operation = match verb.to_ascii_uppercase().as_str() {
        "PING" => Operation::Ping,
        "PONG" => Operation::Pong,
        "+OK" => Operation::Ok,
        "-ERR" => Operation::Error(rest_of_line.trim().trim_matches('\'')),
        "INFO" => Operation::Info(serde_json::from_str(rest_of_line).map_err(|_| Nonsense)?),
        "MSG" | "HMSG" => {
            let with_head = verb.eq_ignore_ascii_case("HMSG");
            let found = message(rest_of_line, with_head, rest)?;
            return Ok(found.map(|(message, used)| (Operation::Message(message), end + 1 + used)));
        }
        _ => return Err(Nonsense),
    };
    Ok(Some((operation, end + 1)))
}

/// Parses `subject sid [reply] [head] all`, then the given number of bytes and the end of a line.
fn message<'a>(
    line: &'a str,
    with_head: bool,
    rest: &'a [u8],
) -> Result<Option<(NatsMessage<'a>, usize)>, Nonsense> {
    let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
    let mut number = || words.pop().and_then(|word| word.parse::<usize>().ok()).ok_or(Nonsense);
    let all = number()?;
    let head = if with_head { number()? } else { 0 };
    let (subject, subscription, reply) = match words[..] {
        [subject, subscription] => (subject, subscription, None),
        [subject, subscription, reply] => (subject, subscription, Some(reply)),
        _ => return Err(Nonsense),
    };
    if all > MESSAGE_BYTES_MAX || head > all {
        return Err(Nonsense);
    }
    let Some(whole) = rest.get(..all + 2) else { return Ok(None) };
    let (head, body) = whole[..all].split_at(head);
    if &whole[all..] != b"\r\n" {
        return Err(Nonsense);
    }
    Ok(Some((NatsMessage { subject, subscription, reply, head, body }, all + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_with_its_headers_and_counted_with_them() {
        let mut out = Vec::new();
        let headers = &[("Nats-Msg-Id", "pump-7-9-1")];
        let publish =
            PublishCommand { subject: "t.pump-7", reply: "_INBOX.x.1", headers, body: b"{}" };
        assert_eq!(publish.write(&mut out), 39);
        let text =
            "HPUB t.pump-7 _INBOX.x.1 37 39\r\nNATS/1.0\r\nNats-Msg-Id: pump-7-9-1\r\n\r\n{}\r\n";
        assert_eq!(String::from_utf8_lossy(&out), text);
        out.clear();
        let bare = PublishCommand { headers: &[], ..publish };
        assert_eq!(bare.write(&mut out), 2);
        assert_eq!(out, b"PUB t.pump-7 _INBOX.x.1 2\r\n{}\r\n");
    }

    #[test]
    fn what_a_server_says_is_read_one_operation_at_a_time_and_not_before_it_is_complete() {
        let said: &[u8] =
            b"INFO {\"max_payload\":1048576,\"headers\":true,\"x\":[]}\r\n+OK\r\nPING\r\n\
            MSG _INBOX.x.7 1 2\r\n{}\r\nHMSG _INBOX.x.8 1 r.8 16 16\r\nNATS/1.0 503\r\n\r\n\r\n\
            -ERR 'Authorization Violation'\r\npong\r\n";
        let message = |subject, reply, head, body| {
            Operation::Message(NatsMessage { subject, subscription: "1", reply, head, body })
        };
        let info = Info { max_payload: 1 << 20, headers: true, ..Info::default() };
        let expected = [
            Operation::Info(Box::new(info)),
            Operation::Ok,
            Operation::Ping,
            message("_INBOX.x.7", None, b"", b"{}"),
            message("_INBOX.x.8", Some("r.8"), b"NATS/1.0 503\r\n\r\n", b""),
            Operation::Error("Authorization Violation"),
            Operation::Pong,
        ];
        let (mut from, mut seen) = (0, 0);
        for to in 0..=said.len() {
            if let Some((operation, used)) = parse(&said[from..to]).expect("NATS") {
                assert_eq!(operation, expected[seen]);
                assert_eq!(from + used, to, "as soon as it is complete");
                (from, seen) = (to, seen + 1);
            }
        }
        assert_eq!((from, seen), (said.len(), expected.len()));
    }

    #[test]
    fn a_status_and_a_header_are_found_in_the_head() {
        let head = b"NATS/1.0 503 No Responders\r\nNats-Msg-Id: a-1-2\r\n\r\n";
        let message = NatsMessage { subject: "s", subscription: "1", reply: None, head, body: b"" };
        assert_eq!(message.status(), Some(503));
        assert_eq!(message.header("Nats-Msg-Id"), Some("a-1-2"));
        assert_eq!(message.header("Other"), None);
        let plain = NatsMessage { head: b"NATS/1.0\r\n\r\n", ..message };
        assert_eq!(plain.status(), None);
    }

    #[test]
    fn anything_else_is_nonsense_and_never_read_without_end() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"INFO not json\r\n",
            b"MSG a 1 99999999999\r\n",
            b"MSG a 1 1000000\r\n",
            b"MSG 1\r\n",
            b"HMSG a 1 9 2\r\n\r\n\r\n",
            b"MSG a 1 2\r\nabcd\r\n",
            b"\xff\xfe\r\n",
            &[b'a'; LINE_BYTES_MAX + 1],
        ] {
            assert_eq!(parse(bytes), Err(Nonsense), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(parse(&[b'a'; LINE_BYTES_MAX]), Ok(None));
    }
}
