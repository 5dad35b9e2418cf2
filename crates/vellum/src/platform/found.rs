//! What stood in a folder of the target before this run put anything there.
//!
//! Some file systems take different names for the same: they fold case or normalise. Two entries of a snapshot would
//! then become one, and neither the kernel nor anybody else would say so. So where that may be, it is known what was
//! found in a folder: whatever else stands at a name was put there by this run under another one. Elsewhere nothing is
//! remembered, because an entry that is in the way is always that of the same name.

use super::folder;
use super::names::Names;
use crate::lock;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use vellum_format::tree::EntryName;

/// What was found in a folder.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// Whatever stands at a name: no other name leads to it.
    Anything,
    /// Nothing: this run has made the folder.
    Nothing,
    /// These, in a folder whose names may be folded.
    Only(Arc<Names>),
}

impl Found {
    /// Whether an entry that stands at this name is what was found there.
    pub(super) fn is_at(&self, name: &EntryName) -> bool {
        match self {
            Self::Anything => true,
            Self::Nothing => false,
            Self::Only(names) => names.contains(name.as_bytes()),
        }
    }
}

/// Which file systems fold the case of names, found out once for each.
#[derive(Debug, Default)]
pub(super) struct Foldings(Mutex<BTreeMap<u64, bool>>);

impl Foldings {
    /// What is found in a folder that was just opened, and was there before.
    pub(super) fn found_in(&self, folder: BorrowedFd<'_>, device: u64) -> io::Result<Found> {
        let known = if is_marked(folder) { Some(true) } else { lock(&self.0).get(&device).copied() };
        if known == Some(false) {
            return Ok(Found::Anything);
        }
        let names = folder::read_names(folder)?;
        if let (None, Some(folds)) = (known, folds_case(folder, &names)) {
            lock(&self.0).insert(device, folds);
            if !folds {
                return Ok(Found::Anything);
            }
        }
        Ok(Found::Only(Arc::new(names)))
    }
}

/// Whether a folder folds names, and others of its file system may not: `chattr +F`.
#[cfg(target_os = "linux")]
fn is_marked(folder: BorrowedFd<'_>) -> bool {
    const FS_CASEFOLD_FL: u32 = 0x4000_0000;
    rustix::fs::ioctl_getflags(folder).is_ok_and(|flags| flags.bits() & FS_CASEFOLD_FL != 0)
}

#[cfg(not(target_os = "linux"))]
fn is_marked(_folder: BorrowedFd<'_>) -> bool {
    false
}

/// Whether a name that stands here is reached in the other case too; unknown when there is none that has a case.
fn folds_case(folder: BorrowedFd<'_>, names: &Names) -> Option<bool> {
    names.iter().find_map(|name| {
        let other: Vec<u8> = name.iter().map(|byte| swap_case(*byte)).collect();
        if other == name {
            return None;
        }
        if names.contains(&other) {
            return Some(false);
        }
        let other = EntryName::new(other).ok()?;
        match folder::stat_name(folder, &other) {
            Ok(_) => Some(true),
            Err(Errno::NOENT) => Some(false),
            Err(_) => None,
        }
    })
}

fn swap_case(byte: u8) -> u8 {
    if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { byte }
}
