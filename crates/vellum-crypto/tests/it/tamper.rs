//! Whatever was changed, exchanged or cut is refused.

use proptest::prelude::*;
use vellum_crypto::{
    DedupKeys, EpochKeys, FRAME_AD_BYTES, OpenError, PackKey, SEAL_OVERHEAD_BYTES, Secret, WrapError, frame_ad,
    frame_salt, open, open_into, seal_into,
};
use vellum_format::content::ChunkKind;
use vellum_format::pack::{Compression, KeyWrap, PackHeader, PackedChunk};
use vellum_format::parity::Parity;
use vellum_format::{ChunkId, RepositoryId, SealedHeader};

const SCOPE: RepositoryId = RepositoryId::from_bytes([7; 16]);

fn key(byte: u8) -> Secret<32> {
    Secret::copy_of(&[byte; 32])
}

fn sealed() -> Vec<u8> {
    let mut out = Vec::new();
    seal_into(&key(1), "frame", b"salt", b"ad", b"a message of some bytes", &mut out);
    out
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let sealed = sealed();
    let refused = |sealed: &[u8]| assert_eq!(open(&key(1), "frame", b"salt", b"ad", sealed), Err(OpenError));
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        refused(&changed);
    }
    (0..sealed.len()).for_each(|len| refused(&sealed[..len]));
    refused(&[&sealed[..], &[0]].concat());
    refused(&sealed[1..]);
}

#[test]
fn everything_that_is_bound_must_match() {
    let sealed = sealed();
    let opened = |key: &Secret<32>, label: &str, salt: &[u8], ad: &[u8]| open(key, label, salt, ad, &sealed);
    assert_eq!(opened(&key(1), "frame", b"salt", b"ad").unwrap(), b"a message of some bytes");
    assert!(opened(&key(2), "frame", b"salt", b"ad").is_err());
    assert!(opened(&key(1), "fram", b"esalt", b"ad").is_err());
    assert!(opened(&key(1), "frame", b"salta", b"d").is_err());
    assert!(opened(&key(1), "ring", b"salt", b"ad").is_err());
    assert!(opened(&key(1), "frame", b"salt", b"").is_err());
}

#[test]
fn a_failed_open_empties_the_buffer() {
    let mut changed = sealed();
    *changed.last_mut().unwrap() ^= 1;
    let mut out = b"what was there before".to_vec();
    assert_eq!(open_into(&key(1), "frame", b"salt", b"ad", &changed, &mut out), Err(OpenError));
    assert!(out.is_empty());
    assert_eq!(open_into(&key(1), "frame", b"salt", b"ad", &sealed(), &mut out), Ok(()));
    assert_eq!(out, b"a message of some bytes");
}

#[test]
fn one_kind_of_object_does_not_pass_for_another() {
    let keys = EpochKeys::derive(&key(3));
    let pack = PackHeader { parity: Parity::None, epoch: 1, scope: SCOPE, salt: [5; 32], body_len_bytes: 1000 };
    let header = SealedHeader { epoch: 1, scope: SCOPE, salt: [5; 32] };
    let seal = |into: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        into(&mut out);
        out
    };
    let sealed = [
        seal(&|out| keys.seal_directory(&pack, b"content", out)),
        seal(&|out| keys.seal_trailer(&pack, b"content", out)),
        seal(&|out| keys.seal_catalog(&header, b"content", out)),
        seal(&|out| keys.seal_snapshot(&header, b"content", out)),
        seal(&|out| keys.seal_tombstone(&header, b"content", out)),
    ];
    for (index, sealed) in sealed.iter().enumerate() {
        let opened = [
            keys.open_directory(&pack, sealed),
            keys.open_trailer(&pack, sealed),
            keys.open_catalog(&header, sealed),
            keys.open_snapshot(&header, sealed),
            keys.open_tombstone(&header, sealed),
        ];
        for (kind, opened) in opened.into_iter().enumerate() {
            assert_eq!(opened.is_ok(), kind == index, "{kind} {index}");
        }
    }
    let other = PackHeader { body_len_bytes: 1001, ..pack };
    assert!(keys.open_directory(&other, &sealed[0]).is_err());
    let other = SealedHeader { epoch: 2, ..header };
    assert!(keys.open_snapshot(&other, &sealed[3]).is_err());
    assert!(EpochKeys::derive(&key(4)).open_trailer(&pack, &sealed[1]).is_err());
}

#[test]
fn a_pack_key_unwraps_only_where_it_was_wrapped() {
    let keys = EpochKeys::derive(&key(3));
    let pack_key = PackKey::generate().unwrap();
    let wrap = keys.seal_pack_key(&pack_key, SCOPE, 1).unwrap();
    assert_eq!((wrap.kind, wrap.bytes.len()), (KeyWrap::SYMMETRIC, 112));
    assert_ne!(wrap, keys.seal_pack_key(&pack_key, SCOPE, 1).unwrap());

    let ad = frame_ad(SCOPE, ChunkKind::Data, Compression::None, 5, 1);
    let mut frame = Vec::new();
    pack_key.seal_frame_into(&[9; 16], &ad, b"frame", &mut frame);
    let unwrapped = keys.open_pack_key(&wrap, SCOPE).unwrap();
    assert_eq!(unwrapped.open_frame(&[9; 16], &ad, &frame).unwrap(), b"frame");

    let error = |wrap: &KeyWrap, scope, epoch| keys.open_pack_key(&KeyWrap { epoch, ..wrap.clone() }, scope).err();
    let closed = Some(WrapError::DoesNotOpen(OpenError));
    assert_eq!(error(&wrap, RepositoryId::from_bytes([8; 16]), 1), closed);
    assert_eq!(error(&wrap, SCOPE, 2), closed);
    assert_eq!(error(&KeyWrap { kind: 2, ..wrap.clone() }, SCOPE, 1), Some(WrapError::Unsupported { kind: 2 }));
    for at in 0..wrap.bytes.len() {
        let mut changed = wrap.clone();
        changed.bytes[at] ^= 1;
        assert_eq!(error(&changed, SCOPE, 1), closed);
        changed.bytes.truncate(at);
        assert_eq!(error(&changed, SCOPE, 1), closed);
    }
}

