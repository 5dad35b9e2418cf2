//! Of which folders a snapshot holds all that was to be backed up: only in these may a restore delete what it does not
//! have (I26).

use std::collections::BTreeSet;
use vellum_repository::Snapshot;

/// The paths that were backed up, each as `/name/name`; `/` is empty.
pub(super) struct Scope {
    roots: BTreeSet<Vec<u8>>,
}

impl Scope {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self { roots: snapshot.manifest.paths.iter().map(|path| plain(&path.0)).collect() }
    }

    /// Whether a folder is one of the paths that were backed up. What lies below one is held too; what lies above it
    /// is only the way to it.
    pub(super) fn is_root(&self, folder: &[u8]) -> bool {
        self.roots.contains(folder)
    }

    /// Whether a folder is or lies below a path that was backed up.
    pub(super) fn holds(&self, folder: &[u8]) -> bool {
        let slashes = folder.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        slashes.chain([folder.len()]).any(|end| self.is_root(&folder[..end]))
    }
}

/// A path as the walk spells it. One that leads up again is left as it is, and so is no folder of a tree.
fn plain(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.flat_map(|part| [b"/", part].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(paths: &[&str]) -> Scope {
        Scope { roots: paths.iter().map(|path| plain(path.as_bytes())).collect() }
    }

    #[test]
    fn what_is_backed_up_is_held_and_what_leads_to_it_or_begins_alike_is_not() {
        let scope = scope(&["/home/me/", "//srv/./data", "/home/me/inner"]);
        let held = ["/home/me", "/home/me/inner", "/home/me/x/y", "/srv/data", "/srv/data/x"];
        let others = ["", "/home", "/home/other", "/home/me2", "/srv", "/srv/data2", "/data"];
        for folder in held {
            assert!(scope.holds(folder.as_bytes()), "{folder}");
        }
        for folder in others {
            assert!(!scope.holds(folder.as_bytes()), "{folder}");
        }
    }

    #[test]
    fn a_backup_of_everything_holds_every_folder_and_one_of_nothing_holds_none() {
        for folder in ["", "/home", "/home/me"] {
            assert!(scope(&["/"]).holds(folder.as_bytes()) && !scope(&[]).holds(folder.as_bytes()), "{folder}");
            assert!(!scope(&["/home/../home/me/..", "relative"]).holds(folder.as_bytes()), "{folder}");
        }
    }
}
