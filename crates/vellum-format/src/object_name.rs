//! The closed set of names that a storage may be asked for.

use crate::ObjectId;
use crate::ids::hex;
use std::borrow::Cow;
use std::fmt;

/// What an object is; it decides the folder that the object lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// The repository's config: exactly one per repository.
    Config,
    /// A second copy of the config under another prefix.
    ConfigMirror,
    /// A key manifest: slots and rings of one generation.
    Key,
    /// A second copy of a key manifest under another prefix.
    KeyMirror,
    /// Frames and their sealed directory.
    Pack,
    /// The directories of many packs.
    Catalog,
    /// A second copy of a catalog under another prefix.
    CatalogMirror,
    /// A commit point.
    Snapshot,
    /// A second copy of a snapshot under another prefix.
    SnapshotMirror,
    /// Which snapshots were removed, and by whom.
    Tombstone,
    /// A second copy of a tombstone under another prefix.
    TombstoneMirror,
    /// A writer that is running, or was killed: its intent.
    Intent,
    /// Packs that nobody may rely on any more, or the writers to outlast before they go.
    Condemned,
    /// A second copy of such a record under another prefix.
    CondemnedMirror,
    /// A writer whose snapshots count no more.
    Fence,
    /// A second copy of a fence under another prefix.
    FenceMirror,
    /// Which packs were read, when, and found undamaged.
    Verification,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Config,
        Self::ConfigMirror,
        Self::Key,
        Self::KeyMirror,
        Self::Pack,
        Self::Catalog,
        Self::CatalogMirror,
        Self::Snapshot,
        Self::SnapshotMirror,
        Self::Tombstone,
        Self::TombstoneMirror,
        Self::Intent,
        Self::Condemned,
        Self::CondemnedMirror,
        Self::Fence,
        Self::FenceMirror,
        Self::Verification,
    ];

    /// The folder below the repository's root, `/`-separated.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::ConfigMirror => "mirror/config",
            Self::Key => "keys",
            Self::KeyMirror => "mirror/keys",
            Self::Pack => "packs",
            Self::Catalog => "catalogs",
            Self::CatalogMirror => "mirror/catalogs",
            Self::Snapshot => "snapshots",
            Self::SnapshotMirror => "mirror/snapshots",
            Self::Tombstone => "tombstones",
            Self::TombstoneMirror => "mirror/tombstones",
            Self::Intent => "intents",
            Self::Condemned => "condemned",
            Self::CondemnedMirror => "mirror/condemned",
            Self::Fence => "fences",
            Self::FenceMirror => "mirror/fences",
            Self::Verification => "verified",
        }
    }

    /// The kind of the second copies of objects of this kind; none for packs, which carry parity, for intents, whose
    /// names are all that counts, for verification records, which are only advice, and for copies.
    #[must_use]
    pub const fn mirror(self) -> Option<Self> {
        match self {
            Self::Config => Some(Self::ConfigMirror),
            Self::Key => Some(Self::KeyMirror),
            Self::Catalog => Some(Self::CatalogMirror),
            Self::Snapshot => Some(Self::SnapshotMirror),
            Self::Tombstone => Some(Self::TombstoneMirror),
            Self::Condemned => Some(Self::CondemnedMirror),
            Self::Fence => Some(Self::FenceMirror),
            _ => None,
        }
    }

    /// Whether objects of this kind are spread over 256 folders named by their first two hex digits.
    #[must_use]
    pub const fn is_spread(self) -> bool {
        matches!(self, Self::Pack)
    }

    /// The noun for people.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::ConfigMirror => "config copy",
            Self::Key => "key manifest",
            Self::KeyMirror => "key manifest copy",
            Self::Pack => "pack",
            Self::Catalog => "catalog",
            Self::CatalogMirror => "catalog copy",
            Self::Snapshot => "snapshot",
            Self::SnapshotMirror => "snapshot copy",
            Self::Tombstone => "tombstone",
            Self::TombstoneMirror => "tombstone copy",
            Self::Intent => "intent",
            Self::Condemned => "condemnation",
            Self::CondemnedMirror => "condemnation copy",
            Self::Fence => "fence",
            Self::FenceMirror => "fence copy",
            Self::Verification => "verification record",
        }
    }
}

/// The name of one stored object: its kind and the hash of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// What the object is.
    pub kind: ObjectKind,
    /// BLAKE3 of its stored bytes.
    pub id: ObjectId,
}

impl ObjectName {
    /// Puts a name together.
    #[must_use]
    pub const fn new(kind: ObjectKind, id: ObjectId) -> Self {
        Self { kind, id }
    }

    /// The name that an object of this kind with these bytes must have.
    #[must_use]
    pub fn of(kind: ObjectKind, stored_bytes: &[u8]) -> Self {
        Self { kind, id: ObjectId::of(stored_bytes) }
    }

    /// The path below the repository's root, such as `packs/3f/3f…` or `snapshots/09…`.
    #[must_use]
    pub fn path(&self) -> String {
        [&self.folder(), "/", hex(self.id.as_bytes(), &mut [0; 2 * ObjectId::LEN])].concat()
    }

    /// The folder of [`ObjectName::path`], such as `packs/3f` or `snapshots`.
    #[must_use]
    pub fn folder(&self) -> Cow<'static, str> {
        match self.kind.is_spread() {
            true => [self.kind.folder(), "/", hex(&self.id.as_bytes()[..1], &mut [0; 2])].concat().into(),
            false => self.kind.folder().into(),
        }
    }

    /// Parses exactly what [`ObjectName::path`] gives; nothing else is a name.
    ///
    /// # Errors
    /// [`ParseObjectNameError`] for any other text.
    pub fn from_path(path: &str) -> Result<Self, ParseObjectNameError> {
        let id = path.rsplit('/').next().and_then(ObjectId::from_hex).ok_or(ParseObjectNameError)?;
        let candidates = ObjectKind::ALL.into_iter().map(|kind| Self { kind, id });
        candidates.into_iter().find(|name| name.path() == path).ok_or(ParseObjectNameError)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// A path that names no object of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a stored object")]
pub struct ParseObjectNameError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_and_paths_are_those_of_the_specification() {
        let specification = include_str!("../../../docs/FORMAT.md");
        for kind in ObjectKind::ALL {
            let below = if kind.is_spread() { "XX/ID" } else { "ID" };
            let row = format!("| {} | `{}/{below}` |", kind.noun(), kind.folder());
            assert!(specification.contains(&row), "no row {row} in the table of objects");
        }
    }

    #[test]
    fn a_copy_lies_below_mirror_and_nothing_else_does() {
        for kind in ObjectKind::ALL {
            let folder = format!("mirror/{}", kind.folder());
            let copy = ObjectKind::ALL.into_iter().find(|copy| copy.folder() == folder);
            assert_eq!(kind.mirror(), copy, "{kind:?}");
        }
    }

    #[test]
    fn paths_parse_back_and_nothing_else_does() {
        for kind in ObjectKind::ALL {
            let name = ObjectName::of(kind, b"bytes");
            assert_eq!(ObjectName::from_path(&name.path()), Ok(name));
            assert_eq!(name.to_string(), name.path());
            assert_eq!(name.path(), format!("{}/{}", name.folder(), name.id));
        }
        let pack = ObjectName::of(ObjectKind::Pack, b"bytes").path();
        for bad in ["", "..", "packs/../config", "packs", &pack[9..], &pack.replace("packs/", "packs/0"), "config/xyz"]
        {
            assert_eq!(ObjectName::from_path(bad), Err(ParseObjectNameError), "{bad}");
        }
    }
}
