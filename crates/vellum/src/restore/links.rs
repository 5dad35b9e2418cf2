//! Files and other entries with several names: one of them is restored, and the others become links to it.

use super::chunks::FileChunks;
use super::files::FileWriter;
use super::folder::RestoredFolder;
use super::run::Run;
use super::special::make_special;
use crate::platform::{MetadataPart, MetadataProblem, Stat};
use crate::{Error, lock};
use std::collections::{HashMap, hash_map};
use std::hash::{Hash as _, Hasher};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use vellum_format::content::ChunkKind;
use vellum_format::tree::{Entry, EntryName, Node};
use vellum_repository::{FrameCache, RepositoryError};

/// A name in a folder of the target.
type RestoredName = (Arc<RestoredFolder>, EntryName);

/// An inode of the snapshot with several names, and the one under which it stands in the target, if it does.
#[derive(Default)]
pub(super) struct LinkedInode(Mutex<Option<RestoredName>>);

impl LinkedInode {
    /// What stands there now is this inode as it is in the snapshot.
    pub(super) fn stands_at(&self, folder: &Arc<RestoredFolder>, name: &EntryName) {
        *lock(&self.0) = Some((Arc::clone(folder), name.clone()));
    }

    /// Apart from its use, so that nothing is locked meanwhile.
    fn place(&self) -> Option<RestoredName> {
        lock(&self.0).clone()
    }

    /// Whether this is it, under another name.
    pub(super) fn is(&self, other: &Stat) -> bool {
        let existing = self.place().map(|(folder, name)| folder.handle()?.existing(&name));
        matches!(existing, Some(Ok(Some(existing))) if existing.is_same_inode(other))
    }
}

/// The inodes of which a name was seen. They are kept to the end, because no entry says how many names there are, so
/// each by a hash of what it is: the references of all would be many times as much.
#[derive(Default)]
pub(super) struct Inodes(HashMap<[u8; 32], Arc<LinkedInode>>);

impl Inodes {
    /// The inode that an entry with several names is one of, and whether another one of them came before.
    ///
    /// Only of one that holds the same: some file systems number different files alike, and a file may change between
    /// the readings of its names. Two files are better than wrong bytes (P3).
    pub(super) fn of(&mut self, entry: &Entry) -> Option<(Arc<LinkedInode>, bool)> {
        let mut hasher = NodeHasher::default();
        (entry.metadata.link_group?, &entry.node).hash(&mut hasher);
        Some(match self.0.entry(hasher.0.finalize().into()) {
            hash_map::Entry::Vacant(new) => (Arc::clone(new.insert(Arc::default())), false),
            hash_map::Entry::Occupied(known) => (Arc::clone(known.get()), true),
        })
    }
}

/// A hasher for which nobody finds two nodes that hash alike.
#[derive(Default)]
struct NodeHasher(blake3::Hasher);

