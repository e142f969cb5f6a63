//! Checks passwords: the users file, and basic authentication against it.
//!
//! A bcrypt hash is slow on purpose and takes a board about a second. So hashes are computed on a thread of
//! their own, one at a time, with one waiting request per address, and after a wrong password the thread
//! pauses three times as long as the hash took: guessing takes a quarter of one core at most. A verified
//! login is remembered as a keyed digest, so that a scraper costs nothing more. No password is kept or
//! shown here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::header::HeaderValue;
use ring::hmac;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::renewed::Renewed;
use crate::credentials::SetupError;
use crate::credentials::file::{FileKind, NamedFile};
use crate::telemetry::events::ClientRefusal;

/// The largest number of users. A site has a handful.
const USERS_MAX: usize = 64;
/// The highest bcrypt cost. Each step doubles the time: at 12 a board takes about four seconds.
const COST_MAX: u32 = 12;
/// The number of bytes of a password that bcrypt reads, with the zero byte at its end.
const PASSWORD_BYTES_MAX: usize = 72;
/// The pause after a wrong password, in multiples of the time that its hash took.
const REST: u32 = 3;

const CRYPT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::BCRYPT,
    // The lengths of salt and digest are no multiple of six bits, and the spare bits are not always zero.
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A bcrypt hash, which the file writes as `$2y$10$` and 53 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Hash {
    cost: u32,
    salt: [u8; 16],
    digest: [u8; 23],
}

/// A hash is secret, so only its cost is shown.
impl std::fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Hash {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let unlike = "is not like `name:$2y$10$…`, as `htpasswd -nBC 10 NAME` prints it";
        let rest = ["$2y$", "$2b$", "$2a$"].iter().find_map(|form| text.strip_prefix(form));
        let (cost, rest) = rest.and_then(|rest| rest.split_once('$')).ok_or(unlike)?;
        let cost: u32 = cost.parse().map_err(|_| unlike)?;
        if rest.len() != 53 || !rest.is_ascii() || cost < 4 {
            return Err(unlike);
        }
        if cost > COST_MAX {
            return Err("has a cost above 12, which takes a board too long; make it with \
                        `htpasswd -nBC 10 NAME`");
        }
        let (salt, digest) = rest.split_at(22);
        let decoded = |text| CRYPT.decode(text).map_err(|_| unlike);
        let salt = decoded(salt)?.try_into().map_err(|_| unlike)?;
        let digest = decoded(digest)?.try_into().map_err(|_| unlike)?;
        Ok(Self { cost, salt, digest })
    }

    /// Computes the digest of a password, which takes up to seconds.
    fn of(&self, password: &[u8]) -> [u8; 23] {
        let mut password = [password, &[0]].concat();
        password.truncate(PASSWORD_BYTES_MAX);
        let digest = bcrypt::bcrypt(self.cost, self.salt, &password);
        let mut kept = [0; 23];
        kept.copy_from_slice(&digest[..23]);
        kept
    }
}

#[derive(Debug)]
struct Hashes {
    of: BTreeMap<String, Hash>,
    /// The hash that is computed for an unknown name, so that the answer takes as long as for a known one.
    decoy: Hash,
}

/// Reads the users file. The error lists every mistake in it.
fn read(path: &Path) -> Result<Hashes, Vec<SetupError>> {
    let file = NamedFile::secret(FileKind::Users, path);
    let text = file.text().map_err(|error| vec![error])?;
    let (mut of, mut wrong) = (BTreeMap::new(), Vec::new());
    let lines = (1..).zip(text.lines().map(str::trim_end));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (name, hash) = line.split_once(':').unwrap_or((line, ""));
        match Hash::parse(hash) {
            Err(problem) => wrong.push(file.at_line(number, problem)),
            Ok(_) if name.is_empty() => wrong.push(file.at_line(number, "has no name")),
            Ok(hash) => {
                if of.insert(name.to_owned(), hash).is_some() {
                    wrong.push(file.at_line(number, "has a name that an earlier line has"));
                }
            }
        }
    }
    let Some(cost) = of.values().map(|hash| hash.cost).max().filter(|_| of.len() <= USERS_MAX)
    else {
        if wrong.is_empty() {
            wrong.push(file.holds(format!("{} users; allowed: 1 to {USERS_MAX}", of.len())));
        }
        return Err(wrong);
    };
    let decoy = Hash { cost, salt: [0x55; 16], digest: [0; 23] };
    if wrong.is_empty() { Ok(Hashes { of, decoy }) } else { Err(wrong) }
}

