//! The identity of this device: the configured device id, or one derived from the machine id.

use std::path::Path;

const MACHINE_ID: &str = "/etc/machine-id";

#[derive(Debug, thiserror::Error)]
#[error("failed to derive a device id from `{MACHINE_ID}`; set `device.id`")]
pub struct DeviceError {
    source: std::io::Error,
}

/// Returns the configured device id, or derives one. The machine id itself is confidential (machine-id(5)),
/// so the derived id is a hash of it that only this program uses, short enough to read out over a
/// telephone.
pub fn id(configured: Option<&str>) -> Result<String, DeviceError> {
    match configured {
        Some(id) => Ok(id.to_owned()),
        None => derived(Path::new(MACHINE_ID)).map_err(|source| DeviceError { source }),
    }
}

fn derived(path: &Path) -> std::io::Result<String> {
    let machine = std::fs::read_to_string(path)?;
    let machine = machine.trim();
    // An image may ship with `uninitialized` or an empty file: a whole fleet would get one id.
    if machine.len() != 32 || !machine.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let reason = "it does not hold 32 hexadecimal digits";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    let bound = format!("outstation:{machine}");
    let digest = ring::digest::digest(&ring::digest::SHA256, bound.as_bytes());
    let hex: String = digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("os-{hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_id_wins() {
        assert_eq!(id(Some("pump-7")).expect("configured"), "pump-7");
    }

    #[test]
    fn a_derived_id_is_stable_and_hides_the_machine_id() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("machine-id");
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").expect("written");
        let id = derived(&path).expect("derived");
        assert_eq!(id, derived(&path).expect("derived"));
        assert!(id.len() == 15 && !id.contains("0123456789ab"), "{id}");
        for none in ["\n", "uninitialized\n"] {
            std::fs::write(&path, none).expect("written");
            assert!(derived(&path).is_err(), "{none:?} is no machine id");
        }
    }
}
