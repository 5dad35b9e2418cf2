//! A repository's keys from its birth through changes: who gets in, who no longer does, and what is refused.

use std::error::Error;
use vellum_crypto::{
    ARGON2ID_DEFAULT, Credential, DeviceKey, DraftError, Expected, KeyFile, KeyManifestDraft, ManifestError, OwnerRing,
    RecordError, RecoveryKey, SLOT_LABEL_LEN_BYTES_MAX, SlotError, UnlockError, Unlocked, fingerprint, unlock,
    verify_manifest, verify_snapshot,
};
use vellum_format::content::Content;
use vellum_format::history::SignedRecord;
use vellum_format::key_manifest::{Argon2idParameters, KeyManifest, SignedKeyManifest};
use vellum_format::snapshot::{Root, SnapshotManifest, Summary, Timestamp};
use vellum_format::{Bytes, FixedBytes, ObjectId, RepositoryId};

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 16]);
const OTHER_REPOSITORY: RepositoryId = RepositoryId::from_bytes([2; 16]);
const NOW: Timestamp = Timestamp { seconds: 1_795_000_000, nanoseconds: 0 };
const CHEAP: Option<Argon2idParameters> = Some(Argon2idParameters { memory_kib: 64 << 10, passes: 3, lanes: 2 });

fn config() -> ObjectId {
    ObjectId::of(b"config")
}

fn expected(owner: FixedBytes<32>) -> Expected {
    Expected { repository: REPOSITORY, owner, config: config(), generation_min: 0 }
}

/// A repository with one slot for `credential`.
fn born(credential: &Credential<'_>) -> (SignedKeyManifest, Unlocked) {
    let ring = OwnerRing::generate(&["private"]).unwrap();
    let mut draft = KeyManifestDraft::first(REPOSITORY, config(), ring).unwrap();
    draft.add_slot("first", NOW, credential, CHEAP).unwrap();
    draft.finish().unwrap()
}

fn previous(signed: &SignedKeyManifest) -> ObjectId {
    ObjectId::of(&signed.encode())
}

#[test]
fn a_password_opens_and_another_does_not() {
    let (signed, born) = born(&Credential::Password(b"correct horse"));
    let expected = expected(born.ring.owner_public_key());
    let unlocked = unlock(&signed, &expected, &Credential::Password(b"correct horse")).unwrap();
    assert!(unlocked.ring.local_key("a") == born.ring.local_key("a"));
    assert_eq!(unlocked.manifest, born.manifest);
    let wrong = unlock(&signed, &expected, &Credential::Password(b"correct house")).err();
    assert!(matches!(wrong, Some(UnlockError::WrongCredential { kind: "password", slots_tried: 1 })));
    let missing = unlock(&signed, &expected, &Credential::RecoveryKey(&RecoveryKey::generate().unwrap())).err();
    assert!(matches!(missing, Some(UnlockError::NoSlot { kind: "recovery" })));
}

#[test]
fn costs_out_of_bounds_are_refused_unseen() {
    let mut draft = KeyManifestDraft::first(REPOSITORY, config(), OwnerRing::generate(&["private"]).unwrap()).unwrap();
    let default = ARGON2ID_DEFAULT;
    for parameters in [
        Argon2idParameters { memory_kib: (64 << 10) - 1, ..default },
        Argon2idParameters { memory_kib: (4 << 20) + 1, ..default },
        Argon2idParameters { memory_kib: u32::MAX, ..default },
        Argon2idParameters { passes: 2, ..default },
        Argon2idParameters { passes: 17, ..default },
        Argon2idParameters { lanes: 0, ..default },
        Argon2idParameters { lanes: 17, ..default },
    ] {
        let error = draft.add_slot("cheap", NOW, &Credential::Password(b"x"), Some(parameters)).err();
        assert!(
            matches!(error, Some(DraftError::Slot(SlotError::ParametersRefused(refused))) if refused == parameters)
        );
    }
    let label = "x".repeat(SLOT_LABEL_LEN_BYTES_MAX + 1);
    let error = draft.add_slot(&label, NOW, &Credential::Password(b"x"), CHEAP).err();
    assert!(matches!(error, Some(DraftError::Slot(SlotError::LabelTooLong { len_bytes: 257 }))));
}

