//! Where a process keeps what it may lose at any time, and how that is sealed.

use crate::RepositoryError;
use crate::open::Repository;
use crate::pack_writer::random;
use crate::zstd_context::{Compressor, Decompressor};
use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use vellum_format::RepositoryId;

const SALT_LEN: usize = 32;

/// Local state is compressed quickly: it is read on every run.
const COMPRESSION_LEVEL: i32 = 1;

/// Plaintext bytes of one piece of local state.
const PLAIN_LEN_BYTES_MAX: usize = 1 << 30;

thread_local! {
    // Each folder of a backup opens and seals a piece, and a context that is made asks the processor what it can do:
    // several microseconds in a virtual machine.
    static COMPRESSOR: RefCell<Option<Compressor>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// The local state of all repositories of one user.
#[derive(Debug, Clone)]
pub enum LocalState {
    /// Below this folder, one subfolder a repository.
    At(PathBuf),
    /// Nothing is read or kept.
    None,
}

impl LocalState {
    /// The folder of one repository, not necessarily there yet.
    #[must_use]
    pub fn folder(&self, repository: RepositoryId) -> Option<PathBuf> {
        match self {
            Self::At(root) => Some(root.join(repository.to_string())),
            Self::None => None,
        }
    }
}

impl Repository {
    /// Compresses and seals bytes that stay on this machine; `label` separates uses.
    ///
    /// # Errors
    /// [`RepositoryError::Randomness`], [`RepositoryError::Compression`].
    pub fn seal_local(&self, label: &'static str, plain: &[u8]) -> Result<Vec<u8>, RepositoryError> {
        let mut compressed = vec![0; zstd::zstd_safe::compress_bound(plain.len())];
        let len = compress(plain, &mut compressed).map_err(RepositoryError::Compression)?;
        compressed.truncate(len);
        let salt: [u8; SALT_LEN] = random()?;
        let mut out = salt.to_vec();
        vellum_crypto::seal_into(&self.local_key(label), "local", &salt, b"", &compressed, &mut out);
        Ok(out)
    }

    /// Opens what [`Repository::seal_local`] sealed under this label; `None` for anything else.
    #[must_use]
    pub fn open_local(&self, label: &'static str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (salt, sealed) = sealed.split_at_checked(SALT_LEN)?;
        let compressed = vellum_crypto::open(&self.local_key(label), "local", salt, b"", sealed).ok()?;
        let len = zstd::bulk::Decompressor::upper_bound(&compressed).filter(|len| *len <= PLAIN_LEN_BYTES_MAX)?;
        let mut plain = vec![0; len];
        let len = DECOMPRESSOR.with_borrow_mut(|context| context.decompress(&compressed, &mut plain)).ok()?;
        plain.truncate(len);
        Some(plain)
    }

    /// A key for hashing what stays on this machine; `label` separates uses.
    #[must_use]
    pub fn local_hash_key(&self, label: &'static str) -> [u8; 32] {
        *self.local_key(label).expose()
    }

    fn local_key(&self, label: &str) -> vellum_crypto::Secret<32> {
        self.unlocked().ring.local_key(label)
    }
}

fn compress(plain: &[u8], out: &mut [u8]) -> io::Result<usize> {
    COMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(context) => context.compress(plain, out),
        None => kept.insert(Compressor::new(COMPRESSION_LEVEL)?).compress(plain, out),
    })
}
