//! Tests of bcrypt hashes as `htpasswd` makes them, and of logins against them.

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::credentials::file::write_secret;

/// `openssl` has no bcrypt; these hashes are from the tests of jBCrypt.
const EMPTY: &str = "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";
const LETTER: &str = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
const ALPHABET: &str = "$2a$08$aTsUwsyowQuzRrDqFflhgekJ8d9/7Z3GV3UcgvzQW3J5zMyrTvlz.";

const PEER: [u8; 4] = [192, 168, 1, 7];

struct Rig {
    folder: TempDir,
    users: Users,
}

impl Rig {
    fn new(text: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("users");
        write_secret(&path, text);
        Self { folder, users: Users::new(path, b"key") }
    }

    fn write(&self, text: &str) {
        // A new file replaces the old one, because the timestamp of a rewritten file may be too coarse for
        // a test.
        let new = self.folder.path().join("new");
        write_secret(&new, text);
        std::fs::rename(new, self.folder.path().join("users")).expect("replace a file");
    }

    async fn admit(&self, name: &str, password: &str) -> Result<(), ClientRefusal> {
        let said = header(name, password);
        self.users.admit(Some(&said), PEER.into()).await
    }

    /// Whether the login is admitted without the thread that computes hashes.
    async fn was_known(&self, name: &str, password: &str) -> bool {
        let _taken = self.users.thread.acquire().await.expect("never closed");
        let said = header(name, password);
        let admitted = self.users.admit(Some(&said), PEER.into());
        // After one poll the call either has an answer or waits for the thread.
        tokio::time::timeout(Duration::ZERO, admitted).await == Ok(Ok(()))
    }
}

fn header(name: &str, password: &str) -> HeaderValue {
    let both = BASE64_STANDARD.encode(format!("{name}:{password}"));
    HeaderValue::try_from(format!("Basic {both}")).expect("a header")
}

fn mistakes(text: &str) -> Vec<String> {
    let rig = Rig::new(text);
    let path = rig.folder.path().display().to_string();
    check(&rig.users.file).iter().map(|error| error.to_string().replace(&path, "")).collect()
}

#[test]
fn known_hashes_fit_their_passwords_alone() {
    for (hash, password) in [(EMPTY, ""), (LETTER, "a"), (ALPHABET, "abcdefghijklmnopqrstuvwxyz")] {
        for form in ["$2a$", "$2b$", "$2y$"] {
            let hash = Hash::parse(&hash.replace("$2a$", form)).expect("a hash");
            assert_eq!(hash.of(password.as_bytes()), hash.digest);
            assert_ne!(hash.of(b"another"), hash.digest);
        }
    }
}

#[test]
fn of_a_long_password_the_first_72_bytes_count_as_everywhere() {
    let hash = Hash::parse(LETTER).expect("a hash");
    let long = [b'x'; 200];
    assert_eq!(hash.of(&long), hash.of(&long[..72]));
    assert_ne!(hash.of(&long), hash.of(&long[..71]));
}

#[test]
fn every_mistake_of_the_file_is_said_with_its_line_and_without_what_it_holds() {
    let text = format!(
        "# who may look\n\nprometheus:{LETTER}\nadmin:secret\n:{LETTER}\nprometheus:{EMPTY}\n\
         slow:{}\nmd5:$apr1$zzz$zzz\nnobody\nshort:$2y$10$abc\nodd:$2y$10${}\n",
        LETTER.replace("$06$", "$13$"),
        "ä".repeat(26) + "x",
    );
    let unlike = "of the users file `/users` is not like `name:$2y$10$…`, as `htpasswd -nBC 10 NAME` \
                  prints it";
    let expected = [
        format!("line 4 {unlike}"),
        "line 5 of the users file `/users` has no name".to_owned(),
        "line 6 of the users file `/users` has a name that an earlier line has".to_owned(),
        "line 7 of the users file `/users` has a cost above 12, which takes a board too long; make \
         it with `htpasswd -nBC 10 NAME`"
            .to_owned(),
        format!("line 8 {unlike}"),
        format!("line 9 {unlike}"),
        format!("line 10 {unlike}"),
        format!("line 11 {unlike}"),
    ];
    assert_eq!(mistakes(&text), expected);
    assert_eq!(mistakes("# none\n"), ["the users file `/users` holds 0 users; allowed: 1 to 64"]);
    assert_eq!(mistakes(&format!("prometheus:{LETTER}\r\n")), Vec::<String>::new());
}

#[test]
fn a_hash_is_not_shown() {
    let rig = Rig::new(&format!("p:{LETTER}\n"));
    let shown = format!("{:?}", rig.users.hashes());
    assert!(shown.contains("cost: 6") && !shown.contains("digest"), "{shown}");
}

