//! What must hold for every input of every decoder, as one function a target.
//!
//! The targets in `fuzz_targets/` hand libFuzzer's inputs to these functions; the test below hands them everything
//! under `seeds/` and `regressions/`. A target's properties, beyond that it neither panics nor exhausts memory: what
//! decodes from a fixed layout encodes to the same bytes again, and what decodes from CBOR encodes to something that
//! decodes to an equal value.

use std::ffi::OsString;
use std::fmt::Debug;
use std::os::unix::ffi::OsStringExt as _;
use vellum::{Filter, HeadCode, KeyFile, RecoveryKey};
use vellum_format::catalog::{self, Catalog};
use vellum_format::content::{ChunkRef, Content};
use vellum_format::deletion::{CondemnedRecord, FenceRecord, Intent};
use vellum_format::history::SignedRecord;
use vellum_format::key_manifest::{KeyManifest, SignedKeyManifest, SlotHeader};
use vellum_format::pack::{Directory, PackHeader, PackTrailer};
use vellum_format::parity::{Parity, ParityTable};
use vellum_format::repository_config::RepositoryConfig;
use vellum_format::snapshot::{self, DeviceCertificate, Root, SnapshotManifest};
use vellum_format::tombstone::{self, TombstoneManifest};
use vellum_format::tree::{Entry, Node, TreeDecoder};
use vellum_format::verification::Verification;
use vellum_format::{FormatError, ObjectId, ObjectName, SealedHeader, limits};

/// A target: its name and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 28] = [
    ("pack_header", pack_header),
    ("pack_trailer", pack_trailer),
    ("parity_table", parity_table),
    ("directory", directory),
    ("catalog", catalog),
    ("content", content),
    ("chunk_list", chunk_list),
    ("tree_entry", tree_entry),
    ("tree_stream", tree_stream),
    ("record_signed", record_signed),
    ("snapshot_manifest", snapshot_manifest),
    ("tombstone_manifest", tombstone_manifest),
    ("device_certificate", device_certificate),
    ("repository_config", repository_config),
    ("key_manifest_signed", key_manifest_signed),
    ("key_manifest", key_manifest),
    ("slot_header", slot_header),
    ("sealed_header", sealed_header),
    ("object_name", object_name),
    ("key_file", key_file),
    ("recovery_key", recovery_key),
    ("head_code", head_code),
    ("filter", filter),
    ("intent", intent),
    ("condemned", condemned),
    ("fence", fence),
    ("verification", verification),
    ("command_line", command_line),
];

/// A little-endian number of four or eight bytes at this offset; zeros where the input ends.
fn number_at(data: &[u8], offset: usize, len: usize) -> u64 {
    let mut bytes = [0; 8];
    let found = data.get(offset..).unwrap_or_default();
    let len = len.min(found.len());
    bytes[..len].copy_from_slice(&found[..len]);
    u64::from_le_bytes(bytes)
}

/// Whether `data` is `encoded` with nothing but zeros behind it.
#[track_caller]
fn assert_padded(data: &[u8], encoded: &[u8]) {
    let padding = data.strip_prefix(encoded).expect("the decoded value encodes to the start of the input");
    assert!(padding.iter().all(|byte| *byte == 0), "only zeros are padding");
}

