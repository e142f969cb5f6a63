//! `kind = "nats"`.

use std::path::PathBuf;

use crate::config::part::credential::secret_file;
use crate::config::part::tls_files::{self, TlsFiles};
use crate::config::part::url::Scheme;
use crate::config::reader::keys::{Key, Keys, key};
use crate::config::reader::kind::{Kind, field};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;
use crate::domain::model::template::Template;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct NatsConfig {
    pub(super) subject: Template,
    /// The stream that must take what is published.
    pub(super) stream: Option<String>,
    /// Holds a token.
    pub(super) token_file: Option<PathBuf>,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    /// Holds a user's JWT and the seed of its key, as `nsc` writes them.
    pub(super) creds_file: Option<PathBuf>,
    pub(super) tls: TlsFiles,
}

const SUBJECT: &str = "telemetry.{device}";

pub(super) const KEYS: Keys = &[OWN_KEYS, tls_files::KEYS];

#[rustfmt::skip]
const OWN_KEYS: &[Key] = &[
    key("sink.subject", "\"telemetry.{device}\"", "subject that readings and events are published on"),
    key("sink.stream", "whichever stream has the subject", "stream that must take what is published"),
    key("sink.token_file", "it connects without a token", "file with a token to log in with"),
    key("sink.username", "it connects without a name", "name to log in with"),
    key("sink.password_file", "it connects without a name", "file with the password that belongs to username"),
    key("sink.creds_file", "it connects without a key", "file with a user's JWT and the seed of its key"),
];

pub(super) const SCHEME: Scheme = Scheme {
    names: &["nats", "tls"],
    path: "",
    allowed: "a nats or tls URL, such as \"nats://nats.example.com:4222\"",
};

impl NatsConfig {
    pub(super) fn read(from: &Section<'_>) -> Self {
        let sink = Self {
            subject: from.or("subject", Template::built_in(SUBJECT), &subject()),
            stream: from.optional("stream", &stream()),
            token_file: from.optional("token_file", &secret_file()),
            username: from.optional("username", &field()),
            password_file: from.optional("password_file", &secret_file()),
            creds_file: from.optional("creds_file", &secret_file()),
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

fn subject() -> Kind<Template> {
    let allowed = "tokens between dots, without spaces, * or >, with {device}, {port} and {sensor} \
                   to be filled in, such as \"telemetry.{device}.{port}.{sensor}\"";
    Kind::text(allowed, to_subject)
}

fn to_subject(text: &str) -> Option<Template> {
    let plain = |c: char| c.is_ascii_graphic() && !"*>".contains(c);
    // What begins with $ is the server's own.
    let good = text.len() <= 256
        && !text.starts_with('$')
        && text.chars().all(plain)
        && !text.split('.').any(str::is_empty);
    good.then(|| Template::parse(text)).flatten()
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
            assert!(to_subject(good).is_some(), "{good}");
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
            assert_eq!(to_subject(bad), None, "{bad}");
        }
    }
}