/// All mistakes in the users file at this path.
pub(super) fn check(path: &Path) -> Vec<SetupError> {
    read(path).err().unwrap_or_default()
}

/// The users who may read the local port, and the logins verified so far.
#[derive(Debug)]
pub(super) struct Users {
    file: PathBuf,
    hashes: Renewed<Hashes>,
    verified: Mutex<BTreeMap<String, hmac::Tag>>,
    /// The key of this process, without which a digest is of no use to an attacker.
    key: hmac::Key,
    /// The requests of one address wait here for each other; the first of each address waits for the one
    /// thread.
    turns: Mutex<BTreeMap<IpAddr, Weak<Semaphore>>>,
    thread: Arc<Semaphore>,
    /// The time at which the pause after a wrong password ends.
    next: Arc<Mutex<Instant>>,
}

impl Users {
    pub(super) fn new(file: PathBuf, key: &[u8]) -> Self {
        Self {
            hashes: Renewed::new(vec![file.clone()]),
            file,
            verified: Mutex::default(),
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            turns: Mutex::default(),
            thread: Arc::new(Semaphore::new(1)),
            next: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Reads the file if it has changed, and reports the mistakes in it.
    pub(super) fn renew(&self) {
        drop(self.hashes());
    }

    fn hashes(&self) -> Option<Arc<Hashes>> {
        self.hashes.get(|| read(&self.file).map_err(|mut errors| errors.swap_remove(0)))
    }

    /// Checks the login in an `Authorization` header. Cancel-safe: a hash that is being computed keeps its
    /// turn until it is finished, even if its client is gone.
    pub(super) async fn admit(
        &self,
        said: Option<&HeaderValue>,
        peer: IpAddr,
    ) -> Result<(), ClientRefusal> {
        let hashes = self.hashes().ok_or(ClientRefusal::Setup)?;
        let (name, password) = said.and_then(login).ok_or(ClientRefusal::Login)?;
        let hash = *hashes.of.get(&name).unwrap_or(&hashes.decoy);
        let proof = [&hash.salt[..], &hash.digest, &password].concat();
        if self.knows(&name, &proof) {
            return Ok(());
        }
        let turn = Semaphore::acquire_owned(self.turn(peer)).await;
        let place = Semaphore::acquire_owned(Arc::clone(&self.thread)).await;
        // The request before this one may have had the same login.
        if self.knows(&name, &proof) {
            return Ok(());
        }
        let rested = *held(&self.next);
        sleep_until(rested).await;
        let next = Arc::clone(&self.next);
        let digest = spawn_blocking(move || {
            let started = Instant::now();
            let digest = hash.of(&password);
            let fits = digest == hash.digest;
            if !fits {
                *held(&next) = Instant::now() + started.elapsed() * REST;
            }
            drop((turn, place));
            fits
        });
        let fits = digest.await.unwrap_or(false) && hashes.of.contains_key(&name);
        if !fits {
            return Err(ClientRefusal::Login);
        }
        let mut verified = held(&self.verified);
        verified.retain(|name, _| hashes.of.contains_key(name));
        verified.insert(name, hmac::sign(&self.key, &proof));
        Ok(())
    }

    /// Whether this login was verified before. The proof contains the hash too, so a changed password in
    /// the file makes earlier logins unknown.
    fn knows(&self, name: &str, proof: &[u8]) -> bool {
        let verified = held(&self.verified);
        verified.get(name).is_some_and(|tag| hmac::verify(&self.key, proof, tag.as_ref()).is_ok())
    }

    /// The queue of one address. There are at most as many queues as connections.
    fn turn(&self, peer: IpAddr) -> Arc<Semaphore> {
        let mut turns = held(&self.turns);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&peer).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Semaphore::new(1));
        turns.insert(peer, Arc::downgrade(&turn));
        turn
    }
}

/// Locks `mutex`. Every change under these locks is a single assignment, so a panic in another thread
/// leaves a valid state behind.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name and the password in a header of basic authentication.
fn login(said: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = said.to_str().ok()?.split_once(' ')?;
    let rest = Some(rest.trim()).filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let both = BASE64_STANDARD.decode(rest).ok()?;
    let colon = memchr::memchr(b':', &both)?;
    let name = String::from_utf8(both[..colon].to_vec()).ok()?;
    Some((name, both[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests;
