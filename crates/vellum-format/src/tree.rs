//! Trees: a folder's entries, encoded one after the other in the order of their names. The stream is cut into chunks
//! like a file, so a folder of a million files costs one changed chunk per changed file.

use crate::bytes::ByteSlice;
use crate::content::Content;
use crate::snapshot::Timestamp;
use crate::{FormatError, limits, record};
use serde::{Deserialize, Serialize};

const WHAT: &str = "tree entry";

/// The version of the entry encoding that this crate writes.
const ENTRY_VERSION: u8 = 1;

/// The name of an entry in its folder: bytes, not empty, without `/` and NUL, neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Vec<u8>);

impl EntryName {
    /// The only way to a name; decoding uses it too.
    ///
    /// # Errors
    /// [`FormatError::Inconsistent`] for a name that no folder can hold or that would lead out of it.
    pub fn new(name: Vec<u8>) -> Result<Self, FormatError> {
        Self::check(&name).map(|()| Self(name))
    }

    /// Whether [`EntryName::new`] takes it.
    ///
    /// # Errors
    /// As there.
    pub fn check(name: &[u8]) -> Result<(), FormatError> {
        let forbidden = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0);
        match forbidden || name.len() > limits::ENTRY_NAME_LEN_BYTES_MAX {
            true => Err(FormatError::Inconsistent { what: WHAT, rule: "its name is one plain path component" }),
            false => Ok(()),
        }
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for EntryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// One item of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: EntryName,
    /// What it is, with what only that kind has.
    pub node: Node,
    /// What every kind has.
    pub metadata: Metadata,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// A regular file.
    File {
        /// Its length in bytes.
        len_bytes: u64,
        /// Its bytes.
        content: Content,
        /// Whether it occupied less space than its length: restored with holes where it is zero.
        sparse: bool,
    },
    /// A folder.
    Folder {
        /// Its encoded entries.
        content: Content,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as bytes.
        target: Vec<u8>,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// What every entry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky: the low 12 bits of `st_mode`.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Owner's name on the source, empty when unknown.
    pub user: Vec<u8>,
    /// Group's name on the source, empty when unknown.
    pub group: Vec<u8>,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Extended attributes by name, ACLs and capabilities among them, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Entries of one snapshot with the same group and the same node are names of one inode.
    pub link_group: Option<LinkGroup>,
}

/// Device and inode on the source; compared only with others of the same snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkGroup {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// The encoded shape of an [`Entry`]; converting it checks every rule.
#[derive(Serialize, Deserialize)]
struct EntryRecord<'a> {
    #[serde(borrow)]
    name: ByteSlice<'a>,
    node: NodeRecord<'a>,
    mode: u32,
    uid: u32,
    gid: u32,
    user: ByteSlice<'a>,
    group: ByteSlice<'a>,
    modified: Timestamp,
    xattrs: Vec<(ByteSlice<'a>, ByteSlice<'a>)>,
    link_group: Option<LinkGroup>,
}

#[derive(Serialize, Deserialize)]
enum NodeRecord<'a> {
    File {
        len_bytes: u64,
        #[serde(borrow)]
        content: ByteSlice<'a>,
        sparse: bool,
    },
    Folder {
        content: ByteSlice<'a>,
    },
    Symlink {
        target: ByteSlice<'a>,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    CharDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}

impl Entry {
    /// Appends the encoded entry: length of what follows (u32), version, record.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, ENTRY_VERSION]);
        let mut content = Vec::new();
        if let Node::File { content: named, .. } | Node::Folder { content: named } = &self.node {
            named.encode_into(&mut content);
        }
        record::encode_into(&self.record(&content), out);
        let len = u32::try_from(out.len() - start - 4).expect("an entry is far below 4 GiB");
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Decodes one entry from what stands behind its length.
    ///
    /// # Errors
    /// [`FormatError`] for anything but what [`Entry::encode_into`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        match bytes.split_first() {
            None => Err(FormatError::Truncated { what: WHAT }),
            Some((&ENTRY_VERSION, record)) => record::decode::<EntryRecord<'_>>(WHAT, record)?.try_into(),
            Some((version, _)) => {
                Err(FormatError::Unsupported { what: WHAT, field: "version", value: version.to_string() })
            }
        }
    }

    fn record<'a>(&'a self, content: &'a [u8]) -> EntryRecord<'a> {
        let Metadata { mode, uid, gid, user, group, modified, xattrs, link_group } = &self.metadata;
        let content = ByteSlice(content);
        let node = match &self.node {
            Node::File { len_bytes, sparse, .. } => {
                NodeRecord::File { len_bytes: *len_bytes, content, sparse: *sparse }
            }
            Node::Folder { .. } => NodeRecord::Folder { content },
            Node::Symlink { target } => NodeRecord::Symlink { target: ByteSlice(target) },
            Node::BlockDevice { major, minor } => NodeRecord::BlockDevice { major: *major, minor: *minor },
            Node::CharDevice { major, minor } => NodeRecord::CharDevice { major: *major, minor: *minor },
            Node::Fifo => NodeRecord::Fifo,
        };
        EntryRecord {
            name: ByteSlice(self.name.as_bytes()),
            node,
            mode: *mode,
            uid: *uid,
            gid: *gid,
            user: ByteSlice(user),
            group: ByteSlice(group),
            modified: *modified,
            xattrs: xattrs.iter().map(|(name, value)| (ByteSlice(name), ByteSlice(value))).collect(),
            link_group: *link_group,
        }
    }
}

