//! The targets of Prometheus's file service discovery: reads the file, merges it with the boards that
//! answered, and writes it.
//!
//! A board that does not answer stays a target, so that Prometheus reports it as down: Prometheus forgets a
//! target that is not in the file, and with it `up`. Only a board that has not answered for a long time is
//! removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DiscoveryError, Outstation, OutstationScheme};

/// The label with the time of the last answer, in Unix seconds. Prometheus drops labels of this form after
/// relabelling.
const SEEN: &str = "__meta_outstation_seen";
const DEVICE: &str = "device";
/// The label that overrides the `scheme` of the job.
const SCHEME: &str = "__scheme__";
/// The mode of the file. Prometheus runs as another user and has to read it.
const MODE: u32 = 0o644;

/// One entry of the file: targets with common labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Targets {
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Targets {
    fn of(found: &Outstation, is_alone: bool, now_s: u64) -> Self {
        let mut labels = BTreeMap::from([
            ("__metrics_path__".to_owned(), found.path.clone()),
            (SEEN.to_owned(), now_s.to_string()),
        ]);
        // `http` is never set, because any machine that answers could then make Prometheus send a password
        // unencrypted.
        if found.scheme == OutstationScheme::Https {
            labels.insert(SCHEME.to_owned(), found.scheme.as_str().to_owned());
        }
        if is_alone {
            labels.insert(DEVICE.to_owned(), found.device.clone());
        }
        Self { targets: vec![found.address.to_string()], labels }
    }

    /// Whether a board that answered made this entry, and not a person.
    fn is_found(&self) -> bool {
        self.labels.contains_key(SEEN)
    }

    /// Whether the board has not answered for longer than `forget`. An entry that a person wrote is never
    /// forgotten.
    fn is_forgotten(&self, now_s: u64, forget: Duration) -> bool {
        let seen = self.labels.get(SEEN).and_then(|seen| seen.parse::<u64>().ok());
        seen.is_some_and(|seen| now_s.saturating_sub(seen) > forget.as_secs())
    }
}

/// The device ids that more than one board has.
pub fn shared_names(found: &[Outstation]) -> BTreeSet<&str> {
    let mut seen = BTreeSet::new();
    found.iter().map(|one| one.device.as_str()).filter(|device| !seen.insert(*device)).collect()
}

/// Merges the entries of the file with the boards that answered. A board that answered replaces its entry;
/// other entries stay until they are forgotten. Boards that share a device id get no label `device`, since
/// their series would be mixed. An entry that a person wrote stays as it is, and a board in it is not
/// listed twice.
pub fn merge(
    known: Vec<Targets>,
    found: &[Outstation],
    now_s: u64,
    forget: Duration,
) -> Vec<Targets> {
    let shared = shared_names(found);
    let is_alone = |one: &Outstation| !shared.contains(one.device.as_str());
    let is_replaced = |known: &Targets| {
        let device = known.labels.get(DEVICE);
        known.is_found()
            && found.iter().any(|one| {
                device == Some(&one.device) || known.targets.contains(&one.address.to_string())
            })
    };
    let stays = |known: &Targets| !is_replaced(known) && !known.is_forgotten(now_s, forget);
    let mut all: Vec<_> = known.into_iter().filter(stays).collect();
    let written: BTreeSet<String> =
        all.iter().filter(|one| !one.is_found()).flat_map(|one| one.targets.clone()).collect();
    let new = found.iter().filter(|one| !written.contains(&one.address.to_string()));
    all.extend(new.map(|one| Targets::of(one, is_alone(one), now_s)));
    all.sort();
    all
}

pub fn to_json(targets: &[Targets]) -> String {
    let mut text = serde_json::to_string_pretty(targets).expect("its keys are text");
    text.push('\n');
    text
}

/// Reads the entries of the file. A file that does not exist has none.
pub fn read(path: &Path) -> Result<Vec<Targets>, DiscoveryError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed("read", path, source)),
    };
    serde_json::from_slice(&text)
        .map_err(|source| DiscoveryError::NotTargets { path: path.to_owned(), source })
}