#[test]
fn a_frame_is_bound_to_its_chunks_and_its_facts() {
    let chunk = |byte, len_bytes| PackedChunk { id: ChunkId::from_bytes([byte; 32]), len_bytes };
    let salts = [
        frame_salt(&[]),
        frame_salt(&[chunk(1, 5)]),
        frame_salt(&[chunk(1, 6)]),
        frame_salt(&[chunk(2, 5)]),
        frame_salt(&[chunk(1, 5), chunk(2, 5)]),
        frame_salt(&[chunk(2, 5), chunk(1, 5)]),
    ];
    let ads = [
        frame_ad(SCOPE, ChunkKind::Data, Compression::None, 5, 1),
        frame_ad(RepositoryId::from_bytes([8; 16]), ChunkKind::Data, Compression::None, 5, 1),
        frame_ad(SCOPE, ChunkKind::Tree, Compression::None, 5, 1),
        frame_ad(SCOPE, ChunkKind::Data, Compression::Zstd, 5, 1),
        frame_ad(SCOPE, ChunkKind::Data, Compression::None, 6, 1),
        frame_ad(SCOPE, ChunkKind::Data, Compression::None, 5, 2),
    ];
    let pack_key = PackKey::generate().unwrap();
    let mut frame = Vec::new();
    pack_key.seal_frame_into(&salts[1], &ads[0], b"frame", &mut frame);
    assert_eq!(frame.len(), 5 + SEAL_OVERHEAD_BYTES);
    for (at, salt) in salts.iter().enumerate() {
        for (other, ad) in ads.iter().enumerate() {
            assert_eq!(pack_key.open_frame(salt, ad, &frame).is_ok(), (at, other) == (1, 0));
        }
    }
    assert!(PackKey::generate().unwrap().open_frame(&salts[1], &ads[0], &frame).is_err());
}

#[test]
fn filler_is_a_function_of_the_key_and_looks_random() {
    let (one, other) = (PackKey::generate().unwrap(), PackKey::generate().unwrap());
    let filler = |key: &PackKey, len| {
        let mut out = b"before".to_vec();
        key.append_filler(len, &mut out);
        assert_eq!((&out[..6], out.len()), (&b"before"[..], 6 + len));
        out.split_off(6)
    };
    assert_eq!(filler(&one, 100), filler(&one, 1000)[..100]);
    assert_ne!(filler(&one, 100), filler(&other, 100));
    let ones: u32 = filler(&one, 100_000).iter().map(|byte| byte.count_ones()).sum();
    assert!((396_000..404_000).contains(&ones));
}

#[test]
fn digests_differ_by_kind_and_key() {
    let (one, other) = (DedupKeys::derive(&key(1)), DedupKeys::derive(&key(2)));
    let kinds = [ChunkKind::Data, ChunkKind::Tree, ChunkKind::List];
    let digests: std::collections::HashSet<_> =
        [&one, &other].into_iter().flat_map(|keys| kinds.map(|kind| keys.digest(kind, b"content"))).collect();
    assert_eq!(digests.len(), 6);
    let digest = one.digest(ChunkKind::Data, b"content");
    assert_ne!(one.chunk_id(&digest).as_bytes(), other.chunk_id(&digest).as_bytes());
    assert_ne!(one.chunk_id(&digest).as_bytes(), digest.as_bytes());
    assert_ne!(one.cut_key(), other.cut_key());
}

proptest! {
    #[test]
    fn sealing_round_trips(
        label in "[a-z-]{0,20}", salt in prop::collection::vec(any::<u8>(), 0..40),
        ad in prop::collection::vec(any::<u8>(), 0..200), plain in prop::collection::vec(any::<u8>(), 0..5000),
        at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let mut out = b"before".to_vec();
        seal_into(&key(1), &label, &salt, &ad, &plain, &mut out);
        let mut sealed = out.split_off(6);
        prop_assert_eq!(out, b"before");
        prop_assert_eq!(sealed.len(), plain.len() + SEAL_OVERHEAD_BYTES);
        prop_assert_eq!(&open(&key(1), &label, &salt, &ad, &sealed), &Ok(plain));
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert_eq!(open(&key(1), &label, &salt, &ad, &sealed), Err(OpenError));
    }

    #[test]
    fn hostile_bytes_do_not_open(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&key(1), "frame", b"", b"", &bytes).is_err());
        let wrap = KeyWrap { epoch: 1, kind: KeyWrap::SYMMETRIC, bytes: bytes.clone() };
        prop_assert!(EpochKeys::derive(&key(1)).open_pack_key(&wrap, SCOPE).is_err());
        prop_assert!(PackKey::generate().unwrap().open_frame(&[0; 16], &[0; FRAME_AD_BYTES], &bytes).is_err());
    }
}
