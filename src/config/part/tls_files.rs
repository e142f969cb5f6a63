//! The certificates of a sink: whom it trusts, and what it shows of itself.

use std::path::{Path, PathBuf};

use super::credential::secret_file;
use crate::config::reader::keys::{Key, key};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;

#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("sink.ca_file", "the built-in Mozilla roots", "file of certificates in PEM to trust instead"),
    key("sink.cert_file", "it shows no certificate of its own", "file of the certificate to show, in PEM"),
    key("sink.key_file", "it shows no certificate of its own", "file of the certificate's private key, in PEM"),
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// `None`: the built-in Mozilla roots.
    pub ca_file: Option<PathBuf>,
    /// Certificate and key that the server asks for.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    pub(crate) fn read(from: &Section<'_>) -> Self {
        from.refuse_half("cert_file", "key_file");
        let identity = from
            .optional("cert_file", &secret_file())
            .zip(from.optional("key_file", &secret_file()));
        Self { ca_file: from.optional("ca_file", &secret_file()), identity }
    }

    pub(crate) fn print(&self, to: &mut Printer) {
        to.file("ca_file", self.ca_file.as_deref(), "the built-in Mozilla roots are trusted");
        let (certificate, key) =
            self.identity.as_ref().map(|(cert, key)| (&**cert, &**key)).unzip();
        to.file("cert_file", certificate, "no certificate is shown to the server");
        to.file("key_file", key, "no certificate is shown to the server");
    }

    /// All the files that are named.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca_file.iter().chain(identity).map(PathBuf::as_path)
    }

    /// The key by which such a file is named, if one is.
    pub(crate) fn named_by(&self) -> Option<&'static str> {
        let identity = self.identity.as_ref().map(|_| "cert_file");
        self.ca_file.as_ref().map(|_| "ca_file").or(identity)
    }
}
