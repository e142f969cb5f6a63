//! An authority of one's own, and whom it vouches for.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};

use super::site::Site;

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Under the name that the certificates have too, OpenSSL would take them for self-signed.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

/// A certificate for a name from this year on, and its key.
pub(crate) fn signed(authority: &Authority, name: &str, year: i32) -> (Certificate, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    params.not_before = rcgen::date_time_ymd(year, 1, 1);
    (params.signed_by(&key, authority).expect("a certificate"), key)
}

/// The same as two files of a site, `FILE.pem` and `FILE.key`; their paths.
pub(crate) fn issue(
    site: &Site,
    authority: &Authority,
    name: &str,
    year: i32,
    file: &str,
) -> [String; 2] {
    let (certificate, key) = signed(authority, name, year);
    let write = |end: &str, text: &str| site.write(&format!("{file}.{end}"), text);
    let paths = [write("pem", &certificate.pem()), write("key", &key.serialize_pem())];
    paths.map(|path| path.display().to_string())
}
