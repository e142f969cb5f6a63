//! What a person can do about a sink that is misconfigured, by what it said.

/// One sentence, fit for the end of a log line.
pub(crate) fn of(detail: &str) -> &'static str {
    let said = detail.to_lowercase();
    let found = match status(&said) {
        Some(code) => lookup(BY_STATUS, &code),
        None => lookup(BY_WORDS, &said),
    };
    found.unwrap_or(OTHERWISE)
}

const OTHERWISE: &str = "check `url` and the credentials of this sink";

const BY_STATUS: &[(&[&str], &str)] = &[
    (
        &["401", "403", "407"],
        "put a token that the server accepts into the file that `token_file` names; it is read \
         anew for each request",
    ),
    (&["404", "405", "410"], "correct the path of `url`"),
    (&["301", "302", "303", "307", "308"], "if it may go there, write that address as `url`"),
];

/// The first that fits.
const BY_WORDS: &[(&[&str], &str)] = &[
    (
        &["not valid yet", "notvalidyet", "is not valid before"],
        "the board's clock is behind: set it, and see that it can reach a time server",
    ),
    (
        &["certificate expired", "expired"],
        "have the server's certificate renewed, or set the board's clock if it is ahead",
    ),
    (
        &["token file"],
        "make the file that `token_file` names, with the token as its only line, readable by the \
         daemon",
    ),
    (
        &["not valid for name", "notvalidforname"],
        "use the host name in `url` that the server's certificate is made out to",
    ),
    (
        &["certificate", "tls"],
        "name the authority that signed the server's certificate in `ca_file`",
    ),
    (
        &["not authorized", "authorization", "authentication", "bad user name or password"],
        "correct this sink's credentials, or what the server lets them do",
    ),
];

fn lookup(table: &[(&[&str], &'static str)], said: &str) -> Option<&'static str> {
    let fits = |(words, _): &&(&[&str], _)| words.iter().any(|word| said.contains(word));
    table.iter().find(fits).map(|(_, remedy)| *remedy)
}

/// The status of an answer. What a server writes below it is not looked at: it is not ours.
fn status(said: &str) -> Option<String> {
    let (_, code) = said.split_once("the server answered ")?;
    Some(code.chars().take_while(char::is_ascii_digit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_has_its_own_remedy() {
        for (said, remedy) in [
            ("the server answered 401 Unauthorized: no certificate?", "`token_file`"),
            ("the server answered 403 Forbidden", "`token_file`"),
            ("the server answered 404 Not Found: 401", "the path of `url`"),
            ("the server answered 302 Found", "that address as `url`"),
            (
                "client error (Connect): invalid peer certificate: certificate not valid yet: \
                 verification time 1 (UNIX), but certificate is not valid before 2",
                "the board's clock is behind",
            ),
            ("invalid peer certificate: certificate expired: verification time 3", "renewed"),
            ("invalid peer certificate: UnknownIssuer", "`ca_file`"),
            (
                "invalid peer certificate: certificate not valid for name \"a\"",
                "host name in `url`",
            ),
            ("failed to read the token file `/t`: no such file", "`token_file` names"),
            ("connection refused: not authorized", "credentials"),
            ("the server answered 418 I'm a teapot", "check `url`"),
            ("the server answered 426 Upgrade Required: TLS required", "check `url`"),
            (
                "nearly everything is refused, so nothing more is put aside; it says: the server \
                 answered 400 Bad Request: field certificate_id unknown",
                "check `url`",
            ),
        ] {
            assert!(of(said).contains(remedy), "{said}: {}", of(said));
        }
    }
}
