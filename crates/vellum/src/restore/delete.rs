//! Removing what the snapshot does not have from a folder that it holds whole (I26).

use super::folder::RestoredFolder;
use super::run::Run;
use crate::Event;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use vellum_format::tree::EntryName;

/// Removes all else that patterns do not spare, but never the repository; a dry run only counts it.
pub(super) fn delete_others(run: &Run<'_>, folder: &RestoredFolder, kept: &BTreeSet<EntryName>) {
    let path = folder.path();
    let (handle, names) = match folder.handle().and_then(|handle| Ok((handle.names_but(kept)?, handle))) {
        Ok((names, handle)) => (handle, names),
        Err(error) => return run.undone(&path, "list", &error),
    };
    for name in names {
        let full = [&path, &b"/"[..], name.as_bytes()].concat();
        if run.leads_to_own(&full) {
            continue;
        }
        if run.options.exclude.matches_with_parents(&full) || !run.is_included(&full) {
            continue;
        }
        let removed = match run.options.dry_run {
            true => Ok(()),
            false => handle.remove(&name),
        };
        match removed {
            Ok(()) => {
                run.deleted.fetch_add(1, Ordering::Relaxed);
                run.context.tell(&Event::Deleted { path: &run.at_target(&full) });
            }
            Err(error) => run.undone(&full, "delete", &error),
        }
    }
}
