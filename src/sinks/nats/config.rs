//! The keys of `kind = "nats"`. The keys that all sinks share are in `config/sink.rs`.

use std::path::PathBuf;

use crate::config::part::credential::secret_file;
use crate::config::part::tls_files::TlsFiles;
use crate::config::part::url::Scheme;
use crate::config::reader::field::{default, optional};
use crate::config::reader::syntax::{Syntax, field_name};
use crate::config::reader::table::settings;
use crate::domain::model::template::Template;

settings! {
    /// NATS with JetStream: one message for each reading and event, the same JSON object as
    /// `encoding = "json"` of kind http, some 335 bytes on the wire. Each has an id of its own (`Nats-Msg-Id`:
    /// device, epoch, number), so the stream keeps it once however often it is sent. After an interruption the
    /// ids in the stream are read back, and what is there is not sent again; between several endpoints repeats
    /// are dropped by the stream's duplicate window alone. An account that may only publish needs rights to
    /// `telemetry.>` and `_INBOX.>` and relies on that window: create the stream with `--dupe-window 24h`. The
    /// port is 4222 unless the URL has one.
    pub(super) struct NatsConfig {
        /// Subject of readings; {device}, {port} and {sensor} are filled in. In their names a dot, space, `*` or
        /// `>` becomes `_`. What happens to the board goes there too, with `_events` for port and sensor.
        pub(super) subject: Template = default(Template::built_in("telemetry.{device}"), subject());

        /// Stream that must take what is published. It is never created here:
        /// `nats stream add TELEMETRY --subjects 'telemetry.>' --defaults`.
        pub(super) stream: Option<String> =
            optional("the stream that has the subject takes it", stream()).example("\"TELEMETRY\"");

        /// File with a token to log in with.
        pub(super) token_file: Option<PathBuf> = optional("it connects without a token", secret_file())
            .not_with(&["username", "creds_file"])
            .example("\"credential:nats-token\"");

        /// Name to log in with.
        pub(super) username: Option<String> = optional("it connects without a user name", field_name())
            .only_with(&["password_file"])
            .example("\"pump-7\"");

        /// File with the password that belongs to `username`, in one line.
        pub(super) password_file: Option<PathBuf> = optional("it connects without a user name", secret_file())
            .only_with(&["username"])
            .example("\"credential:nats-password\"");

        /// File with a user's JWT and the seed of its key, as `nsc` writes it, in place of token or password.
        pub(super) creds_file: Option<PathBuf> = optional("it connects without a key", secret_file())
            .not_with(&["username"])
            .example("\"credential:pump-7.creds\"");

        in pub(super) tls: TlsFiles;
    }
}

pub(super) const SCHEME: Scheme = Scheme {
    names: &["nats", "tls"],
    path: "",
    allowed: "a nats or tls URL, such as \"nats://nats.example.com:4222\"",
    example: "\"tls://nats.example.com\"",
};

fn subject() -> Syntax<Template> {
    let allowed = "tokens between dots, without spaces, * or >, with {device}, {port} and {sensor} \
                   to be filled in, such as \"telemetry.{device}.{port}.{sensor}\"";
    Syntax::text(allowed, to_subject, Template::to_string)
}

fn to_subject(text: &str) -> Option<Template> {
    let plain = |c: char| c.is_ascii_graphic() && !"*>".contains(c);
    // Subjects that begin with `$` belong to the server.
    let good = text.len() <= 256
        && !text.starts_with('$')
        && text.chars().all(plain)
        && !text.split('.').any(str::is_empty);
    good.then(|| Template::parse(text)).flatten()
}

/// A name of a stream as nats-server allows it.
fn stream() -> Syntax<String> {
    let read = |text: &str| {
        let good = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
        ((1..=255).contains(&text.len()) && text.bytes().all(good)).then(|| text.to_owned())
    };
    let allowed = "the name of a stream: 1 to 255 characters of A-Z a-z 0-9 _ -";
    Syntax::text(allowed, read, String::clone)
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
