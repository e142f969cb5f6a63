//! Requests as simple as can be. They are of HTTP 1.0, so that no answer comes in chunks.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use super::wait::PATIENCE;

/// One GET; status code and body.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    try_get(address, path).unwrap_or_else(|error| panic!("GET http://{address}{path}: {error}"))
}

/// The same where perhaps nobody answers.
pub(crate) fn try_get(address: &str, path: &str) -> io::Result<(u16, String)> {
    request(address, "GET", path)
}

/// A request without a body; status code and body of the answer.
pub(crate) fn request(address: &str, method: &str, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    });
    parts.ok_or(io::ErrorKind::UnexpectedEof.into())
}

/// Every byte of a part of an address spelled out.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