#[test]
fn a_removed_slot_opens_nothing_that_comes_after() {
    let (old_key, new_key) = (KeyFile::generate().unwrap(), RecoveryKey::generate().unwrap());
    let (old, new) = (Credential::KeyFile(&old_key), Credential::RecoveryKey(&new_key));
    let (signed_1, unlocked) = born(&old);
    let owner = unlocked.ring.owner_public_key();
    let first_slot = unlocked.manifest.slots[0].clone();

    let mut draft = unlocked.draft(previous(&signed_1)).unwrap();
    let old_id = draft.slot_headers().unwrap()[0].slot;
    assert!(matches!(draft.remove_slot(old_id), Err(DraftError::LastSlot)));
    assert!(matches!(draft.remove_slot(FixedBytes([0; 8])), Err(DraftError::UnknownSlot { .. })));
    draft.replace_slot(old_id, "paper", NOW, &new, None).unwrap();
    draft.ring_mut().start_epochs().unwrap();
    let (signed_2, made) = draft.finish().unwrap();

    assert!(unlock(&signed_1, &expected(owner), &old).is_ok());
    assert!(matches!(unlock(&signed_2, &expected(owner), &old), Err(UnlockError::NoSlot { kind: "key-file" })));
    let unlocked = unlock(&signed_2, &expected(owner), &new).unwrap();
    assert_eq!((unlocked.manifest.generation, unlocked.manifest.previous), (2, Some(previous(&signed_1))));
    assert_eq!(unlocked.ring.current_epoch("private"), Some(2));
    assert!(unlocked.ring.local_key("a") == made.ring.local_key("a"));

    // Whoever stores the objects puts the old slot into the new manifest: the signature no longer holds, and were it
    // made anew, the old slot would still give only the old ring key.
    let mut spliced = unlocked.manifest.clone();
    spliced.slots.push(first_slot);
    let forged = SignedKeyManifest { manifest: Bytes(spliced.encode()), signature: signed_2.signature };
    let refused = unlock(&forged, &expected(owner), &old).err();
    assert!(matches!(refused, Some(UnlockError::Manifest(ManifestError::WrongSignature))));

    let known = Expected { generation_min: 2, ..expected(owner) };
    assert_eq!(verify_manifest(&signed_1, &known), Err(ManifestError::Stale { found: 1, known: 2 }));
}

#[test]
fn rotation_needs_no_credential_and_every_slot_still_opens() {
    let key = KeyFile::generate().unwrap();
    let recovery = RecoveryKey::generate().unwrap();
    let (signed, unlocked) = born(&Credential::Password(b"password"));
    let owner = unlocked.ring.owner_public_key();
    let mut draft = unlocked.draft(previous(&signed)).unwrap();
    draft.add_slot("file", NOW, &Credential::KeyFile(&key), None).unwrap();
    draft.add_slot("paper", NOW, &Credential::RecoveryKey(&recovery), None).unwrap();
    let (signed, unlocked) = draft.finish().unwrap();
    let mut draft = unlocked.draft(previous(&signed)).unwrap();
    draft.rotate_ring_key().unwrap();
    let (signed_3, unlocked) = draft.finish().unwrap();
    assert_eq!(unlocked.manifest.generation, 3);
    for credential in [Credential::Password(b"password"), Credential::KeyFile(&key), Credential::RecoveryKey(&recovery)]
    {
        assert!(unlock(&signed_3, &expected(owner), &credential).is_ok());
    }
}

#[test]
fn a_manifest_must_be_what_is_expected() {
    let key = KeyFile::generate().unwrap();
    let (signed, unlocked) = born(&Credential::KeyFile(&key));
    let expected = expected(unlocked.ring.owner_public_key());
    assert_eq!(verify_manifest(&signed, &expected), Ok(unlocked.manifest));
    let error = |expected: Expected| verify_manifest(&signed, &expected).err();
    let found = config();
    assert_eq!(
        error(Expected { repository: OTHER_REPOSITORY, ..expected }),
        Some(ManifestError::OtherRepository { found: REPOSITORY })
    );
    assert_eq!(
        error(Expected { config: ObjectId::of(b"other"), ..expected }),
        Some(ManifestError::OtherConfig { found })
    );
    assert_eq!(error(Expected { owner: FixedBytes([0; 32]), ..expected }), Some(ManifestError::WrongSignature));
    for at in 0..signed.manifest.len() {
        let mut changed = signed.clone();
        changed.manifest.0[at] ^= 1 << (at % 8);
        assert_eq!(verify_manifest(&changed, &expected), Err(ManifestError::WrongSignature));
    }
    for bit in 0..512 {
        let mut changed = signed.clone();
        changed.signature.0[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verify_manifest(&changed, &expected), Err(ManifestError::WrongSignature));
    }
}

#[test]
fn a_draft_without_slots_is_not_finished() {
    let draft = KeyManifestDraft::first(REPOSITORY, config(), OwnerRing::generate(&["private"]).unwrap()).unwrap();
    assert!(matches!(draft.finish().err(), Some(DraftError::LastSlot)));
}

#[test]
fn roles_of_later_versions_are_not_lost() {
    let (signed, mut unlocked) = born(&Credential::KeyFile(&KeyFile::generate().unwrap()));
    let mut reader = unlocked.manifest.rings[0].clone();
    reader.role = "reader".to_owned();
    unlocked.manifest.rings.push(reader);
    let error = unlocked.draft(previous(&signed)).err();
    assert!(matches!(error, Some(DraftError::UnknownRole { role }) if role == "reader"));
}

