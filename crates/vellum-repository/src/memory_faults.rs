//! For tests alone: flips a bit in what one stage of a backup hands to the next (I2). Without the feature
//! `memory-faults` nothing of it is compiled but calls that do nothing.

use vellum_format::RepositoryId;
use vellum_format::catalog::CatalogedPack;
use vellum_format::content::Content;
#[cfg(feature = "memory-faults")]
use vellum_format::{ChunkId, Digest};

/// What is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A chunk's digest, before its id is made of it.
    Digest,
    /// A chunk's digest in the reference that the engine gets.
    Reference,
    /// A chunk's id on its way into the open frame.
    Id,
    /// The plaintext of an open frame.
    Frame,
    /// A frame's payload, compressed or not.
    Payload,
    /// A sealed frame.
    Sealed,
    /// The frames of a pack, before its directory.
    Body,
    /// The plaintext of a pack's directory.
    Directory,
    /// A pack's body with directory and trailer, before its parity.
    Finished,
    /// A pack with its parity, before its name.
    Parity,
    /// A pack with its name.
    Named,
    /// A pack that was verified and waits to be stored.
    Waiting,
    /// The id of a chunk in the directory of a pack that is stored.
    Listed,
    /// The plaintext of a catalog.
    Catalog,
    /// A small object that is sealed.
    SmallSealed,
    /// A small object with its name.
    SmallNamed,
    /// The encoded manifest of a snapshot, before it is signed.
    Manifest,
    /// The content of the root in the draft of a snapshot.
    Root,
}

/// Every stage.
pub const STAGES: [Stage; 18] = [
    Stage::Digest,
    Stage::Reference,
    Stage::Id,
    Stage::Frame,
    Stage::Payload,
    Stage::Sealed,
    Stage::Body,
    Stage::Directory,
    Stage::Finished,
    Stage::Parity,
    Stage::Named,
    Stage::Waiting,
    Stage::Listed,
    Stage::Catalog,
    Stage::SmallSealed,
    Stage::SmallNamed,
    Stage::Manifest,
    Stage::Root,
];

#[cfg(feature = "memory-faults")]
mod armed {
    use super::{RepositoryId, Stage};
    use crate::lock;
    use std::collections::BTreeMap;
    use std::sync::{Mutex, MutexGuard};

    struct Fault {
        stage: Stage,
        /// Buffers that pass unharmed before.
        skip: usize,
        bit: u64,
        is_done: bool,
    }

    static FAULTS: Mutex<BTreeMap<[u8; 16], Fault>> = Mutex::new(BTreeMap::new());

    fn faults() -> MutexGuard<'static, BTreeMap<[u8; 16], Fault>> {
        lock(&FAULTS)
    }

    /// From now on the buffer after the first `skip` of this stage and repository gets one bit flipped, once.
    pub fn arm(repository: RepositoryId, stage: Stage, skip: usize, bit: u64) {
        faults().insert(*repository.as_bytes(), Fault { stage, skip, bit, is_done: false });
    }

    /// Ends it; whether a bit was flipped.
    pub fn disarm(repository: RepositoryId) -> bool {
        faults().remove(repository.as_bytes()).is_some_and(|fault| fault.is_done)
    }

    pub(crate) fn pass(repository: RepositoryId, stage: Stage, bytes: &mut [u8]) {
        let mut faults = faults();
        let Some(fault) = faults.get_mut(repository.as_bytes()) else { return };
        if fault.is_done || fault.stage != stage || bytes.is_empty() {
            return;
        }
        if fault.skip > 0 {
            fault.skip -= 1;
            return;
        }
        let bit = fault.bit % (bytes.len() as u64 * 8);
        bytes[usize::try_from(bit / 8).expect("a buffer's length")] ^= 1 << (bit % 8);
        fault.is_done = true;
    }
}

/// [`pass`] for a value of fixed length.
pub(crate) fn pass_array<const N: usize>(repository: RepositoryId, stage: Stage, mut bytes: [u8; N]) -> [u8; N] {
    pass(repository, stage, &mut bytes);
    bytes
}

/// [`pass`] for the first chunk that these packs are said to hold.
#[cfg(feature = "memory-faults")]
pub(crate) fn pass_packs(repository: RepositoryId, packs: &mut [CatalogedPack]) {
    let frames = packs.iter_mut().flat_map(|pack| &mut pack.directory.frames);
    if let Some(chunk) = frames.flat_map(|frame| &mut frame.chunks).next() {
        chunk.id = ChunkId::from_bytes(pass_array(repository, Stage::Listed, *chunk.id.as_bytes()));
    }
}

/// [`pass`] for the first reference of a content.
#[cfg(feature = "memory-faults")]
pub(crate) fn pass_content(repository: RepositoryId, content: &mut Content) {
    if let Some(chunk) = content.chunks.first_mut() {
        chunk.digest = Digest::from_bytes(pass_array(repository, Stage::Root, *chunk.digest.as_bytes()));
    }
}

#[cfg(feature = "memory-faults")]
pub(crate) use armed::pass;
#[cfg(feature = "memory-faults")]
pub use armed::{arm, disarm};

#[cfg(not(feature = "memory-faults"))]
mod absent {
    use super::{CatalogedPack, Content, RepositoryId, Stage};

    #[inline(always)]
    pub(crate) fn pass(_: RepositoryId, _: Stage, _: &mut [u8]) {}

    #[inline(always)]
    pub(crate) fn pass_packs(_: RepositoryId, _: &mut [CatalogedPack]) {}

    #[inline(always)]
    pub(crate) fn pass_content(_: RepositoryId, _: &mut Content) {}
}
#[cfg(not(feature = "memory-faults"))]
pub(crate) use absent::{pass, pass_content, pass_packs};
