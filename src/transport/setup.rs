//! The meaning of a setup error for delivery: nothing can be sent until a person changes something. The
//! errors themselves are in `credentials/file.rs`.

use crate::credentials::SetupError;
use crate::credentials::file::FileKind;
use crate::domain::policy::breaker::Cause;
use crate::upload::{Class, DeliveryError};

impl DeliveryError for SetupError {
    fn class(&self) -> Class {
        Class::retry(Cause::Misconfigured)
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::Host(_) => "correct `url`",
            Self::Read { what, .. }
            | Self::Exposed { what, .. }
            | Self::Content { what, .. }
            | Self::Line { what, .. } => of_file(*what),
            Self::Mismatch { .. } | Self::Identity { .. } => {
                "let `key_file` hold the key of the certificate in `cert_file`"
            }
            Self::Tls(_) => "check `ca_file`, `cert_file` and `key_file`",
        }
    }
}

fn of_file(what: FileKind) -> &'static str {
    match what {
        FileKind::Token => {
            "make the file that `token_file` names, with the token as its only line, readable by the \
             daemon"
        }
        FileKind::Password => {
            "make the file that `password_file` names, with the password as its only line, readable \
             by the daemon"
        }
        FileKind::Headers => {
            "make the file that `headers_file` names, with lines `Name: value`, readable by the daemon"
        }
        FileKind::Certificate | FileKind::Key => {
            "let `ca_file`, `cert_file` and `key_file` name files in PEM that the daemon may read"
        }
        FileKind::Credentials | FileKind::Users => {
            "let the key of the configuration name a file of that kind that the daemon may read"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::upload::Reason;

    #[test]
    fn a_file_that_cannot_be_used_is_named_by_its_key() {
        let unread = |what| SetupError::Read {
            what,
            path: "/t".into(),
            source: io::Error::from(io::ErrorKind::NotFound),
        };
        let reason = Reason::new(unread(FileKind::Token));
        assert!(reason.to_string().starts_with("failed to read the token file `/t`"), "{reason}");
        assert!(reason.remedy().contains("`token_file` names"), "{}", reason.remedy());
        assert!(unread(FileKind::Certificate).remedy().contains("`ca_file`"));
        assert!(SetupError::Url("x".into()).remedy().contains("`url`"));
    }
}