/// Decodes, encodes and decodes again.
#[track_caller]
fn again<T: PartialEq + Debug>(
    data: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, FormatError>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<T> {
    let value = decode(data).ok()?;
    let encoded = encode(&value);
    assert_eq!(decode(&encoded).as_ref(), Ok(&value));
    Some(value)
}

/// The clear start of a pack, for an object as long as the header says and for one that is a byte longer.
pub fn pack_header(data: &[u8]) {
    let body_len_bytes = number_at(data, PackHeader::BODY_LEN_OFFSET, 8).min(limits::PACK_LEN_BYTES_MAX);
    let parity = if data.get(11) == Some(&1) { Parity::ReedSolomon } else { Parity::None };
    let len_bytes = parity.object_len_bytes(body_len_bytes);
    if let Ok(header) = PackHeader::decode(data, len_bytes) {
        assert_eq!(header.encode()[..], *data);
        assert!(PackHeader::decode(data, len_bytes + 1).is_err());
    }
}

/// The opened end of a pack, standing where it says that the directory ends.
pub fn pack_trailer(data: &[u8]) {
    let end = number_at(data, 0, 4) + number_at(data, 4, 4);
    if let Ok(trailer) = PackTrailer::decode(data, end) {
        assert_eq!(trailer.encode()[..], *data);
        assert!(PackTrailer::decode(data, end + 1).is_err());
    }
}

/// The end of a parity table, and what stands before it.
pub fn parity_table(data: &[u8]) {
    if let Ok(table) = ParityTable::decode_end(data) {
        assert!(data.ends_with(&table.encode()));
        assert_eq!(table.tags.len() as u64, table.layout.shards());
        assert!(table.layout.object_len_bytes() > table.layout.body_len_bytes());
    }
}

/// An opened pack directory.
pub fn directory(data: &[u8]) {
    let Ok(directory) = Directory::decode(data, limits::PACK_LEN_BYTES_MAX) else { return };
    assert_padded(data, &directory.encode());
    let wrap_lens: Vec<usize> = directory.wraps.iter().map(|wrap| wrap.bytes.len()).collect();
    let encoded_len = Directory::encoded_len(&wrap_lens, directory.frames.len(), directory.chunk_count());
    assert_eq!(encoded_len, directory.encode().len());
    if let Some(last) = directory.frames.last() {
        let end = u64::from(last.offset) + u64::from(last.stored_len_bytes);
        assert_eq!(Directory::decode(data, end).as_ref(), Ok(&directory));
        assert!(end == 0 || Directory::decode(data, end - 1).is_err(), "a frame ends behind the frames");
    }
}

/// An opened catalog. The directories inside may be padded, so only equal values are asked for.
pub fn catalog(data: &[u8]) {
    again(data, Catalog::decode, Catalog::encode);
}

/// The content of a file or folder.
pub fn content(data: &[u8]) {
    if let Ok(content) = Content::decode(data) {
        let mut encoded = Vec::new();
        content.encode_into(&mut encoded);
        assert_eq!(encoded, data);
    }
}

/// The plaintext of a list chunk.
pub fn chunk_list(data: &[u8]) {
    if let Ok(chunks) = ChunkRef::decode_list(data) {
        let mut encoded = Vec::new();
        chunks.iter().for_each(|chunk| chunk.encode_into(&mut encoded));
        assert_eq!(encoded, data);
    }
}

/// One tree entry.
pub fn tree_entry(data: &[u8]) {
    let Ok(entry) = Entry::decode(data) else { return };
    let mut encoded = Vec::new();
    entry.encode_into(&mut encoded);
    let (len, record) = encoded.split_first_chunk().expect("a length comes first");
    assert_eq!(u32::from_le_bytes(*len) as usize, record.len());
    assert_eq!(record, data);
    assert_entry_is_safe(&entry);
}

/// What restore relies on.
fn assert_entry_is_safe(entry: &Entry) {
    let name = entry.name.as_bytes();
    assert!(!name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0));
    assert!(entry.metadata.mode <= 0o7777 && entry.metadata.modified.nanoseconds < 1_000_000_000);
    if let Node::Symlink { target } = &entry.node {
        assert!(!target.contains(&0));
    }
}

/// A folder's entry list: the first byte chooses the pieces, which must not change what comes out.
pub fn tree_stream(data: &[u8]) {
    let Some((&seed, stream)) = data.split_first() else { return };
    let whole = decode_stream([stream]);
    assert!(whole.0.is_sorted_by(|a, b| a.name < b.name));
    whole.0.iter().for_each(assert_entry_is_safe);
    assert_eq!(decode_stream(Pieces { rest: stream, state: seed.into() }), whole);
    if whole.1.is_ok() {
        let mut encoded = Vec::new();
        whole.0.iter().for_each(|entry| entry.encode_into(&mut encoded));
        assert_eq!(encoded, stream);
    }
}

