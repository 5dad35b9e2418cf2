//! Metadata of entries: from the kernel's answers to what a snapshot keeps, and back onto restored entries.

use super::inode::Inode;
use super::owner_names::OwnerNames;
use super::stat::{FileKind, Stat};
use super::xattr::{ACL_ACCESS, Xattrs};
use std::fmt;
use std::io;
use vellum_format::snapshot::Timestamp;
use vellum_format::tree::{LinkGroup, Metadata};

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const GROUP_BITS: u32 = 0o070;

/// What a snapshot keeps of an entry beside its content.
pub(crate) fn metadata_of(stat: &Stat, xattrs: Xattrs, names: &OwnerNames) -> Metadata {
    let shared = stat.links > 1 && stat.kind != FileKind::Folder;
    Metadata {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        user: names.user(stat.uid).to_vec(),
        group: names.group(stat.gid).to_vec(),
        modified: stat.modified,
        xattrs,
        link_group: shared.then_some(LinkGroup { device: stat.device, inode: stat.inode }),
    }
}

/// Who is to own what is restored.
#[derive(Debug)]
pub(crate) struct OwnerPolicy {
    restores: bool,
    names: Option<OwnerNames>,
}

impl OwnerPolicy {
    /// Root restores owners: by name where this machine knows the name and `numeric` does not forbid it, else by
    /// number. Anybody else owns what he restores.
    pub(crate) fn of_this_process(numeric: bool) -> Self {
        let names = (!numeric).then(OwnerNames::load);
        Self { restores: rustix::process::geteuid().is_root(), names }
    }

    /// Whether owners are restored.
    pub(crate) const fn restores(&self) -> bool {
        self.restores
    }

    /// The numbers of user and group on this machine.
    fn owner_of(&self, metadata: &Metadata) -> (u32, u32) {
        let known = |names: &OwnerNames| (names.uid(&metadata.user), names.gid(&metadata.group));
        let (uid, gid) = self.names.as_ref().map_or((None, None), known);
        (uid.unwrap_or(metadata.uid), gid.unwrap_or(metadata.gid))
    }
}

/// A part of an entry's metadata that could not be restored; the rest was.
#[derive(Debug)]
pub(crate) struct MetadataProblem {
    /// Which part.
    pub(crate) part: MetadataPart,
    /// Why.
    pub(crate) source: io::Error,
}

/// What can fail on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetadataPart {
    /// All of it: the entry could not be reached.
    Everything,
    Owner,
    Mode,
    /// The setuid and setgid bits, withheld because the entry could not be given to its owner.
    PrivilegeBits,
    /// The extended attribute of this name.
    Xattr(Vec<u8>),
    /// The modification time.
    Modified,
    /// That it is another name of an inode, and not one of its own.
    Link,
}

impl fmt::Display for MetadataPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("metadata"),
            Self::Owner => f.write_str("owner"),
            Self::Mode => f.write_str("mode"),
            Self::PrivilegeBits => f.write_str("setuid and setgid bits"),
            Self::Xattr(name) => write!(f, "extended attribute {}", name.escape_ascii()),
            Self::Modified => f.write_str("modification time"),
            Self::Link => f.write_str("hard link"),
        }
    }
}

/// Applies metadata to a restored entry, and goes on after a problem.
///
/// The order matters: a change of owner clears privilege bits and capabilities, a change of the mode rewrites the mask
/// of an ACL, and everything but the times counts as a change of the inode.
pub(super) fn apply(
    inode: &Inode<'_>,
    kind: FileKind,
    metadata: &Metadata,
    policy: &OwnerPolicy,
) -> Vec<MetadataProblem> {
    let mut problems = Problems(Vec::new());
    let found = match inode.stat() {
        Ok(found) if found.kind == kind => found,
        Ok(_) => return everything(io::Error::new(io::ErrorKind::InvalidData, "another entry has taken its place")),
        Err(error) => return everything(error),
    };
    let unowned = set_owner(inode, &found, metadata, policy, &mut problems);
    remove_extra_xattrs(inode, metadata, &mut problems);
    if kind != FileKind::Symlink {
        set_mode(inode, kind, metadata, unowned, &mut problems);
    }
    set_xattrs(inode, metadata, &mut problems);
    problems.note(MetadataPart::Modified, set_modified(inode, metadata.modified));
    problems.0
}

