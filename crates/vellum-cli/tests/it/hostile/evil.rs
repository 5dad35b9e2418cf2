//! Writes repositories that no Vellum writes. It holds the keys, so everything is sealed and signed as it should be,
//! and only what it says is evil.

use crate::scene::{Scene, files_below};
use std::fs;
use std::path::PathBuf;
use vellum::format::catalog::{self, Catalog, CatalogedPack};
use vellum::format::content::{ChunkKind, ChunkRef, Content};
use vellum::format::deletion::{CondemnedRecord, FenceRecord, Intent};
use vellum::format::history::SignedRecord;
use vellum::format::key_manifest::SignedKeyManifest;
use vellum::format::pack::{Compression, Directory, Frame, PackHeader, PackTrailer, PackedChunk};
use vellum::format::parity::Parity;
use vellum::format::repository_config::RepositoryConfig;
use vellum::format::snapshot::{self, Root, SnapshotManifest, Summary, Timestamp};
use vellum::format::tombstone::{self, TombstoneManifest};
use vellum::format::tree::Node;
use vellum::format::{Bytes, DeviceId, ObjectId, ObjectKind, ObjectName, RepositoryId, SealedHeader, padme_len};
use vellum_crypto::{
    Credential, DedupKeys, DeviceKey, EpochKeys, Expected, KeyFile, PackKey, RecordKind, SEAL_OVERHEAD_BYTES,
    SignedCertificate, Unlocked, frame_ad, frame_salt,
};
use vellum_testkit::entries::entry;

const CLASS: &str = "private";

/// Plaintext bytes after which a frame is closed.
const FRAME_LEN_BYTES: usize = 1 << 20;

/// A time for what is written: 2026-11-21T00:00:00Z.
pub(super) const NOW: Timestamp = Timestamp { seconds: 1_795_219_200, nanoseconds: 0 };

/// Somebody with the keys of a repository and bad intentions.
pub(super) struct Evil {
    repository: PathBuf,
    pub(super) config: RepositoryConfig,
    config_id: ObjectId,
    pub(super) unlocked: Unlocked,
    pub(super) key: KeyFile,
    pub(super) key_manifest: ObjectId,
    epoch: u32,
    keys: EpochKeys,
    dedup: DedupKeys,
    device: DeviceKey,
    certificate: SignedCertificate,
    sequence: u64,
    waiting: Vec<(ChunkKind, Vec<Vec<u8>>)>,
}

/// What of a pack is not as it should be.
#[derive(Default)]
pub(super) struct Lies {
    /// What is done to the directory before it is sealed in the pack, and before a catalog lists it.
    pub(super) directory: Option<fn(&mut Directory)>,
    /// The trailer, from offset and length of the directory.
    pub(super) trailer: Option<fn(PackTrailer) -> PackTrailer>,
    /// The payload of every frame instead of its plaintext, which then counts as compressed.
    pub(super) payload: Option<Vec<u8>>,
    /// The scope of the header.
    pub(super) scope: Option<RepositoryId>,
}

impl Evil {
    /// Takes the repository of a scene over.
    pub(super) fn of(scene: &Scene) -> Self {
        let repository = scene.path("repository");
        let only = |folder: &str| fs::read(&scene.objects(folder)[0]).expect("an object");
        let (config_bytes, manifest_bytes) = (only("config"), only("keys"));
        let config = RepositoryConfig::decode(&config_bytes).expect("our own config");
        let config_id = ObjectId::of(&config_bytes);
        let key = KeyFile::parse(&fs::read(scene.path("key")).expect("a key file")).expect("a key file");
        let signed = SignedKeyManifest::decode(&manifest_bytes).expect("our own keys");
        let expected =
            Expected { repository: config.repository, owner: config.owner, config: config_id, generation_min: 0 };
        let unlocked = vellum_crypto::unlock(&signed, &expected, &Credential::KeyFile(&key)).expect("our own key");
        let epoch = unlocked.ring.current_epoch(CLASS).expect("a class");
        let keys = unlocked.ring.epoch_keys(CLASS, epoch).expect("keys");
        let version = unlocked.ring.current_dedup_version(CLASS).expect("a class");
        let dedup = unlocked.ring.dedup_keys(CLASS, version).expect("keys");
        let device = DeviceKey::generate().expect("randomness");
        let certificate = unlocked.ring.certify(config.repository, &device);
        let key_manifest = ObjectId::of(&manifest_bytes);
        Self {
            repository,
            config,
            config_id,
            unlocked,
            key,
            key_manifest,
            epoch,
            keys,
            dedup,
            device,
            certificate,
            sequence: 100,
            waiting: Vec::new(),
        }
    }

