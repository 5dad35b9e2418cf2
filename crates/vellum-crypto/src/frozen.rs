//! The frozen vectors of `tests-data/frozen.txt`: what repositories already hold depends on every one of them. A
//! difference is a new suite, never an edit of that file.

use crate::derive::{self, derive_key, label};
use crate::pack_key::{PackKey, frame_ad, frame_salt};
use crate::signature::KeyPair;
use crate::{
    Credential, DedupKeys, DeviceKey, EpochKeys, KeyFile, OwnerRing, RecordKind, RecoveryKey, RingKey, Secret,
    fingerprint, ring, seal_into, slot,
};
use std::fmt::Write;
use vellum_format::content::ChunkKind;
use vellum_format::key_manifest::{Argon2idParameters, SlotHeader};
use vellum_format::pack::{Compression, KeyWrap, PackHeader, PackedChunk};
use vellum_format::parity::Parity;
use vellum_format::snapshot::Timestamp;
use vellum_format::{Bytes, ChunkId, FixedBytes, RepositoryId, SealedHeader};

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([0xA5; 16]);

/// 32 bytes: `first`, `first + 1`, …
fn secret(first: u8) -> Secret<32> {
    Secret::copy_of(&std::array::from_fn(|index| first + u8::try_from(index).unwrap()))
}