/// The one problem of an entry that cannot be reached.
pub(super) fn everything(source: io::Error) -> Vec<MetadataProblem> {
    vec![MetadataProblem { part: MetadataPart::Everything, source }]
}

struct Problems(Vec<MetadataProblem>);

impl Problems {
    fn note(&mut self, part: MetadataPart, result: io::Result<()>) {
        if let Err(source) = result {
            self.0.push(MetadataProblem { part, source });
        }
    }
}

/// Returns the privilege bits that the entry must not have, because somebody else owns it than on the source.
fn set_owner(
    inode: &Inode<'_>,
    found: &Stat,
    metadata: &Metadata,
    policy: &OwnerPolicy,
    problems: &mut Problems,
) -> u32 {
    let (uid, gid) = policy.owner_of(metadata);
    if (found.uid, found.gid) == (uid, gid) {
        return 0;
    }
    if policy.restores {
        match inode.set_owner(uid, gid) {
            Ok(()) => return 0,
            error => problems.note(MetadataPart::Owner, error),
        }
    }
    let user_differs = if found.uid == uid { 0 } else { SET_UID };
    let group_differs = if found.gid == gid { 0 } else { SET_GID };
    user_differs | group_differs
}

fn set_mode(inode: &Inode<'_>, kind: FileKind, metadata: &Metadata, unowned: u32, problems: &mut Problems) {
    // On a folder these bits only say whose group new entries get.
    let withheld = if kind == FileKind::Folder { 0 } else { metadata.mode & unowned };
    // With an ACL they are its mask, which must not stand as the owning group's right before the ACL does, or without.
    let of_acl = if metadata.xattrs.iter().any(|(name, _)| name == ACL_ACCESS) { GROUP_BITS } else { 0 };
    problems.note(MetadataPart::Mode, inode.set_mode(metadata.mode & !withheld & !of_acl));
    if withheld != 0 {
        problems.note(MetadataPart::PrivilegeBits, Err(io::ErrorKind::PermissionDenied.into()));
    }
}

/// Takes away what a folder's default ACL gave to the new entry, and what an existing folder had before.
///
/// Labels and the file system's own attributes stay.
fn remove_extra_xattrs(inode: &Inode<'_>, metadata: &Metadata, problems: &mut Problems) {
    let Ok(place) = inode.xattrs() else { return };
    let Ok(names) = place.names() else { return };
    for name in names {
        let ours = name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_");
        if ours && metadata.xattrs.binary_search_by(|(wanted, _)| wanted.cmp(&name)).is_err() {
            let removed = place.remove(&name);
            problems.note(MetadataPart::Xattr(name), removed);
        }
    }
}

fn set_xattrs(inode: &Inode<'_>, metadata: &Metadata, problems: &mut Problems) {
    for (name, value) in &metadata.xattrs {
        if let Err(source) = inode.xattrs().and_then(|place| place.set(name, value)) {
            problems.0.push(MetadataProblem { part: MetadataPart::Xattr(name.clone()), source });
        }
    }
}

/// Sets the time and looks at what became of it: the kernel silently takes the nearest that the file system can keep.
fn set_modified(inode: &Inode<'_>, time: Timestamp) -> io::Result<()> {
    inode.set_modified(time)?;
    match inode.stat()?.modified.seconds.abs_diff(time.seconds) {
        // FAT counts in steps of two seconds.
        0..2 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "the file system cannot keep it")),
    }
}