impl Hasher for NodeHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finalize().as_bytes()[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// A further name of an inode.
pub(super) struct DeferredLink {
    pub(super) folder: Arc<RestoredFolder>,
    pub(super) entry: Entry,
    pub(super) inode: Arc<LinkedInode>,
    /// Whether what stands there is unchanged, and stays where it cannot be linked.
    pub(super) is_unchanged: bool,
}

impl DeferredLink {
    /// Links the name to its inode. Where that does not stand, another file may have its name: the inode is restored
    /// under this one, so that what one name lacks costs no other one (P3). So it is where the target takes no link to
    /// it, which is told; further names are linked to the newer one then.
    pub(super) fn make(self, run: &Run<'_>) -> Result<(), Error> {
        let Some((from, original)) = self.inode.place() else { return self.restore(run) };
        let linked =
            from.handle().and_then(|from| self.folder.handle()?.hard_link(&self.entry.name, (&from, &original)));
        match linked {
            Ok(()) => drop(run.others.fetch_add(1, Ordering::Relaxed)),
            Err(source) if is_refused(&source) => {
                run.metadata_problems(|| self.path(), vec![MetadataProblem { part: MetadataPart::Link, source }]);
                return self.restore(run);
            }
            Err(error) => run.undone(&self.path(), "link", &error),
        }
        Ok(())
    }

    fn path(&self) -> Vec<u8> {
        self.folder.path_of(&self.entry.name)
    }

    fn restore(self, run: &Run<'_>) -> Result<(), Error> {
        let Self { folder, entry, inode, is_unchanged } = self;
        if is_unchanged {
            inode.stands_at(&folder, &entry.name);
            run.skipped.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if let Node::File { .. } = entry.node {
            let file = FileWriter::new(folder, entry, Some(inode), run.options.sparse);
            return write_whole(run, &Arc::new(file));
        }
        make_special(run, &folder, &entry, Some(&inode));
        Ok(())
    }
}

/// Whether an error is about the link, and not about what stands in its way: into another file system, one more than
/// an inode can have, to what we may not reach or what is gone, or where there are none.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, NotFound, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), CrossesDevices | TooManyLinks | PermissionDenied | NotFound | Unsupported)
}

/// Writes a file chunk by chunk.
fn write_whole(run: &Run<'_>, file: &Arc<FileWriter>) -> Result<(), Error> {
    let Some((content, len_bytes)) = file.begin(run) else { return Ok(()) };
    let cache = FrameCache::new(2);
    for chunk in FileChunks::new(run, &cache, &content, len_bytes) {
        run.context.check_cancelled()?;
        let (offset, chunk) = match chunk {
            Ok(chunk) => chunk,
            Err(reason) => {
                file.fail_reading(run, &reason);
                break;
            }
        };
        match run.repository.read_chunk(&cache, ChunkKind::Data, &chunk) {
            Ok(bytes) => file.write(run, offset, &bytes),
            Err(error @ RepositoryError::Storage(_)) => return Err(error.into()),
            Err(error) => file.fail_reading(run, &error),
        }
        if file.has_failed() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_format::Digest;
    use vellum_format::content::{ChunkRef, Content};
    use vellum_format::tree::{LinkGroup, Metadata};
    use vellum_testkit::entries::metadata;

    #[test]
    fn names_of_one_inode_are_of_one_group_and_hold_the_same() {
        let file = |len_bytes: u64, digests: &[u8], depth: u8, sparse: bool| {
            let reference = |byte: &u8| ChunkRef { digest: Digest::from_bytes([*byte; 32]), len_bytes: 1 };
            let content = Content { depth, chunks: digests.iter().map(reference).collect() };
            Node::File { len_bytes, content, sparse }
        };
        let nodes = [
            file(2, &[1, 2], 0, false),
            file(2, &[1, 2], 0, true),
            file(2, &[1, 2], 1, false),
            file(2, &[1, 3], 0, false),
            file(2, &[1], 0, false),
            file(1, &[1], 0, false),
            Node::Symlink { target: b"ab".to_vec() },
            Node::Symlink { target: b"a".to_vec() },
            Node::BlockDevice { major: 1, minor: 2 },
            Node::CharDevice { major: 1, minor: 2 },
            Node::Fifo,
        ];
        let groups = [(1, 2), (2, 1), (1, 1)].map(|(device, inode)| LinkGroup { device, inode });
        let mut inodes = Inodes::default();
        let mut of = |name: &[u8], node: &Node, link_group: Option<LinkGroup>| {
            let name = EntryName::new(name.to_vec()).unwrap();
            let entry = Entry { name, node: node.clone(), metadata: Metadata { link_group, ..metadata() } };
            inodes.of(&entry)
        };
        for (group, node) in groups.iter().flat_map(|group| nodes.iter().map(move |node| (group, node))) {
            let (first, is_further) = of(b"a", node, Some(*group)).unwrap();
            assert!(!is_further, "{group:?} {node:?}");
            let (other, is_further) = of(b"b", node, Some(*group)).unwrap();
            assert!(is_further && Arc::ptr_eq(&first, &other), "{group:?} {node:?}");
            assert!(of(b"a", node, None).is_none());
        }
    }
}
