//! `kind = "nats"`.

use std::path::PathBuf;

use super::kind::{Kind, field, path};
use super::print::Printer;
use super::section::Section;
use super::tls_files::TlsFiles;
use super::url::Scheme;

#[derive(Clone, Debug, PartialEq)]
pub struct NatsSink {
    /// With `{device}`, `{port}` and `{sensor}` to be filled in.
    pub subject: String,
    /// The stream that must take what is published.
    pub stream: Option<String>,
    /// Holds a token.
    pub token_file: Option<PathBuf>,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// Holds a user's JWT and the seed of its key, as `nsc` writes them.
    pub creds_file: Option<PathBuf>,
    pub tls: TlsFiles,
}

const SUBJECT: &str = "telemetry.{device}";

pub(super) const KEYS: &[&str] = &[
    "subject",
    "stream",
    "token_file",
    "username",
    "password_file",
    "creds_file",
    "ca_file",
    "cert_file",
    "key_file",
];

pub(super) const SCHEME: Scheme = Scheme {
    names: &["nats", "tls"],
    path: "",
    allowed: "a nats or tls URL, such as \"nats://nats.example.com:4222\"",
};

impl NatsSink {
    pub(super) fn read(from: &Section<'_>) -> Self {
        let sink = Self {
            subject: from.or("subject", SUBJECT.to_owned(), &subject()),
            stream: from.optional("stream", &stream()),
            token_file: from.optional("token_file", &path()),
            username: from.optional("username", &field()),
            password_file: from.optional("password_file", &path()),
            creds_file: from.optional("creds_file", &path()),
            tls: TlsFiles::read(from),
        };
        one_login(from);
        from.refuse_half("username", "password_file");
        sink
    }

    pub(super) fn print(&self, to: &mut Printer) {
        to.text("subject", &self.subject);
        match &self.stream {
            Some(stream) => to.text("stream", stream),
            None => to.unset("stream", "whichever stream has the subject"),
        }
        if let Some(username) = &self.username {
            to.text("username", username);
        }
        let files = [
            ("token_file", &self.token_file, "it connects without a token"),
            ("password_file", &self.password_file, "it connects without a user name"),
            ("creds_file", &self.creds_file, "it connects without a key"),
        ];
        for (key, file, instead) in files {
            to.file(key, file.as_deref(), instead);
        }
        self.tls.print(to);
    }
}

/// A server takes one kind of proof.
fn one_login(from: &Section<'_>) {
    let logins = ["token_file", "username", "creds_file"];
    let mut given = logins.into_iter().filter(|key| from.has(key));
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        from.report(second, format!("does not go with {first}; allowed: one of the two"));
    }
}

fn subject() -> Kind<String> {
    let allowed = "tokens between dots, without spaces, * or >, with {device}, {port} and {sensor} \
                   to be filled in, such as \"telemetry.{device}.{port}.{sensor}\"";
    Kind::text(allowed, |text| is_template(text).then(|| text.to_owned()))
}

fn is_template(text: &str) -> bool {
    let token = |token: &str| {
        let mut rest = token.to_owned();
        for name in ["{device}", "{port}", "{sensor}"] {
            rest = rest.replace(name, "");
        }
        let plain = |c: char| c.is_ascii_graphic() && !"*>{}".contains(c);
        !token.is_empty() && rest.chars().all(plain)
    };
    // What begins with $ is the server's own.
    text.len() <= 256 && !text.starts_with('$') && text.split('.').all(token)
}

/// As nats-server allows it.
fn stream() -> Kind<String> {
    Kind::text("the name of a stream: 1 to 255 characters of A-Z a-z 0-9 _ -", |text| {
        let good = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
        ((1..=255).contains(&text.len()) && text.bytes().all(good)).then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_template_that_no_name_can_break() {
        for good in ["telemetry.{device}", "a.b-c_d.{port}x{sensor}", "one", "{sensor}"] {
            assert!(is_template(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "a.*",
            "a.>",
            "a.{name}",
            "a.{device",
            "$JS.API.x",
            "a.é",
            "a\tb",
        ] {
            assert!(!is_template(bad), "{bad}");
        }
    }
}
