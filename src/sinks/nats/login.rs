//! The login to a NATS server by a token, a user name and password, or a signed challenge.
//!
//! Files are read for each connection, so that they can be replaced while the daemon runs. No secret is
//! ever shown: [`NatsLogin`] has no `Debug`, and errors name files, not their contents.

use std::path::{Path, PathBuf};

use ring::signature::Ed25519KeyPair;
use serde::Serialize;

use super::config::NatsConfig;
use crate::credentials::SetupError;
use crate::credentials::file::{FileKind, NamedFile};

/// The part of CONNECT that logs in.
#[derive(Serialize)]
pub(super) struct NatsLogin {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<String>,
    #[serde(skip)]
    key: Option<Ed25519KeyPair>,
}

impl NatsLogin {
    pub(super) fn read(config: &NatsConfig) -> Result<Self, SetupError> {
        let secret = |what, path: &Option<PathBuf>| {
            path.as_deref().map(|path| NamedFile::secret(what, path).token()).transpose()
        };
        let credentials = config.creds_file.as_deref().map(Credentials::read).transpose()?;
        let (jwt, key) = credentials.map(|Credentials { jwt, key }| (jwt, key)).unzip();
        Ok(Self {
            auth_token: secret(FileKind::Token, &config.token_file)?,
            user: config.username.clone(),
            pass: secret(FileKind::Password, &config.password_file)?,
            jwt,
            sig: None,
            key,
        })
    }

    /// Signs the server's challenge if a key is configured. False if a key is configured but the server has
    /// sent no challenge.
    pub(super) fn sign(&mut self, challenge: Option<&str>) -> bool {
        let Some(key) = &self.key else { return true };
        self.sig = challenge.map(|challenge| signed(key, challenge));
        self.sig.is_some()
    }
}

fn signed(key: &Ed25519KeyPair, challenge: &str) -> String {
    base64url(key.sign(challenge.as_bytes()).as_ref())
}

struct Credentials {
    jwt: String,
    key: Ed25519KeyPair,
}

impl Credentials {
    fn read(path: &Path) -> Result<Self, SetupError> {
        let file = NamedFile::secret(FileKind::Credentials, path);
        let none = "no user JWT and seed of its key, as `nsc generate creds` writes them";
        Self::of(&file.text()?).ok_or_else(|| file.holds(none))
    }

    /// Parses two blocks between lines of dashes: the JWT, then the seed.
    fn of(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let mut after = |head: &str| {
            lines.by_ref().find(|line| line.starts_with("---") && line.contains(head))?;
            lines.by_ref().find(|line| !line.is_empty() && !line.starts_with("---"))
        };
        let jwt = after("BEGIN NATS USER JWT")?.to_owned();
        let seed = user_seed(after("BEGIN USER NKEY SEED")?)?;
        Some(Self { jwt, key: Ed25519KeyPair::from_seed_unchecked(&seed).ok()? })
    }
}

/// Decodes a seed such as `SUAO…`: base32 of two bytes that mean "seed of a user", the 32 bytes of the
/// seed, and a CRC-16 (little endian) of all 34.
fn user_seed(text: &str) -> Option<[u8; 32]> {
    const SEED_OF_USER: [u8; 2] = [0x95, 0x00];
    let bytes = base32(text)?;
    let (said, sum) = bytes.split_at_checked(34)?;
    let sound = sum == crc16(said).to_le_bytes() && said.starts_with(&SEED_OF_USER);
    sound.then(|| said[2..].try_into().ok()).flatten()
}

/// Decodes base32 of RFC 4648 without padding.
fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for c in text.bytes() {
        let five = match c {
            b'A'..=b'Z' => c - b'A',
            b'2'..=b'7' => c - b'2' + 26,
            _ => return None,
        };
        held = (held << 5) | u32::from(five);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

/// Encodes with the URL alphabet of RFC 4648, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| usize::from(three.get(at).copied().unwrap_or(0));
        let held = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for digit in 0..=three.len() {
            text.push(char::from(ALPHABET[(held >> (18 - 6 * digit)) & 63]));
        }
    }
    text
}

/// Computes CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_and_alphabets_are_those_of_the_standards() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(base64url(b"\xfb\xff\xfe"), "-__-");
        assert_eq!([base64url(b"f"), base64url(b"fo")], ["Zg", "Zm8"]);
        assert_eq!(base32("MZXW6YTBOI"), Some(b"foobar".to_vec()));
        assert_eq!(base32("mzxw"), None);
    }

    // The key of RFC 8032, section 7.1, test 1, written as the seed of a user.
    const CREDS: &str = "\
        -----BEGIN NATS USER JWT-----\n\
        eyJ0.e30.c2ln\n\
        ------END NATS USER JWT------\n\n\
        ************************* IMPORTANT *************************\n\n\
        -----BEGIN USER NKEY SEED-----\n\
        SUAJ2YNRTXX72WTAXKCEV5ES5QWMIRCJYVUXWMTJDFYDXLADDSXH6YALCA\n\
        ------END USER NKEY SEED------\n";

    #[test]
    fn credentials_sign_what_the_server_sends_with_the_key_of_the_user() {
        let credentials = Credentials::of(CREDS).expect("sound");
        assert_eq!(credentials.jwt, "eyJ0.e30.c2ln");
        assert_eq!(
            signed(&credentials.key, ""),
            "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc-bRr0lv18FlbviRlUUFDjnoQCw",
            "RFC 8032: e5564300c360ac72…"
        );
    }

    #[test]
    fn a_seed_with_a_slip_and_one_of_no_user_are_no_credentials() {
        assert!(Credentials::of(&CREDS.replace("SUAJ2", "SUAJ3")).is_none());
        assert!(Credentials::of(&CREDS.replace("SUAJ2", "SAAJ2")).is_none());
        assert!(Credentials::of(&CREDS.replace("USER NKEY", "OTHER NKEY")).is_none());
        assert!(Credentials::of("").is_none());
    }
}