    pub(super) fn scope(&self) -> RepositoryId {
        self.config.repository
    }

    pub(super) fn path_of(&self, name: &ObjectName) -> PathBuf {
        self.repository.join(name.path())
    }

    /// The objects of a kind that are there.
    pub(super) fn names(&self, kind: ObjectKind) -> Vec<ObjectName> {
        let files = files_below(&self.repository.join(kind.folder()));
        let id = |path: &PathBuf| ObjectId::from_hex(path.file_name()?.to_str()?);
        files.iter().filter_map(id).map(|id| ObjectName::new(kind, id)).collect()
    }

    pub(super) fn read(&self, name: &ObjectName) -> Vec<u8> {
        fs::read(self.path_of(name)).expect("an object")
    }

    /// Stores bytes under a name of their own, and its copy.
    pub(super) fn put(&self, kind: ObjectKind, bytes: &[u8]) -> ObjectId {
        let id = ObjectId::of(bytes);
        self.put_as(kind, id, bytes);
        id
    }

    /// Stores bytes under any name, and its copy.
    pub(super) fn put_as(&self, kind: ObjectKind, id: ObjectId, bytes: &[u8]) {
        for kind in std::iter::once(kind).chain(kind.mirror()) {
            let path = self.path_of(&ObjectName::new(kind, id));
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, bytes).expect("an object");
        }
    }

    /// Deletes both copies.
    pub(super) fn delete(&self, name: &ObjectName) {
        for kind in std::iter::once(name.kind).chain(name.kind.mirror()) {
            fs::remove_file(self.path_of(&ObjectName::new(kind, name.id))).expect("an object");
        }
    }

    /// A chunk for the next [`Evil::flush`].
    pub(super) fn chunk(&mut self, kind: ChunkKind, plain: &[u8]) -> ChunkRef {
        let len: usize = self.waiting.last().map_or(0, |(_, chunks)| chunks.iter().map(Vec::len).sum());
        match self.waiting.last_mut() {
            Some((last, chunks)) if *last == kind && len + plain.len() <= FRAME_LEN_BYTES => {
                chunks.push(plain.to_vec());
            }
            _ => self.waiting.push((kind, vec![plain.to_vec()])),
        }
        let len_bytes = u32::try_from(plain.len()).expect("a chunk");
        ChunkRef { digest: self.dedup.digest(kind, plain), len_bytes }
    }

    /// A stream of one chunk.
    pub(super) fn content(&mut self, kind: ChunkKind, plain: &[u8]) -> Content {
        Content { depth: 0, chunks: vec![self.chunk(kind, plain)] }
    }

    /// Stores the chunks that wait in a pack, and a catalog that lists it.
    pub(super) fn flush(&mut self) {
        let frames = std::mem::take(&mut self.waiting);
        let pack = self.pack(frames, &Lies::default());
        self.catalog(vec![pack]);
    }

    /// The chunks that wait, taken out.
    pub(super) fn take_waiting(&mut self) -> Vec<(ChunkKind, Vec<Vec<u8>>)> {
        std::mem::take(&mut self.waiting)
    }

    /// Stores a pack of these frames, each a list of chunks.
    pub(super) fn pack(&self, frames: Vec<(ChunkKind, Vec<Vec<u8>>)>, lies: &Lies) -> CatalogedPack {
        let key = PackKey::generate().expect("randomness");
        let wrap = self.keys.seal_pack_key(&key, self.scope(), self.epoch).expect("randomness");
        let mut bytes = vec![0; PackHeader::ENCODED_LEN];
        let mut directory = Directory { wraps: vec![wrap], frames: Vec::new() };
        for (kind, chunks) in frames {
            let frame = self.seal_frame(&key, kind, &chunks, lies.payload.as_deref(), &mut bytes);
            directory.frames.push(frame);
        }
        if let Some(lie) = lies.directory {
            lie(&mut directory);
        }
        let plain = padded(directory.encode(), 4096);
        let trailer = PackTrailer {
            directory_offset: to_u32(bytes.len()),
            directory_len_bytes: to_u32(plain.len() + SEAL_OVERHEAD_BYTES),
        };
        let body_len_bytes = (bytes.len() + plain.len() + SEAL_OVERHEAD_BYTES + 64) as u64;
        let salt = vellum_crypto::random_array().expect("randomness");
        let scope = lies.scope.unwrap_or(self.scope());
        let header = PackHeader { parity: Parity::None, epoch: self.epoch, scope, salt, body_len_bytes };
        bytes[..PackHeader::ENCODED_LEN].copy_from_slice(&header.encode());
        self.keys.seal_directory(&header, &plain, &mut bytes);
        let trailer = lies.trailer.map_or(trailer, |lie| lie(trailer));
        self.keys.seal_trailer(&header, &trailer.encode(), &mut bytes);
        let pack = self.put(ObjectKind::Pack, &bytes);
        CatalogedPack { pack, len_bytes: bytes.len() as u64, directory }
    }

    fn seal_frame(
        &self,
        key: &PackKey,
        kind: ChunkKind,
        chunks: &[Vec<u8>],
        payload: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Frame {
        let packed = |plain: &Vec<u8>| PackedChunk {
            id: self.dedup.chunk_id(&self.dedup.digest(kind, plain)),
            len_bytes: to_u32(plain.len()),
        };
        let members: Vec<PackedChunk> = chunks.iter().map(packed).collect();
        let plain = chunks.concat();
        let compressed = zstd::bulk::compress(&plain, 1).expect("memory");
        let payload = payload.unwrap_or(&compressed);
        let (salt, offset) = (frame_salt(&members), out.len());
        let ad = frame_ad(self.scope(), kind, Compression::Zstd, to_u32(plain.len()), to_u32(members.len()));
        key.seal_frame_into(&salt, &ad, payload, out);
        Frame {
            offset: to_u32(offset),
            stored_len_bytes: to_u32(out.len() - offset),
            wrap: 0,
            kind,
            compression: Compression::Zstd,
            salt,
            chunks: members,
        }
    }

    pub(super) fn catalog(&self, packs: Vec<CatalogedPack>) -> ObjectId {
        self.catalog_of(&Catalog { packs }.encode())
    }

    /// A catalog of these bytes.
    pub(super) fn catalog_of(&self, plain: &[u8]) -> ObjectId {
        self.sealed(ObjectKind::Catalog, catalog::MAGIC, plain, EpochKeys::seal_catalog)
    }

    fn sealed(
        &self,
        kind: ObjectKind,
        magic: [u8; 8],
        plain: &[u8],
        seal: impl FnOnce(&EpochKeys, &SealedHeader, &[u8], &mut Vec<u8>),
    ) -> ObjectId {
        let salt = vellum_crypto::random_array().expect("randomness");
        let header = SealedHeader { epoch: self.epoch, scope: self.scope(), salt };
        let mut bytes = header.encode(magic).to_vec();
        let around = bytes.len() + SEAL_OVERHEAD_BYTES;
        let mut plain = plain.to_vec();
        let len = padme_len((around + plain.len()) as u64) - around as u64;
        plain.resize(usize::try_from(len).expect("it fits into memory"), 0);
        seal(&self.keys, &header, &plain, &mut bytes);
        self.put(kind, &bytes)
    }

    /// Stores a snapshot that `edit` has changed.
    pub(super) fn snapshot(&mut self, root: &Content, edit: impl FnOnce(&mut SnapshotManifest)) -> ObjectId {
        self.sequence += 1;
        let mut manifest = SnapshotManifest {
            repository: self.scope(),
            device: self.device.device(),
            sequence: self.sequence,
            previous: None,
            seen: Vec::new(),
            intent: ObjectId::of(b"an intent"),
            time: Timestamp { seconds: NOW.seconds + i64::try_from(self.sequence).expect("small"), nanoseconds: 0 },
            host: Bytes(b"evil".to_vec()),
            user: "evil".to_owned(),
            paths: vec![Bytes(b"/".to_vec())],
            tags: Vec::new(),
            root: Root::new(root, CLASS),
            summary: Summary::default(),
            program: "evil".to_owned(),
            must_understand: Vec::new(),
        };
        edit(&mut manifest);
        let signed = self.device.sign_snapshot(&manifest, &self.certificate);
        self.signed_snapshot(&signed)
    }

    pub(super) fn signed_snapshot(&self, signed: &SignedRecord) -> ObjectId {
        self.sealed(ObjectKind::Snapshot, snapshot::MAGIC, &signed.encode(), EpochKeys::seal_snapshot)
    }

    /// Stores a tombstone that `edit` may change after it was signed.
    pub(super) fn tombstone(&mut self, removed: Vec<ObjectId>, edit: impl FnOnce(&mut SignedRecord)) -> ObjectId {
        self.sequence += 1;
        let manifest = TombstoneManifest {
            repository: self.scope(),
            device: self.device.device(),
            sequence: self.sequence,
            previous: None,
            seen: Vec::new(),
            time: NOW,
            host: Bytes(b"evil".to_vec()),
            user: "evil".to_owned(),
            removed,
            reason: "evil".to_owned(),
            program: "evil".to_owned(),
            must_understand: Vec::new(),
        };
        let mut signed = self.device.sign_tombstone(&manifest, &self.certificate);
        edit(&mut signed);
        self.sealed(ObjectKind::Tombstone, tombstone::MAGIC, &signed.encode(), EpochKeys::seal_tombstone)
    }

    pub(super) fn intent(&self, number: u32) -> ObjectId {
        let intent = Intent {
            purpose: "backup".to_owned(),
            time: NOW,
            host: Bytes(number.to_le_bytes().to_vec()),
            user: "evil".to_owned(),
            process: None,
            program: "evil".to_owned(),
        };
        self.record(ObjectKind::Intent, RecordKind::Intent, &intent.encode())
    }

    pub(super) fn condemn(&self, record: &CondemnedRecord) -> ObjectId {
        self.record(ObjectKind::Condemned, RecordKind::Condemned, &record.encode())
    }

    pub(super) fn fence(&self, record: &FenceRecord) -> ObjectId {
        self.record(ObjectKind::Fence, RecordKind::Fence, &record.encode())
    }

    fn record(&self, kind: ObjectKind, record: RecordKind, plain: &[u8]) -> ObjectId {
        self.sealed(kind, record.magic(), plain, |keys, header, plain, out| {
            keys.seal_record(record, header, plain, out);
        })
    }

    /// Another config, named by keys of the next generation.
    pub(super) fn reconfigure(&mut self, bytes: &[u8]) {
        let old = ObjectName::new(ObjectKind::Config, self.config_id);
        self.delete(&old);
        let config = self.put(ObjectKind::Config, bytes);
        let mut draft = self.unlocked.draft(self.key_manifest).expect("our own keys");
        draft.set_config(config);
        let (signed, _) = draft.finish().expect("our own keys");
        self.delete(&ObjectName::new(ObjectKind::Key, self.key_manifest));
        self.put(ObjectKind::Key, &signed.encode());
    }

    pub(super) fn device(&self) -> DeviceId {
        self.device.device()
    }
}

/// An encoded pipe under a name that no reader takes, made of one of equal length. `None` for names that are too long
/// or empty, whose length is written by hand.
pub(super) fn entry_with_name(evil: &[u8]) -> Vec<u8> {
    let mut bytes = entry(b"Q", Node::Fifo);
    let at = 4 + 1;
    bytes.splice(at..at + 8 + 1, [&(evil.len() as u64).to_le_bytes()[..], evil].concat());
    let len = to_u32(bytes.len() - 4);
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes
}

fn padded(mut bytes: Vec<u8>, step: usize) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(step), 0);
    bytes
}

fn to_u32(len: usize) -> u32 {
    u32::try_from(len).expect("below the limits of the format")
}