impl TryFrom<EntryRecord<'_>> for Entry {
    type Error = FormatError;

    fn try_from(record: EntryRecord<'_>) -> Result<Self, FormatError> {
        let EntryRecord { name, node, mode, uid, gid, user, group, modified, xattrs, link_group } = record;
        if mode > 0o7777 || modified.nanoseconds > 999_999_999 {
            return Err(FormatError::Inconsistent { what: WHAT, rule: "mode and time are in range" });
        }
        let nameless = |name: &ByteSlice<'_>| name.0.is_empty() || name.0.contains(&0);
        if !xattrs.is_sorted_by(|a, b| a.0 < b.0) || xattrs.iter().any(|(name, _)| nameless(name)) {
            return Err(FormatError::Inconsistent { what: WHAT, rule: "extended attributes are sorted by name" });
        }
        let xattrs = xattrs.into_iter().map(|(name, value)| (name.0.to_vec(), value.0.to_vec())).collect();
        let (user, group) = (user.0.to_vec(), group.0.to_vec());
        let metadata = Metadata { mode, uid, gid, user, group, modified, xattrs, link_group };
        Ok(Self { name: EntryName::new(name.0.to_vec())?, node: node.try_into()?, metadata })
    }
}

impl TryFrom<NodeRecord<'_>> for Node {
    type Error = FormatError;

    fn try_from(record: NodeRecord<'_>) -> Result<Self, FormatError> {
        Ok(match record {
            NodeRecord::File { len_bytes, content, sparse } => {
                Self::File { len_bytes, content: Content::decode(content.0)?, sparse }
            }
            NodeRecord::Folder { content } => Self::Folder { content: Content::decode(content.0)? },
            NodeRecord::Symlink { target } if target.0.contains(&0) => {
                return Err(FormatError::Inconsistent { what: WHAT, rule: "a link's target has no NUL" });
            }
            NodeRecord::Symlink { target } => Self::Symlink { target: target.0.to_vec() },
            NodeRecord::BlockDevice { major, minor } => Self::BlockDevice { major, minor },
            NodeRecord::CharDevice { major, minor } => Self::CharDevice { major, minor },
            NodeRecord::Fifo => Self::Fifo,
        })
    }
}

/// The name in what [`Entry::decode`] takes, without a look at the rest.
#[must_use]
pub fn encoded_name(bytes: &[u8]) -> Option<&[u8]> {
    let (&ENTRY_VERSION, record) = bytes.split_first()? else { return None };
    let (len, rest) = record.split_first_chunk::<8>()?;
    rest.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?)
}

/// Takes a folder's entry list apart while it arrives in pieces, and holds at most one incomplete entry.
#[derive(Debug, Default)]
pub struct TreeDecoder {
    pending: Vec<u8>,
    last: Option<EntryName>,
}

