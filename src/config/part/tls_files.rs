//! The certificates of a sink: which authorities it trusts, and what it shows of itself.

use std::path::{Path, PathBuf};

use super::credential::secret_file;
use crate::config::reader::field::optional;
use crate::config::reader::table::settings;

settings! {
    /// The certificates of a sink.
    pub struct TlsFiles {
        /// File of the certificates of authorities to trust, in PEM.
        pub ca_file: Option<PathBuf> =
            optional("the built-in Mozilla roots are trusted", secret_file()).example("\"/etc/outstation/ca.pem\"");

        /// File of our own certificate and those between it and its authority, in PEM, for servers that ask
        /// for one.
        pub cert_file: Option<PathBuf> = optional("no certificate is shown to the server", secret_file())
            .only_with(&["key_file"])
            .example("\"credential:client.pem\"");

        /// File of the certificate's private key, in PEM.
        pub key_file: Option<PathBuf> = optional("no certificate is shown to the server", secret_file())
            .only_with(&["cert_file"])
            .example("\"credential:client.key\"");
    }
}

impl TlsFiles {
    /// The certificate and key to show to the server.
    pub(crate) fn identity(&self) -> Option<(&Path, &Path)> {
        self.cert_file.as_deref().zip(self.key_file.as_deref())
    }

    /// All the files that are named.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let files = [&self.ca_file, &self.cert_file, &self.key_file];
        files.into_iter().filter_map(|file| file.as_deref())
    }

    /// The first key that names such a file.
    pub(crate) fn named_by(&self) -> Option<&'static str> {
        let ca_file = self.ca_file.as_ref().map(|_| "ca_file");
        ca_file.or(self.cert_file.as_ref().map(|_| "cert_file"))
    }
}