fn bytes(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

fn into_vec(into: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    into(&mut out);
    out
}

#[test]
fn nothing_frozen_has_changed() {
    let mut text = String::from("# Frozen; src/frozen.rs computes it. Names, then hex unless it is text.\n");
    let groups = [seals(), names(), packs(), objects(), credentials(), slots(), rings(), signatures()];
    for (name, value) in groups.into_iter().flatten() {
        writeln!(text, "{name} {value}").unwrap();
    }
    assert!(text == include_str!("../tests-data/frozen.txt"), "computed:\n{text}");
}

type Lines = Vec<(&'static str, String)>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_string()
}

fn seals() -> Lines {
    let seal = |label, salt: &[u8], ad: &[u8], plain: &[u8]| {
        into_vec(|out| seal_into(&secret(0), label, salt, ad, plain, out))
    };
    vec![
        ("seal-empty", hex(&seal("", b"", b"", b""))),
        ("seal-short", hex(&seal("frame", &bytes(16), &bytes(29), b"hello"))),
        ("seal-100", hex(&seal("snapshot", &bytes(32), &bytes(64), &bytes(100)))),
        ("seal-100000-hashed", hash(&seal("frame", &bytes(16), &bytes(29), &bytes(100_000)))),
    ]
}

fn names() -> Lines {
    let keys = DedupKeys::derive(&secret(1));
    let digest = keys.digest(ChunkKind::Data, &bytes(5000));
    vec![
        ("digest-data-5000", hex(digest.as_bytes())),
        ("digest-tree-5000", hex(keys.digest(ChunkKind::Tree, &bytes(5000)).as_bytes())),
        ("digest-list-5000", hex(keys.digest(ChunkKind::List, &bytes(5000)).as_bytes())),
        ("chunk-id", keys.chunk_id(&digest).to_string()),
        ("cut-key", hex(keys.cut_key())),
    ]
}

fn packs() -> Lines {
    let pack_key = PackKey::from_secret(secret(2));
    let chunk = |byte, len_bytes| PackedChunk { id: ChunkId::from_bytes([byte; 32]), len_bytes };
    let salt = frame_salt(&[chunk(1, 1000), chunk(2, 70_000)]);
    let ad = frame_ad(REPOSITORY, ChunkKind::Tree, Compression::Zstd, 71_000, 2);
    let wrap_ad = derive::enc(&[&[1, 0], &[1], REPOSITORY.as_bytes(), &[9, 0, 0, 0]]);
    let wrap_key = derive_key(derive::PACK_WRAP, &[secret(3).expose()]);
    let mut wrap = bytes(32);
    seal_into(&wrap_key, label::PACK_WRAP, &bytes(32), &wrap_ad, pack_key.secret().expose(), &mut wrap);
    let kind_1 = KeyWrap { epoch: 9, kind: 1, bytes: wrap.clone() };
    let unwrapped = EpochKeys::derive(&secret(3)).open_pack_key(&kind_1, REPOSITORY).unwrap();
    assert!(unwrapped.secret() == pack_key.secret());
    vec![
        ("pack-wrap", hex(&wrap)),
        ("frame-salt", hex(&salt)),
        ("frame-ad", hex(&ad)),
        ("frame", hex(&into_vec(|out| pack_key.seal_frame_into(&salt, &ad, b"compressed", out)))),
        ("filler", hex(&into_vec(|out| pack_key.append_filler(40, out)))),
    ]
}

fn objects() -> Lines {
    let keys = EpochKeys::derive(&secret(3));
    let pack = PackHeader { parity: Parity::None, epoch: 9, scope: REPOSITORY, salt: [6; 32], body_len_bytes: 12_345 };
    let header = SealedHeader { epoch: 9, scope: REPOSITORY, salt: [7; 32] };
    vec![
        ("pack-directory", hex(&into_vec(|out| keys.seal_directory(&pack, b"directory", out)))),
        ("pack-trailer", hex(&into_vec(|out| keys.seal_trailer(&pack, b"trailer", out)))),
        ("catalog", hex(&into_vec(|out| keys.seal_catalog(&header, b"catalog", out)))),
        ("snapshot", hex(&into_vec(|out| keys.seal_snapshot(&header, b"snapshot", out)))),
        ("intent", hex(&into_vec(|out| keys.seal_record(RecordKind::Intent, &header, b"intent", out)))),
        ("condemned", hex(&into_vec(|out| keys.seal_record(RecordKind::Condemned, &header, b"condemned", out)))),
        ("fence", hex(&into_vec(|out| keys.seal_record(RecordKind::Fence, &header, b"fence", out)))),
        ("verification", hex(&into_vec(|out| keys.seal_record(RecordKind::Verification, &header, b"verified", out)))),
        ("tombstone", hex(&into_vec(|out| keys.seal_tombstone(&header, b"tombstone", out)))),
    ]
}

fn header(kind: &str, public_key: Vec<u8>) -> SlotHeader {
    let cost = Argon2idParameters { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    SlotHeader {
        repository: REPOSITORY,
        slot: FixedBytes([8; 8]),
        kind: kind.to_owned(),
        role: ring::OWNER.to_owned(),
        label: "frozen".to_owned(),
        created: Timestamp { seconds: 1, nanoseconds: 2 },
        argon2id: (kind == "password").then_some(cost),
        salt: FixedBytes(*secret(4).expose()),
        public_key: Bytes(public_key),
        owner_proof: FixedBytes([11; 32]),
    }
}

fn credentials() -> Lines {
    let key_file = KeyFile::parse(format!("vellum-key-1 {}", hex(secret(5).expose())).as_bytes()).unwrap();
    let recovery = RecoveryKey::of_random(&Secret::copy_of(&[0xC3; 16]));
    let seed = |credential: Credential<'_>| {
        hex(slot::seed(&header(credential.slot_kind(), vec![]), &credential).unwrap().expose())
    };
    vec![
        ("slot-owner-proof", hex(&slot::owner_proof(&secret(6), REPOSITORY, &FixedBytes([12; 32])))),
        ("seed-password", seed(Credential::Password("pässword".as_bytes()))),
        ("seed-key-file", seed(Credential::KeyFile(&key_file))),
        ("seed-recovery", seed(Credential::RecoveryKey(&recovery))),
        ("recovery-key", recovery.format().to_string()),
    ]
}

fn slots() -> Lines {
    let public_key = slot::public_key_of(&secret(6));
    let header = header("key-file", public_key.clone()).encode();
    let sealed = slot::seal_with(&header, &secret(6), &RingKey(secret(7)), &bytes(64).try_into().unwrap()).unwrap();
    vec![
        ("slot-public-key-hashed", hash(&public_key)),
        ("slot-header", hex(&header)),
        ("slot-encapsulated", hex(&sealed.encapsulated)),
        ("slot-sealed-ring-key", hex(&sealed.sealed_ring_key)),
    ]
}

fn rings() -> Lines {
    let ring = OwnerRing::fixed([secret(8), secret(9), secret(10), secret(11)]);
    let ad = derive::enc(&[REPOSITORY.as_bytes(), b"owner", &[3, 0, 0, 0, 0, 0, 0, 0]]);
    let sealed = into_vec(|out| seal_into(&secret(7), label::RING, &bytes(32), &ad, &ring.encode(), out));
    let stored = vellum_format::key_manifest::SealedRing {
        role: ring::OWNER.to_owned(),
        salt: FixedBytes(bytes(32).try_into().unwrap()),
        sealed: Bytes(sealed.clone()),
    };
    assert!(OwnerRing::open(&stored, &RingKey(secret(7)), REPOSITORY, 3).is_ok());
    let device = DeviceKey::named(&ring, b"machine");
    vec![
        ("ring", hex(&ring.encode())),
        ("ring-sealed", hex(&sealed)),
        ("named-device", hex(&*device.to_secret_bytes())),
    ]
}

fn signatures() -> Lines {
    let pair = KeyPair::from_seed(secret(8));
    vec![
        ("owner-public-key", hex(&pair.public_key().0)),
        ("owner-fingerprint", fingerprint(&pair.public_key())),
        ("key-manifest-signature", hex(&pair.sign(derive::KEY_MANIFEST_SIGNATURE, b"message").0)),
        ("device-certificate-signature", hex(&pair.sign(derive::DEVICE_CERTIFICATE_SIGNATURE, b"message").0)),
        ("snapshot-signature", hex(&pair.sign(derive::SNAPSHOT_SIGNATURE, b"message").0)),
        ("tombstone-signature", hex(&pair.sign(derive::TOMBSTONE_SIGNATURE, b"message").0)),
    ]
}