#[test]
fn errors_keep_their_cause() {
    let bytes = KeyManifest::decode(b"").unwrap_err();
    assert!(ManifestError::Format(bytes).source().is_some());
    let slot = UnlockError::Slot { slot_index: 1, source: SlotError::Damaged };
    assert_eq!(slot.to_string(), "slot 2 cannot be used");
    assert!(slot.source().is_some());
}

fn snapshot_manifest(device: &DeviceKey) -> SnapshotManifest {
    SnapshotManifest {
        repository: REPOSITORY,
        device: device.device(),
        sequence: 1,
        previous: None,
        seen: vec![],
        intent: ObjectId::of(b"intent"),
        time: NOW,
        host: Bytes(b"host".to_vec()),
        user: "me".into(),
        paths: vec![],
        tags: vec![],
        root: Root::new(&Content::empty(), "private"),
        summary: Summary::default(),
        program: "test".into(),
        must_understand: vec![],
    }
}

#[test]
fn a_snapshot_is_believed_only_from_a_certified_device() {
    let ring = OwnerRing::generate(&["private"]).unwrap();
    let owner = ring.owner_public_key();
    let device = DeviceKey::from_secret_bytes(&DeviceKey::generate().unwrap().to_secret_bytes());
    let certificate = ring.certify(REPOSITORY, &device);
    let manifest = snapshot_manifest(&device);
    let signed = device.sign_snapshot(&manifest, &certificate);
    assert_eq!(verify_snapshot(&signed, REPOSITORY, &owner).as_ref(), Ok(&manifest));
    let error = |signed: &SignedRecord| verify_snapshot(signed, REPOSITORY, &owner).err();

    assert_eq!(
        verify_snapshot(&signed, OTHER_REPOSITORY, &owner),
        Err(RecordError::OtherRepository { found: REPOSITORY })
    );
    let stranger = OwnerRing::generate(&["private"]).unwrap();
    assert_eq!(verify_snapshot(&signed, REPOSITORY, &stranger.owner_public_key()), Err(RecordError::WrongCertificate));
    let by_stranger = device.sign_snapshot(&manifest, &stranger.certify(REPOSITORY, &device));
    assert_eq!(error(&by_stranger), Some(RecordError::WrongCertificate));

    let second = DeviceKey::generate().unwrap();
    let borrowed = second.sign_snapshot(&snapshot_manifest(&second), &certificate);
    assert_eq!(error(&borrowed), Some(RecordError::WrongSignature { device: device.device() }));
    let elsewhere = SnapshotManifest { repository: OTHER_REPOSITORY, ..manifest.clone() };
    let elsewhere = device.sign_snapshot(&elsewhere, &certificate);
    assert_eq!(error(&elsewhere), Some(RecordError::OtherRepository { found: OTHER_REPOSITORY }));

    let carried = device.sign_snapshot(&manifest, &ring.certify(OTHER_REPOSITORY, &device));
    assert_eq!(error(&carried), Some(RecordError::OtherRepository { found: OTHER_REPOSITORY }));

    for at in 0..signed.manifest.len() {
        let mut changed = signed.clone();
        changed.manifest.0[at] ^= 1;
        assert_eq!(error(&changed), Some(RecordError::WrongSignature { device: device.device() }));
    }
    for at in 0..signed.certificate.len() {
        let mut changed = signed.clone();
        changed.certificate.0[at] ^= 1;
        assert_eq!(error(&changed), Some(RecordError::WrongCertificate));
    }
    // A signature over one kind of bytes is worth nothing for another.
    let crossed = SignedRecord { certificate_signature: signed.signature, ..signed.clone() };
    assert_eq!(error(&crossed), Some(RecordError::WrongCertificate));
}

#[test]
fn a_device_cannot_write_in_the_name_of_another() {
    let ring = OwnerRing::generate(&["private"]).unwrap();
    let (honest, thief) = (DeviceKey::generate().unwrap(), DeviceKey::generate().unwrap());
    let mut secret = thief.to_secret_bytes();
    secret[..16].copy_from_slice(honest.device().as_bytes());
    let impostor = DeviceKey::from_secret_bytes(&secret);
    let signed = impostor.sign_snapshot(&snapshot_manifest(&honest), &ring.certify(REPOSITORY, &thief));
    let refused = verify_snapshot(&signed, REPOSITORY, &ring.owner_public_key()).err();
    assert_eq!(refused, Some(RecordError::OtherDevice { claimed: honest.device(), signer: thief.device() }));
}

#[test]
fn the_fingerprint_has_five_groups_of_four() {
    let text = fingerprint(&OwnerRing::generate(&["private"]).unwrap().owner_public_key());
    let groups: Vec<&str> = text.split('-').collect();
    assert_eq!(groups.len(), 5);
    assert!(groups.iter().all(|group| group.len() == 4));
}
