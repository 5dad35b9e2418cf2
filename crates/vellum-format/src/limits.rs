//! Upper bounds for everything that comes from outside, so that no stored length can exhaust memory.

/// Bytes of a config object.
pub const CONFIG_LEN_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a key manifest object: hundreds of slots of 2.5 KiB.
pub const KEY_MANIFEST_LEN_BYTES_MAX: u64 = 4 << 20;
/// Slots in one key manifest.
pub const SLOTS_MAX: usize = 256;
/// Rings in one key manifest.
pub const RINGS_MAX: usize = 64;
/// Bytes of a snapshot object.
pub const SNAPSHOT_LEN_BYTES_MAX: u64 = 16 << 20;
/// Paths that one snapshot names.
pub const SNAPSHOT_PATHS_MAX: usize = 65_536;
/// Heads that a snapshot or tombstone names as seen.
pub const SNAPSHOT_SEEN_MAX: usize = 65_536;
/// Bytes of an intent, condemnation or fence object.
pub const RECORD_LEN_BYTES_MAX: u64 = 16 << 20;
/// Names in one condemnation or fence.
pub const RECORD_NAMES_MAX: usize = 65_536;
/// Bytes of a verification record.
pub const VERIFICATION_LEN_BYTES_MAX: u64 = 256 << 20;
/// Packs of one verification record: 128 TiB in packs of 32 MiB.
pub const VERIFICATION_PACKS_MAX: u32 = 1 << 22;
/// Runs of one verification record.
pub const VERIFICATION_RUNS_MAX: u32 = 1 << 16;
/// Bytes of a tombstone object.
pub const TOMBSTONE_LEN_BYTES_MAX: u64 = 16 << 20;
/// Records that one tombstone removes.
pub const TOMBSTONE_REMOVED_MAX: usize = 65_536;
/// Bytes of a tombstone's reason.
pub const TOMBSTONE_REASON_LEN_BYTES_MAX: usize = 4096;
/// Bytes of a catalog object.
pub const CATALOG_LEN_BYTES_MAX: u64 = 256 << 20;
/// Packs listed by one catalog.
pub const CATALOG_PACKS_MAX: u32 = 65_536;
/// Bytes of a whole pack object, parity included.
pub const PACK_LEN_BYTES_MAX: u64 = 1 << 30;
/// Smallest and largest configured size of a full pack, in bytes.
pub const PACK_TARGET_LEN_BYTES: std::ops::RangeInclusive<u32> = (1 << 20)..=(512 << 20);
/// Bytes of a pack's sealed directory.
pub const DIRECTORY_LEN_BYTES_MAX: u32 = 128 << 20;
/// Frames of one pack.
pub const PACK_FRAMES_MAX: u32 = 1 << 20;
/// Chunks of one pack.
pub const PACK_CHUNKS_MAX: u32 = 1 << 21;
/// Key wraps of one pack.
pub const PACK_WRAPS_MAX: u16 = 4096;
/// Bytes of one key wrap.
pub const WRAP_LEN_BYTES_MAX: u16 = 4096;
/// Plaintext bytes of one frame.
pub const FRAME_PLAIN_LEN_BYTES_MAX: u32 = 32 << 20;
/// Plaintext bytes of one chunk.
pub const CHUNK_LEN_BYTES_MAX: u32 = 16 << 20;
/// Bytes of one encoded tree entry.
pub const ENTRY_LEN_BYTES_MAX: usize = 16 << 20;
/// Bytes of one name in a tree; Linux allows 255, others a little more.
pub const ENTRY_NAME_LEN_BYTES_MAX: usize = 4096;
/// Folders below each other in one tree; deeper ones are told and left out.
pub const TREE_DEPTH_MAX: usize = 16_384;
/// Bytes of a path in one tree; what lies in folders with longer ones is told and left out.
pub const PATH_LEN_BYTES_MAX: usize = 262_144;
/// Levels of chunk lists above the data of one file or folder.
pub const CONTENT_DEPTH_MAX: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deletion::CondemnedRecord;
    use crate::key_manifest::{KeyManifest, SealedRing, Slot};
    use crate::snapshot::Timestamp;
    use crate::tombstone::TombstoneManifest;
    use crate::{Bytes, DeviceId, FixedBytes, ObjectId, RepositoryId, SealedHeader, padme_len};

    /// Length of an object whose sealed content is this long: header, `com`, tag, Padmé.
    fn sealed_len(content: usize) -> u64 {
        padme_len((SealedHeader::ENCODED_LEN + 48 + content) as u64)
    }

    fn names(count: usize) -> Vec<ObjectId> {
        vec![ObjectId::of(b"name"); count]
    }

    /// Otherwise a writer that keeps every count would store what readers refuse for its length.
    #[test]
    fn what_keeps_the_other_limits_is_no_longer_than_its_object_may_be() {
        let time = Timestamp { seconds: i64::MIN, nanoseconds: 999_999_999 };
        let condemned = CondemnedRecord::Packs { time, packs: names(RECORD_NAMES_MAX) };
        assert!(sealed_len(condemned.encode().len()) <= RECORD_LEN_BYTES_MAX);

        let tombstone = TombstoneManifest {
            repository: RepositoryId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([2; 16]),
            sequence: u64::MAX,
            previous: Some(ObjectId::of(b"previous")),
            seen: names(SNAPSHOT_SEEN_MAX),
            time,
            host: Bytes(vec![0xff; 255]),
            user: "u".repeat(255),
            removed: names(TOMBSTONE_REMOVED_MAX),
            reason: "r".repeat(TOMBSTONE_REASON_LEN_BYTES_MAX),
            program: "vellum".to_owned(),
            must_understand: vec![],
        };
        let signed_len = tombstone.encode().len() + 1000;
        assert!(sealed_len(signed_len) <= TOMBSTONE_LEN_BYTES_MAX, "with certificate and signatures");
        assert!(sealed_len(signed_len + SNAPSHOT_PATHS_MAX * 128) <= SNAPSHOT_LEN_BYTES_MAX, "paths of 128 bytes");

        assert!(sealed_len(DIRECTORY_LEN_BYTES_MAX as usize) <= CATALOG_LEN_BYTES_MAX, "the directory of any one pack");
    }

    #[test]
    fn a_key_manifest_has_room_for_every_slot_and_ring() {
        let header = Bytes(vec![0; 2048]);
        let slot = Slot { header, encapsulated: Bytes(vec![0; 1120]), sealed_ring_key: Bytes(vec![0; 80]) };
        let ring = SealedRing { role: "owner".to_owned(), salt: FixedBytes([0; 32]), sealed: Bytes(vec![0; 4096]) };
        let manifest = KeyManifest {
            repository: RepositoryId::from_bytes([1; 16]),
            generation: u64::MAX,
            previous: Some(ObjectId::of(b"previous")),
            config: ObjectId::of(b"config"),
            slots: vec![slot; SLOTS_MAX],
            rings: vec![ring; RINGS_MAX],
        };
        assert!(manifest.encode().len() as u64 + 200 <= KEY_MANIFEST_LEN_BYTES_MAX);
    }
}
