//! Trees and files: whether all that snapshots refer to is whole, and which packs they need.

use super::checker::Checker;
use super::history::is_catalog;
use crate::Error;
use crate::losses::folder_hash;
use crate::tree_reader::{TreeWalk, root_content};
use crate::whole::folders_of;
use std::collections::BTreeSet;
use vellum_format::content::Content;
use vellum_format::tree::Node;
use vellum_format::{ObjectId, ObjectName};
use vellum_repository::{FrameCache, FrameId, Place, Repository, Snapshot};

/// What snapshots were found to need.
#[derive(Default)]
pub(super) struct Needed {
    pub(super) packs: BTreeSet<ObjectId>,
    /// The frame that was noted last.
    last_frame: Option<FrameId>,
    /// Snapshots that later history names, or that this device knows to have published.
    pub(super) snapshots: BTreeSet<ObjectId>,
}

impl Needed {
    /// Notes the pack of a chunk that lies nowhere else; neighbours lie in the same.
    fn chunk(&mut self, repository: &Repository, places: &[Place]) {
        if let [only] = places
            && self.last_frame != Some(only.frame)
        {
            self.packs.extend(repository.pack_of(only.frame).map(|pack| pack.id));
            self.last_frame = Some(only.frame);
        }
    }
}

impl Checker<'_> {
    /// Every folder and file. Where nothing is wrong all threads see that together; only otherwise one looks at all
    /// in order, so that each look at the same damage finds the same.
    pub(super) fn check_snapshots(&mut self, snapshots: &[Snapshot], missing: &[ObjectName]) -> Result<(), Error> {
        let needs_packs = missing.iter().any(is_catalog);
        if !needs_packs
            && !self.losses.has_hopeless_packs()
            && let Some(folders) = folders_of(self.repository, snapshots, self.context)?
        {
            self.report.snapshots += snapshots.len() as u64;
            self.report.folders += folders;
            return Ok(());
        }
        for snapshot in snapshots {
            self.report.snapshots += 1;
            match root_content(snapshot) {
                Ok(root) => self.check_tree(snapshot, &root)?,
                Err(error) => self.finding(error, None)?,
            }
        }
        Ok(())
    }

    fn check_tree(&mut self, snapshot: &Snapshot, root: &Content) -> Result<(), Error> {
        let repository = self.repository;
        let cache = FrameCache::strict(16);
        let mut walk = TreeWalk::new(repository, &cache, root);
        self.need_folder(root);
        while let Some(step) = walk.next() {
            self.context.check_cancelled()?;
            let step = match step {
                Ok(step) => step,
                Err((path, error)) => {
                    self.finding(error, Some((snapshot.id, path)))?;
                    continue;
                }
            };
            match &step.entry.node {
                Node::Folder { content } => {
                    if self.seen.insert(folder_hash(content)) {
                        self.report.folders += 1;
                        self.need_folder(content);
                    } else {
                        walk.skip_folder();
                    }
                }
                Node::File { content, len_bytes, .. } => {
                    let needed = &mut self.needed;
                    let places = |places: &[Place]| needed.chunk(repository, places);
                    if let Err(error) = self.losses.check_file(&cache, content, *len_bytes, places) {
                        self.finding(error, Some((snapshot.id, step.path)))?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes the packs that hold the start of a folder's entry list, or its lists.
    fn need_folder(&mut self, folder: &Content) {
        for chunk in &folder.chunks {
            self.needed.chunk(self.repository, &self.repository.places(chunk));
        }
    }
}