impl TreeDecoder {
    /// Adds the next piece of the stream and hands every entry that is now complete to `visit`.
    ///
    /// # Errors
    /// [`FormatError`] for an entry that does not decode or names that are not strictly ascending.
    pub fn push(&mut self, piece: &[u8], visit: &mut dyn FnMut(Entry)) -> Result<(), FormatError> {
        self.pending.extend_from_slice(piece);
        let mut at = 0;
        while let Some((len, rest)) = self.pending[at..].split_first_chunk::<4>() {
            let len = u32::from_le_bytes(*len) as usize;
            if len > limits::ENTRY_LEN_BYTES_MAX {
                let (value, limit) = (len as u64, limits::ENTRY_LEN_BYTES_MAX as u64);
                return Err(FormatError::BeyondLimit { what: WHAT, field: "length", value, limit });
            }
            let Some(bytes) = rest.get(..len) else { break };
            let entry = Entry::decode(bytes)?;
            if self.last.as_ref().is_some_and(|last| *last >= entry.name) {
                return Err(FormatError::Inconsistent { what: "tree", rule: "names are strictly ascending" });
            }
            self.last = Some(entry.name.clone());
            at += 4 + len;
            visit(entry);
        }
        self.pending.drain(..at);
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] when it ended inside an entry.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.pending.is_empty() {
            true => Ok(()),
            false => Err(FormatError::Truncated { what: "tree" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;
    use crate::bounds::assert_bound;
    use crate::content::ChunkRef;
    use proptest::prelude::*;

    fn node() -> impl Strategy<Value = Node> {
        let content = any::<[u8; 32]>().prop_map(|digest| Content {
            depth: 0,
            chunks: vec![ChunkRef { digest: Digest::from_bytes(digest), len_bytes: 9 }],
        });
        prop_oneof![
            (any::<u64>(), content.clone(), any::<bool>()).prop_map(|(len_bytes, content, sparse)| Node::File {
                len_bytes,
                content,
                sparse
            }),
            content.prop_map(|content| Node::Folder { content }),
            proptest::collection::vec(1..255u8, 0..40).prop_map(|target| Node::Symlink { target }),
            any::<(u32, u32)>().prop_map(|(major, minor)| Node::BlockDevice { major, minor }),
            any::<(u32, u32)>().prop_map(|(major, minor)| Node::CharDevice { major, minor }),
            Just(Node::Fifo),
        ]
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let name = proptest::collection::vec(any::<u8>(), 1..20)
            .prop_filter_map("a plain name", |name| EntryName::new(name).ok());
        let names = proptest::collection::btree_map(proptest::collection::vec(1..255u8, 1..9), any::<[u8; 3]>(), 0..3);
        (name, node(), 0..0o10000u32, any::<(u32, u32, i64)>(), 0..1_000_000_000u32, names, any::<Option<(u64, u64)>>())
            .prop_map(|(name, node, mode, (uid, gid, seconds), nanoseconds, xattrs, link)| Entry {
                name,
                node,
                metadata: Metadata {
                    mode,
                    uid,
                    gid,
                    user: b"user".to_vec(),
                    group: vec![],
                    modified: Timestamp { seconds, nanoseconds },
                    xattrs: xattrs.into_iter().map(|(name, value)| (name, value.to_vec())).collect(),
                    link_group: link.map(|(device, inode)| LinkGroup { device, inode }),
                },
            })
    }

    proptest! {
        #[test]
        fn a_tree_decodes_whatever_the_pieces(entries in proptest::collection::vec(entry(), 0..6), piece in 1..90usize) {
            let mut entries = entries;
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            entries.dedup_by(|a, b| a.name == b.name);
            let mut bytes = Vec::new();
            entries.iter().for_each(|entry| entry.encode_into(&mut bytes));
            for entry in &entries {
                let mut encoded = Vec::new();
                entry.encode_into(&mut encoded);
                prop_assert_eq!(encoded_name(&encoded[4..]), Some(entry.name.as_bytes()));
            }
            let mut decoder = TreeDecoder::default();
            let mut decoded = Vec::new();
            for piece in bytes.chunks(piece) {
                decoder.push(piece, &mut |entry| decoded.push(entry)).unwrap();
            }
            decoder.finish().unwrap();
            prop_assert_eq!(decoded, entries);
        }

        #[test]
        fn hostile_bytes_do_not_panic(entry in entry(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = Vec::new();
            entry.encode_into(&mut bytes);
            let at = at.index(bytes.len());
            bytes[at] = to;
            prop_assert!(encoded_name(&bytes).is_none_or(|name| name.len() < bytes.len()));
            let mut decoder = TreeDecoder::default();
            drop(decoder.push(&bytes, &mut |_| ()));
        }
    }

    fn metadata() -> Metadata {
        Metadata {
            mode: 0o7777,
            uid: 1,
            gid: 2,
            user: b"user".to_vec(),
            group: b"group".to_vec(),
            modified: Timestamp { seconds: -1, nanoseconds: 999_999_999 },
            xattrs: vec![(b"a".to_vec(), vec![]), (b"b".to_vec(), vec![0])],
            link_group: Some(LinkGroup { device: 3, inode: 4 }),
        }
    }

    fn pipe(name: &[u8], metadata: Metadata) -> Entry {
        Entry { name: EntryName::new(name.to_vec()).unwrap(), node: Node::Fifo, metadata }
    }

    fn encoded(entries: &[Entry]) -> Vec<u8> {
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.encode_into(&mut bytes));
        bytes
    }

    fn decoded(entry: &Entry) -> Result<Entry, FormatError> {
        Entry::decode(&encoded(std::slice::from_ref(entry))[4..])
    }

    /// `docs/FORMAT.md`, "Trees": the rules of the table.
    #[test]
    fn metadata_keeps_its_rules() {
        let entry = pipe(b"pipe", metadata());
        assert_eq!(decoded(&entry), Ok(entry));
        let refused = |change: &dyn Fn(&mut Metadata)| {
            let mut changed = metadata();
            change(&mut changed);
            let refused = decoded(&pipe(b"pipe", changed));
            assert!(matches!(refused, Err(FormatError::Inconsistent { .. })), "{refused:?}");
        };
        refused(&|metadata| metadata.mode = 0o10000);
        refused(&|metadata| metadata.xattrs.reverse());
        refused(&|metadata| metadata.xattrs[1].0 = b"a".to_vec());
        refused(&|metadata| metadata.xattrs[0].0.clear());
        refused(&|metadata| metadata.xattrs[0].0 = b"a\0".to_vec());
        let late = Metadata { modified: Timestamp { seconds: 0, nanoseconds: 1_000_000_000 }, ..metadata() };
        assert!(decoded(&pipe(b"pipe", late)).is_err());
        let linking = |target: &[u8]| {
            let node = Node::Symlink { target: target.to_vec() };
            decoded(&Entry { node, ..pipe(b"link", metadata()) })
        };
        assert!(linking(b"a/../\xff").is_ok());
        assert!(matches!(linking(b"a\0"), Err(FormatError::Inconsistent { .. })));
    }

    #[test]
    fn an_entry_has_a_version_and_nothing_behind_it() {
        let bytes = &encoded(&[pipe(b"pipe", metadata())])[4..];
        assert!(matches!(Entry::decode(&[]), Err(FormatError::Truncated { .. })));
        let newer = Entry::decode(&[&[2], &bytes[1..]].concat());
        assert!(matches!(newer, Err(FormatError::Unsupported { field: "version", .. })), "{newer:?}");
        let longer = Entry::decode(&[bytes, &[0]].concat());
        assert!(matches!(longer, Err(FormatError::TrailingBytes { len_bytes: 1, .. })), "{longer:?}");
    }

    #[test]
    fn names_of_a_folder_ascend_strictly() {
        let pushed = |names: [&[u8]; 2]| {
            let entries = names.map(|name| pipe(name, metadata()));
            TreeDecoder::default().push(&encoded(&entries), &mut |_| ())
        };
        assert_eq!(pushed([b"a", b"b"]), Ok(()));
        for wrong in [[b"a", b"a"], [b"b", b"a"]] {
            let refused = pushed(wrong.map(|name| &name[..]));
            assert!(matches!(refused, Err(FormatError::Inconsistent { what: "tree", .. })), "{wrong:?}");
        }
    }

    #[test]
    fn an_entry_is_refused_by_its_length_before_it_arrives() {
        let max = limits::ENTRY_LEN_BYTES_MAX as u64;
        assert_bound(max, |len| {
            let len = u32::try_from(len).unwrap();
            TreeDecoder::default().push(&len.to_le_bytes(), &mut |_| ())
        });
    }

    #[test]
    fn a_stream_that_ends_inside_an_entry_is_cut_short() {
        let bytes = encoded(&[pipe(b"pipe", metadata())]);
        for len in 0..=bytes.len() {
            let (mut decoder, mut entries) = (TreeDecoder::default(), 0);
            decoder.push(&bytes[..len], &mut |_| entries += 1).unwrap();
            assert_eq!(entries, usize::from(len == bytes.len()), "an entry is handed out as soon as it is there");
            assert_eq!(decoder.finish().is_ok(), len == 0 || len == bytes.len(), "{len}");
        }
    }

    #[test]
    fn names_that_lead_out_of_a_folder_are_refused() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0"] {
            assert!(EntryName::new(bad.to_vec()).is_err());
        }
        assert_eq!(EntryName::new(b"...".to_vec()).unwrap().as_bytes(), b"...");
        assert!(EntryName::new(vec![0xff; limits::ENTRY_NAME_LEN_BYTES_MAX]).is_ok());
        assert!(EntryName::new(vec![0xff; limits::ENTRY_NAME_LEN_BYTES_MAX + 1]).is_err());
    }
}
