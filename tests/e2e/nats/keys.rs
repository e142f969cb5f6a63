//! What `nsc` does: keys of an operator, an account and a user, and what each says of the next.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

/// A key of the sort that a letter names: `O`perator, `A`ccount or `U`ser.
struct Key {
    seed: String,
    public: String,
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(sort: u8) -> Self {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).expect("randomness");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key");
        let letter = (sort - b'A') << 3;
        let seed = encoded(&[(b'S' - b'A') << 3 | letter >> 5, (letter & 31) << 3], &seed);
        Self { seed, public: encoded(&[letter], pair.public_key().as_ref()), pair }
    }

    fn says(&self, of: &Key, name: &str, what: Value) -> String {
        let head = json!({"typ": "JWT", "alg": "ed25519-nkey"}).to_string();
        let claims = json!({
            "jti": name, "iat": 1_700_000_000, "iss": self.public, "sub": of.public, "name": name,
            "nats": what,
        });
        let said = format!("{}.{}", url(head.as_bytes()), url(claims.to_string().as_bytes()));
        format!("{said}.{}", url(self.pair.sign(said.as_bytes()).as_ref()))
    }
}

/// The configuration of a server that trusts a new operator, and the credentials of two users.
pub(crate) fn operated() -> (String, [String; 2]) {
    let (operator, system, account) = (Key::new(b'O'), Key::new(b'A'), Key::new(b'A'));
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let of_account = |key: &Key, name: &str, limits: &Value| {
        operator.says(key, name, json!({"type": "account", "version": 2, "limits": limits}))
    };
    let mut of_system = limits.clone();
    for key in ["mem_storage", "disk_storage", "streams", "consumer"] {
        of_system[key] = json!(0);
    }
    let trust = operator.says(&operator, "operator", json!({"type": "operator", "version": 2}));
    let config = format!(
        "operator: {trust}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}: {}\n{}: {}\n}}\n",
        system.public,
        system.public,
        of_account(&system, "SYS", &of_system),
        account.public,
        of_account(&account, "PLANT", &limits),
    );
    let credentials = ["admin", "pump-7"].map(|name| {
        let user = Key::new(b'U');
        let rights = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        let jwt = account.says(&user, name, rights);
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed
        )
    });
    (config, credentials)
}

/// Base32 of prefix, key and checksum.
fn encoded(prefix: &[u8], key: &[u8]) -> String {
    let mut bytes = [prefix, key].concat();
    let sum = bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    });
    bytes.extend(sum.to_le_bytes());
    digits(&bytes, 5, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
}

fn url(bytes: &[u8]) -> String {
    digits(bytes, 6, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}

/// Bits in groups, the last filled up with zeros.
fn digits(bytes: &[u8], group: usize, alphabet: &[u8]) -> String {
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let digit = |bits: &[u8]| {
        let filled = bits.iter().chain(std::iter::repeat(&0)).take(group);
        char::from(alphabet[filled.fold(0, |digit, bit| digit << 1 | usize::from(*bit))])
    };
    bits.chunks(group).map(digit).collect()
}
