//! Files that are restored to try it: which, and what came of it.

use super::checker::{Checker, as_finding};
use super::drill::{Drill, Tried, Wrong};
use super::random::Random;
use super::{CheckOptions, Finding};
use crate::Error;
use crate::losses::folder_hash;
use crate::tree_reader::{TreeWalk, root_content};
use std::collections::HashSet;
use vellum_format::tree::{Entry, Node};
use vellum_repository::{FrameCache, Snapshot};

/// A file to be restored for a test; its path has no slash before it.
struct ChosenFile<'a> {
    snapshot: &'a Snapshot,
    path: Vec<u8>,
    entry: Entry,
}

impl Checker<'_> {
    /// Restores files chosen at random, and compares them.
    pub(super) fn test_files(&mut self, snapshots: &[Snapshot], options: &CheckOptions) -> Result<(), Error> {
        let Some(test) = &options.restore_test else { return Ok(()) };
        let mut drill = Drill::new(self.repository, self.context, test);
        for ChosenFile { snapshot, path, entry } in self.choose_files(snapshots, test.files)? {
            self.context.check_cancelled()?;
            let wrong = match drill.try_file(snapshot, &path, &entry)? {
                Tried::Done(wrong) => wrong,
                Tried::NotWritten(reason) => {
                    drill.report.not_written.push(reason);
                    continue;
                }
            };
            for wrong in wrong {
                let costs = Some((snapshot.id, path.clone()));
                let finding = match wrong {
                    Wrong::Unreadable(error) => as_finding(error, costs)?,
                    Wrong::Differs(reason) => Finding { object: None, path: costs, reason },
                };
                self.find(finding.clone());
                self.tested.push(finding);
            }
        }
        self.report.restore_test = drill.report;
        Ok(())
    }

    /// So many files of all snapshots, each as likely as any other; what folders with equal content hold counts once.
    fn choose_files<'s>(&self, snapshots: &'s [Snapshot], count: usize) -> Result<Vec<ChosenFile<'s>>, Error> {
        let cache = FrameCache::strict(16);
        let mut random = Random::new()?;
        let mut chosen = Vec::new();
        let mut met = 0u64;
        let mut seen = HashSet::new();
        for snapshot in snapshots {
            let Ok(root) = root_content(snapshot) else { continue };
            let mut walk = TreeWalk::new(self.repository, &cache, &root);
            while let Some(step) = walk.next() {
                self.context.check_cancelled()?;
                let Ok(step) = step else { continue };
                if let Node::Folder { content } = &step.entry.node
                    && !seen.insert(folder_hash(content))
                {
                    walk.skip_folder();
                }
                if !matches!(step.entry.node, Node::File { .. }) {
                    continue;
                }
                met += 1;
                let candidate = ChosenFile { snapshot, path: step.path, entry: step.entry };
                if chosen.len() < count {
                    chosen.push(candidate);
                } else if let Some(place) = chosen.get_mut(usize::try_from(random.below(met)).unwrap_or(usize::MAX)) {
                    *place = candidate;
                }
            }
        }
        Ok(chosen)
    }
}
