//! Who owns a file, and who may read it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

pub(crate) fn permit(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("set permissions");
}

pub(crate) fn own(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).expect("change the owner");
}