fn decode_stream<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Entry>, Result<(), FormatError>) {
    let mut decoder = TreeDecoder::default();
    let mut entries = Vec::new();
    let pushed = pieces.into_iter().try_for_each(|piece| decoder.push(piece, &mut |entry| entries.push(entry)));
    (entries, pushed.and_then(|()| decoder.finish()))
}

/// Pieces of pseudo-random lengths, empty ones among them.
struct Pieces<'a> {
    rest: &'a [u8],
    state: u64,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let most = [2, 9, 60, 500][(self.state >> 40) as usize % 4];
        let (piece, rest) = self.rest.split_at(((self.state >> 48) as usize % most).min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}

/// An opened snapshot or tombstone with its signatures.
pub fn record_signed(data: &[u8]) {
    again(data, SignedRecord::decode, SignedRecord::encode);
}

/// What a writer says of itself.
pub fn intent(data: &[u8]) {
    again(data, Intent::decode, Intent::encode);
}

/// A condemnation, or whom to outlast.
pub fn condemned(data: &[u8]) {
    again(data, CondemnedRecord::decode, CondemnedRecord::encode);
}

/// A fence, raised or closed.
pub fn fence(data: &[u8]) {
    again(data, FenceRecord::decode, FenceRecord::encode);
}

/// What checks remember.
pub fn verification(data: &[u8]) {
    if let Ok(record) = Verification::decode(data) {
        assert_padded(data, &record.encode());
        assert!(record.packs.iter().all(|reading| (reading.run as usize) < record.runs.len()));
    }
}

/// A signed snapshot manifest and the root inside.
pub fn snapshot_manifest(data: &[u8]) {
    if let Some(manifest) = again(data, SnapshotManifest::decode, SnapshotManifest::encode)
        && let Ok(content) = manifest.root.content()
    {
        assert_eq!(Root::new(&content, &manifest.root.class), manifest.root);
    }
}

/// A signed tombstone manifest.
pub fn tombstone_manifest(data: &[u8]) {
    if let Some(manifest) = again(data, TombstoneManifest::decode, TombstoneManifest::encode) {
        assert!((1..=limits::TOMBSTONE_REMOVED_MAX).contains(&manifest.removed.len()));
    }
}

/// The owner's statement about a device.
pub fn device_certificate(data: &[u8]) {
    again(data, DeviceCertificate::decode, DeviceCertificate::encode);
}

/// A config object. What it says holds for everything, so its sizes must be usable.
pub fn repository_config(data: &[u8]) {
    let Some(config) = again(data, RepositoryConfig::decode, RepositoryConfig::encode) else { return };
    assert!(limits::PACK_TARGET_LEN_BYTES.contains(&config.pack_len_bytes));
    assert!(config.frame_len_bytes <= limits::FRAME_PLAIN_LEN_BYTES_MAX);
    assert!(config.classes.iter().all(|class| class.chunker.max_len_bytes <= limits::CHUNK_LEN_BYTES_MAX));
    assert!(config.must_understand.is_empty(), "version 1 understands no feature");
}

/// A key manifest object.
pub fn key_manifest_signed(data: &[u8]) {
    again(data, SignedKeyManifest::decode, SignedKeyManifest::encode);
}

/// A signed key manifest.
pub fn key_manifest(data: &[u8]) {
    if let Some(manifest) = again(data, KeyManifest::decode, KeyManifest::encode) {
        assert!(manifest.slots.len() <= limits::SLOTS_MAX);
    }
}

/// A slot's header.
pub fn slot_header(data: &[u8]) {
    again(data, SlotHeader::decode, SlotHeader::encode);
}

/// The clear start of a catalog, snapshot or tombstone.
pub fn sealed_header(data: &[u8]) {
    for magic in [catalog::MAGIC, snapshot::MAGIC, tombstone::MAGIC] {
        if let Ok((header, rest)) = SealedHeader::split("object", magic, data) {
            assert_eq!([&header.encode(magic)[..], rest].concat(), data);
        }
    }
}

/// The path of an object, and the hex digits of an id.
pub fn object_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = ObjectName::from_path(text) {
        assert_eq!(name.path(), text);
    }
    if let Some(id) = ObjectId::from_hex(text) {
        assert_eq!(id.to_string(), text);
    }
}