#[tokio::test]
async fn the_right_password_is_let_in_and_remembered_and_others_are_not() {
    let rig = Rig::new(&format!("p:{LETTER}\nq:{EMPTY}\n"));
    assert!(!rig.was_known("p", "a").await, "nobody has verified it yet");
    assert_eq!(rig.admit("p", "a").await, Ok(()));
    assert!(rig.was_known("p", "a").await);
    for (name, password) in [("p", "b"), ("q", "a"), ("r", "a"), ("", ""), ("p", ""), ("P", "a")] {
        assert_eq!(rig.admit(name, password).await, Err(ClientRefusal::Login), "{name}:{password}");
        assert!(!rig.was_known(name, password).await);
    }
    assert!(rig.was_known("p", "a").await, "what others say changes nothing");
    assert_eq!(rig.admit("q", "").await, Ok(()));
}

#[tokio::test]
async fn what_is_no_login_is_refused_without_work() {
    let rig = Rig::new(&format!("p:{LETTER}\n"));
    let _taken = rig.users.thread.acquire().await.expect("never closed");
    for said in ["", "Basic", "Basic !", "Bearer abc", "Basic cA==", "Basic /zph", "basic"] {
        let said = HeaderValue::from_static(said);
        assert_eq!(rig.users.admit(Some(&said), PEER.into()).await, Err(ClientRefusal::Login));
    }
    assert_eq!(rig.users.admit(None, PEER.into()).await, Err(ClientRefusal::Login));
}

#[tokio::test]
async fn another_password_in_the_file_holds_at_once_and_a_broken_file_changes_nothing() {
    let rig = Rig::new(&format!("p:{LETTER}\n"));
    assert_eq!(rig.admit("p", "a").await, Ok(()));
    rig.write("p:broken\n");
    assert!(rig.was_known("p", "a").await, "whoever edits it is not done yet");
    rig.write(&format!("p:{EMPTY}\n"));
    assert_eq!(rig.admit("p", "a").await, Err(ClientRefusal::Login));
    assert_eq!(rig.admit("p", "").await, Ok(()));
    rig.write(&format!("q:{EMPTY}\n"));
    assert_eq!(rig.admit("p", "").await, Err(ClientRefusal::Login));
}

#[tokio::test]
async fn a_file_that_never_could_be_used_lets_nobody_in() {
    let rig = Rig::new("p:broken\n");
    assert_eq!(rig.admit("p", "a").await, Err(ClientRefusal::Setup));
    assert_eq!(rig.users.admit(None, PEER.into()).await, Err(ClientRefusal::Setup));
    rig.write(&format!("p:{LETTER}\n"));
    assert_eq!(rig.admit("p", "a").await, Ok(()));
}

#[tokio::test]
async fn one_address_that_guesses_has_one_place_in_the_queue() {
    let rig = Rig::new(&format!("p:{LETTER}\n"));
    let taken = rig.users.thread.acquire().await.expect("never closed");
    let (wrong, right) = (header("p", "b"), header("p", "a"));
    let guesses: Vec<_> = (0..20).map(|_| rig.users.admit(Some(&wrong), PEER.into())).collect();
    let mut guesses: Vec<_> = guesses.into_iter().map(Box::pin).collect();
    for guess in &mut guesses {
        assert!(futures_pending(guess).await);
    }
    let mut other = Box::pin(rig.users.admit(Some(&right), [192, 168, 1, 8].into()));
    assert!(futures_pending(&mut other).await);
    drop(taken);
    // The first guess is checked, then comes its pause, and then it is the other address's turn.
    let mut first = guesses.swap_remove(0);
    let (guessed, admitted) = tokio::join!(&mut first, &mut other);
    assert_eq!((guessed, admitted), (Err(ClientRefusal::Login), Ok(())));
    for guess in &mut guesses {
        assert!(futures_pending(guess).await, "the other guesses still wait");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_thread_taken_until_it_is_done() {
    let rig = Rig::new(&format!("p:{ALPHABET}\n"));
    let wrong = header("p", "b");
    let mut gone = Box::pin(rig.users.admit(Some(&wrong), PEER.into()));
    // Waits until the thread computes the hash.
    while Arc::strong_count(&rig.users.next) == 1 {
        assert!(futures_pending(&mut gone).await);
        tokio::task::yield_now().await;
    }
    drop(gone);
    assert_eq!(rig.users.thread.available_permits(), 0);
    let rested = *held(&rig.users.next);
    drop(rig.users.thread.acquire().await.expect("it ends"));
    assert!(*held(&rig.users.next) > rested, "the rest is kept all the same");
}

/// Polls the future once, and returns true if it is pending.
async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = std::future::ready(()) => true,
    }
}
