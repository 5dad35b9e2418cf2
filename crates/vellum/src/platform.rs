//! The file system of this machine: reading the user's files, and restoring them.
//!
//! Everything below a root goes through handles of open folders and one plain name at a time. So a path may be longer
//! than the kernel takes as a string, and a folder that is swapped for a symbolic link while we work is never
//! followed. Names are bytes.
//!
//! The restoring side never writes outside its target (I10): it follows no link, enters only real folders, and never
//! opens an existing file for writing, because another name of the same inode may stand outside.
//!
//! Linux is complete. Other unix systems compile, without extended attributes.

mod folder;
mod found;
mod inode;
mod metadata;
mod names;
mod owner_names;
pub(crate) mod process;
mod remove;
mod source;
mod stat;
mod target;
mod target_file;
mod xattr;

pub(crate) use found::Found;
pub(crate) use metadata::{MetadataPart, MetadataProblem, OwnerPolicy, metadata_of};
pub(crate) use names::Names;
pub(crate) use owner_names::OwnerNames;
pub(crate) use source::{SourceFile, SourceFolder};
pub(crate) use stat::{FileKind, Identity, Stat};
pub(crate) use target::TargetFolder;
pub(crate) use target_file::{SuspendedFile, TargetFile};
pub(crate) use xattr::{ReadXattrs, Xattrs};

#[cfg(test)]
mod tests;