/// The content of a key file.
pub fn key_file(data: &[u8]) {
    if let Ok(key) = KeyFile::parse(data) {
        let line = data.strip_suffix(b"\n").unwrap_or(data);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert_eq!(key.encode().strip_suffix(b"\n"), Some(line));
    }
}

/// A recovery key as a person typed it.
pub fn recovery_key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = RecoveryKey::parse(text) {
        let printed = key.format();
        assert!(RecoveryKey::parse(&printed) == Ok(key));
        let symbols = text.chars().filter(|symbol| !symbol.is_whitespace() && *symbol != '-').count();
        assert_eq!(symbols, printed.chars().filter(|symbol| *symbol != '-').count());
    }
}

/// A head code as a person typed it.
pub fn head_code(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(code) = HeadCode::parse(text) {
        assert_eq!(HeadCode::parse(&code.to_string()), Ok(code));
        let symbols = text.chars().filter(|symbol| !symbol.is_whitespace() && *symbol != '-').count();
        assert_eq!(symbols, 12);
    }
}

/// Patterns, one a line, and a path in the last line: the last pattern that matches decides, and a path below a
/// selected folder is selected.
pub fn filter(data: &[u8]) {
    let mut lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let Some(path) = lines.pop() else { return };
    let mut all = Filter::default();
    let mut selected = false;
    for pattern in lines.iter().filter_map(|line| std::str::from_utf8(line).ok()) {
        let mut alone = Filter::default();
        if all.add(pattern, false).is_err() {
            assert!(alone.add(pattern, false).is_err());
            continue;
        }
        let (plain, selects) = pattern.strip_prefix('!').map_or((pattern, true), |plain| (plain, false));
        if alone.add(plain, false).is_ok() && alone.matches(path) {
            selected = selects;
        }
    }
    assert_eq!(all.matches(path), selected);
    assert!(!selected || all.matches_with_parents(path));
}

/// Variables, an empty one, arguments, with NUL between: what no run can be made of is refused as a usage error that
/// names something of it, and rules that keep nothing are refused.
pub fn command_line(data: &[u8]) {
    let mut pieces = data.split(|byte| *byte == 0);
    let variables: Vec<&[u8]> = pieces.by_ref().take_while(|piece| !piece.is_empty()).collect();
    let arguments: Vec<OsString> = pieces.map(|piece| OsString::from_vec(piece.to_vec())).collect();
    let variable = |name: &str| {
        let value = variables.iter().find_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        value.map(|value| OsString::from_vec(value.to_vec()))
    };
    let verdict = vellum_cli::look_over(arguments.iter().cloned(), variable);
    assert_eq!(verdict, vellum_cli::look_over(arguments.iter().cloned(), variable));
    match verdict {
        Ok(None) => {}
        Ok(Some(verdict)) => {
            assert_ne!(verdict.threads, Some(0), "no worker does nothing");
            assert!(!verdict.removes_by_rules || verdict.keeps_something, "rules that keep nothing");
        }
        Err(refusal) => {
            assert_eq!(refusal.exit_code, 2, "{refusal:?}");
            let words = ["--", "VELLUM_", "<", "'", "`", "pattern", "time zone", "rule", "profile", "address"];
            let of_line = arguments.iter().map(|argument| argument.to_string_lossy()).filter(|text| !text.is_empty());
            let names = words.iter().any(|word| refusal.message.contains(word)) || { of_line }
                .any(|text| refusal.message.contains(&*text));
            assert!(names, "it names nothing: {refusal:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use std::fs;
    use std::path::Path;

    #[test]
    fn seeds_and_regressions_hold() {
        for (name, target) in TARGETS {
            let mut inputs = 0;
            for kind in ["seeds", "regressions"] {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(name);
                for input in fs::read_dir(folder).into_iter().flatten() {
                    target(&fs::read(input.unwrap().path()).unwrap());
                    inputs += 1;
                }
            }
            assert!(inputs > 0, "{name} has no seed");
        }
    }
}