/// Writes the file. Prometheus reads it as soon as it changes, so it is written under a name that is not
/// that of a target file, and renamed.
pub fn write(path: &Path, targets: &[Targets]) -> Result<(), DiscoveryError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = Path::new(&name);
    let written = fs::write(new, to_json(targets))
        .and_then(|()| fs::set_permissions(new, fs::Permissions::from_mode(MODE)))
        .and_then(|()| fs::rename(new, path));
    written.map_err(|source| {
        drop(fs::remove_file(new));
        failed("write", path, source)
    })
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> DiscoveryError {
    DiscoveryError::File { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn board(device: &str, address: &str) -> Outstation {
        Outstation {
            device: device.into(),
            address: address.parse().expect("an address"),
            version: "0.1.0".into(),
            scheme: OutstationScheme::Http,
            path: "/metrics".into(),
        }
    }

    /// Each entry as (target, device, seen).
    fn shown(targets: &[Targets]) -> Vec<(&str, &str, &str)> {
        let label = |one: &Targets, name: &str| -> &'static str {
            one.labels.get(name).map_or("-", |text| String::leak(text.clone()))
        };
        let one = |one: &Targets| {
            (String::leak(one.targets.join(",")) as &str, label(one, DEVICE), label(one, SEEN))
        };
        targets.iter().map(one).collect()
    }

    #[test]
    fn a_board_that_does_not_answer_stays_for_a_week() {
        let (a, b) = (board("a", "10.0.0.1:9437"), board("b", "10.0.0.2:9437"));
        let both = merge(Vec::new(), &[a.clone(), b], 1000, WEEK);
        let later = 1000 + WEEK.as_secs();
        let kept = merge(both.clone(), std::slice::from_ref(&a), later, WEEK);
        let later_text = later.to_string();
        let expected =
            [("10.0.0.1:9437", "a", later_text.as_str()), ("10.0.0.2:9437", "b", "1000")];
        assert_eq!(shown(&kept), expected);
        assert_eq!(merge(both.clone(), &[], later, WEEK), both, "nobody answered");
        let left = merge(kept, &[a], later + 1, WEEK);
        assert_eq!(left.len(), 1, "b is forgotten");
    }

    #[test]
    fn a_board_with_a_new_address_leaves_the_old_one() {
        let before = merge(Vec::new(), &[board("a", "10.0.0.1:9437")], 1000, WEEK);
        let after = merge(before.clone(), &[board("a", "10.0.0.9:9437")], 1001, WEEK);
        assert_eq!(shown(&after), [("10.0.0.9:9437", "a", "1001")]);
        // Another board has the address now.
        let after = merge(before, &[board("b", "10.0.0.1:9437")], 1001, WEEK);
        assert_eq!(shown(&after), [("10.0.0.1:9437", "b", "1001")]);
    }

    #[test]
    fn boards_that_share_a_name_get_none() {
        let found = [board("a", "10.0.0.1:9437"), board("a", "10.0.0.2:9437")];
        let targets = merge(Vec::new(), &found, 1000, WEEK);
        let expected = [("10.0.0.1:9437", "-", "1000"), ("10.0.0.2:9437", "-", "1000")];
        assert_eq!(shown(&targets), expected);
        assert_eq!(shared_names(&found), BTreeSet::from(["a"]));
        assert_eq!(shared_names(&found[..1]), BTreeSet::new());
    }

    #[test]
    fn a_board_makes_prometheus_encrypt_and_never_stop_encrypting() {
        let encrypted =
            Outstation { scheme: OutstationScheme::Https, ..board("b", "10.0.0.2:9437") };
        let targets = merge(Vec::new(), &[board("a", "10.0.0.1:9437"), encrypted], 1000, WEEK);
        let schemes = targets.iter().map(|one| one.labels.get(SCHEME).map(String::as_str));
        assert!(schemes.eq([None, Some("https")]), "{targets:?}");
    }

    #[test]
    fn what_a_person_wrote_into_the_file_stays() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("targets.json");
        assert_eq!(read(&path).expect("nothing is there yet"), []);
        fs::write(&path, r#"[{"targets":["far:9437","near:9437"]}]"#).expect("write");
        let known = read(&path).expect("targets");
        write(&path, &merge(known, &[board("a", "10.0.0.1:9437")], u64::MAX, WEEK)).expect("write");
        let kept = read(&path).expect("targets");
        let now = u64::MAX.to_string();
        let expected = [("10.0.0.1:9437", "a", now.as_str()), ("far:9437,near:9437", "-", "-")];
        assert_eq!(shown(&kept), expected);
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1, "nothing is left aside");
    }

    #[test]
    fn a_board_that_a_person_listed_keeps_that_entry() {
        let near_and_far = Targets {
            targets: vec!["10.0.0.1:9437".to_owned(), "10.8.0.17:9437".to_owned()],
            labels: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
        };
        let found = [board("a", "10.0.0.1:9437")];
        assert_eq!(merge(vec![near_and_far.clone()], &found, 1000, WEEK), [near_and_far]);
    }

    #[test]
    fn a_file_that_is_something_else_is_left_alone() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("targets.json");
        fs::write(&path, "- targets: [far:9437]\n").expect("write");
        let error = read(&path).expect_err("no JSON").to_string();
        assert!(error.contains("is no list of Prometheus targets in JSON"), "{error}");
        let nowhere = folder.path().join("none/targets.json");
        let error = write(&nowhere, &[]).expect_err("no folder").to_string();
        assert_eq!(error, format!("failed to write `{}`", nowhere.display()));
    }
}
