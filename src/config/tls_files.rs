//! The certificates of a sink: whom it trusts, and what it shows of itself.

use std::path::{Path, PathBuf};

use super::credential::secret_file;
use super::print::Printer;
use super::section::Section;

pub(super) const KEYS: &[&str] = &["ca_file", "cert_file", "key_file"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// `None`: the built-in Mozilla roots.
    pub ca_file: Option<PathBuf>,
    /// Certificate and key that the server asks for.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    pub(super) fn read(from: &Section<'_>) -> Self {
        from.refuse_half("cert_file", "key_file");
        let identity = from
            .optional("cert_file", &secret_file())
            .zip(from.optional("key_file", &secret_file()));
        Self { ca_file: from.optional("ca_file", &secret_file()), identity }
    }

    pub(super) fn print(&self, to: &mut Printer) {
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
    pub(super) fn named_by(&self) -> Option<&'static str> {
        let identity = self.identity.as_ref().map(|_| "cert_file");
        self.ca_file.as_ref().map(|_| "ca_file").or(identity)
    }
}
