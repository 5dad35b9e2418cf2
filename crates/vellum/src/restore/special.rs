//! Symbolic links, pipes and devices, which are made at once.

use super::folder::RestoredFolder;
use super::links::LinkedInode;
use super::run::Run;
use crate::platform::{FileKind, TargetFolder};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vellum_format::tree::{Entry, Node};

/// Makes an entry that is neither file nor folder, and takes note of it where it has other names.
pub(super) fn make_special(
    run: &Run<'_>,
    folder: &Arc<RestoredFolder>,
    entry: &Entry,
    inode: Option<&Arc<LinkedInode>>,
) {
    let made = folder.handle().and_then(|handle| Ok((make(&handle, entry)?, handle)));
    match made {
        Ok((kind, handle)) => {
            let problems = handle.apply(&entry.name, kind, &entry.metadata, &run.owners);
            run.metadata_problems(|| folder.path_of(&entry.name), problems);
            run.others.fetch_add(1, Ordering::Relaxed);
            if let Some(inode) = inode {
                inode.stands_at(folder, &entry.name);
            }
        }
        Err(error) => run.undone(&folder.path_of(&entry.name), "make", &error),
    }
}

fn make(folder: &TargetFolder, entry: &Entry) -> io::Result<FileKind> {
    let name = &entry.name;
    let (kind, made) = match &entry.node {
        Node::Symlink { target } => (FileKind::Symlink, folder.symlink(name, target)),
        Node::Fifo => (FileKind::Fifo, folder.fifo(name)),
        Node::BlockDevice { major, minor } => {
            (FileKind::BlockDevice, folder.device(name, FileKind::BlockDevice, *major, *minor))
        }
        Node::CharDevice { major, minor } => {
            (FileKind::CharDevice, folder.device(name, FileKind::CharDevice, *major, *minor))
        }
        Node::File { .. } | Node::Folder { .. } => unreachable!("files and folders are handled before"),
    };
    made.map(|()| kind)
}
