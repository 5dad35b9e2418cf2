//! What each operation of a disk does, whole, failing, or as the power goes.

use super::nodes::{FileNode, Node};
use super::{DiskOperation, Manner, SimDisk};
use crate::lock;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use vellum_storage::{Disk, DiskEntry, DiskEntryKind, WriterId};

impl Disk for SimDisk {
    type File = usize;

    fn make_folder(&self, folder: &str) -> io::Result<()> {
        self.apply(DiskOperation::MakeFolder, folder, |state, manner| match manner {
            Manner::Failing => Ok(()),
            Manner::Whole | Manner::Crashing => state.nodes.add(folder, Node::Folder(Arc::default())).map(drop),
        })
    }

    fn create_new(&self, path: &str) -> io::Result<usize> {
        self.apply(DiskOperation::CreateNew, path, |state, manner| match manner {
            Manner::Failing => Ok(0),
            Manner::Whole | Manner::Crashing => {
                let changed = state.clock;
                state.nodes.add(path, Node::File(FileNode { changed, ..FileNode::default() }))
            }
        })
    }

    fn write_all(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        self.apply(DiskOperation::WriteAll, &format!("{} bytes to file {file}", bytes.len()), |state, manner| {
            let written = if manner == Manner::Failing { &bytes[..bytes.len() / 2] } else { bytes };
            let changed = state.clock;
            let file = state.nodes.file_mut(*file);
            file.changed = changed;
            Arc::make_mut(&mut file.volatile).append(written);
            Ok(())
        })
    }

    fn sync_file(&self, file: &usize) -> io::Result<()> {
        self.apply(DiskOperation::SyncFile, &format!("file {file}"), |state, manner| {
            let file = state.nodes.file_mut(*file);
            match manner {
                Manner::Failing => file.is_sync_lost = true,
                Manner::Whole if !file.is_sync_lost => file.durable = Arc::clone(&file.volatile),
                Manner::Whole | Manner::Crashing => {}
            }
            Ok(())
        })
    }

    fn rename_no_replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.apply(DiskOperation::Rename, &format!("{from} {to}"), |state, manner| {
            if manner == Manner::Failing {
                return Ok(());
            }
            let node = state.nodes.find(from)?;
            let (to_parent, to_name) = state.nodes.free_name(to)?;
            let (from_parent, from_name) = from.rsplit_once('/').unwrap_or(("", from));
            let from_parent = state.nodes.folder(from_parent)?;
            state.nodes.folder_mut(to_parent).set(to_name, Some(node));
            state.nodes.folder_mut(from_parent).set(from_name, None);
            Ok(())
        })
    }

    fn rename_replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.apply(DiskOperation::Rename, &format!("{from} {to}"), |state, manner| {
            if manner == Manner::Failing {
                return Ok(());
            }
            let node = state.nodes.find(from)?;
            let (to_parent, to_name) = to.rsplit_once('/').unwrap_or(("", to));
            let to_parent = state.nodes.folder(to_parent)?;
            let (from_parent, from_name) = from.rsplit_once('/').unwrap_or(("", from));
            let from_parent = state.nodes.folder(from_parent)?;
            state.nodes.folder_mut(to_parent).set(to_name, Some(node));
            state.nodes.folder_mut(from_parent).set(from_name, None);
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.apply(DiskOperation::SyncFolder, folder, |state, manner| {
            let at = state.nodes.folder(folder)?;
            match manner {
                Manner::Whole => state.nodes.folder_mut(at).sync(),
                Manner::Failing => state.nodes.folder_mut(at).lose_sync(),
                Manner::Crashing => {}
            }
            Ok(())
        })
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.apply(DiskOperation::ReadRange, path, |state, _| {
            let content = &state.nodes.file(path)?.volatile;
            let inside = match (usize::try_from(range.start), usize::try_from(range.end)) {
                (Ok(start), Ok(end)) => content.get(start..end),
                _ => None,
            };
            Ok(inside.ok_or(io::ErrorKind::UnexpectedEof)?.to_vec())
        })
    }

    fn file_len(&self, path: &str) -> io::Result<u64> {
        self.apply(DiskOperation::FileLen, path, |state, _| Ok(state.nodes.file(path)?.volatile.len() as u64))
    }

    fn list_folder(&self, folder: &str, visit: &mut dyn FnMut(DiskEntry<'_>)) -> io::Result<()> {
        let listed = self.apply(DiskOperation::ListFolder, folder, |state, _| {
            let describe = |(name, node): (&str, &Node)| match node {
                Node::Folder(_) => (name.to_owned(), DiskEntryKind::Folder, Duration::ZERO),
                Node::File(file) => {
                    let len_bytes = file.volatile.len() as u64;
                    (name.to_owned(), DiskEntryKind::File { len_bytes }, state.clock.saturating_sub(file.changed))
                }
            };
            Ok(state.nodes.entries(folder)?.map(describe).collect::<Vec<_>>())
        })?;
        for (name, kind, age) in &listed {
            visit(DiskEntry { name: OsStr::new(name), kind: *kind, age: *age });
        }
        Ok(())
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.apply(DiskOperation::RemoveFile, path, |state, manner| {
            if manner == Manner::Failing {
                return Ok(());
            }
            state.nodes.file(path)?;
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let parent = state.nodes.folder(parent)?;
            state.nodes.folder_mut(parent).set(name, None);
            Ok(())
        })
    }

    fn new_writer(&self) -> WriterId {
        let mut state = lock(&self.state);
        state.writer_count += 1;
        WriterId { process: 1, nonce: state.writer_count }
    }

    /// Every process that wrote has ended.
    fn is_process_alive(&self, _process: u32) -> bool {
        false
    }

    fn location(&self) -> PathBuf {
        PathBuf::from("simulated")
    }
}
