//! A protection class with its keys, as this process holds them.

use crate::RepositoryError;
use std::collections::BTreeMap;
use vellum_chunker::{Algorithm, Chunker, Sizes};
use vellum_crypto::{DedupKeys, EpochKeys, OwnerRing};
use vellum_format::repository_config::{ChunkerConfig, ClassConfig};

/// The only class of format version 1 that is written.
pub(crate) const PRIVATE: &str = "private";

/// One class: what its data is cut, named and sealed with.
pub(crate) struct Class {
    pub(crate) config: ClassConfig,
    /// The epoch that is written in.
    pub(crate) epoch: u32,
    /// The keys of every epoch: what was written once stays readable.
    epochs: BTreeMap<u32, EpochKeys>,
    pub(crate) dedup: DedupKeys,
    pub(crate) chunker: Chunker,
}

impl Class {
    /// The class `config` with its current keys from the owner's ring.
    pub(crate) fn new(config: &ClassConfig, ring: &OwnerRing) -> Result<Self, RepositoryError> {
        let missing = || RepositoryError::KeysMissing { class: config.name.clone() };
        let epoch = ring.current_epoch(&config.name).ok_or_else(missing)?;
        let keys = |number| Some((number, ring.epoch_keys(&config.name, number)?));
        let epochs: BTreeMap<u32, EpochKeys> = ring.epochs(&config.name).into_iter().filter_map(keys).collect();
        let version = ring.current_dedup_version(&config.name).ok_or_else(missing)?;
        let dedup = ring.dedup_keys(&config.name, version).ok_or_else(missing)?;
        let chunker = chunker(&config.chunker, dedup.cut_key())?;
        Ok(Self { config: config.clone(), epoch, epochs, dedup, chunker })
    }

    /// The keys that seal what is new.
    pub(crate) fn keys(&self) -> &EpochKeys {
        &self.epochs[&self.epoch]
    }

    /// The keys of any epoch, if the ring has it.
    pub(crate) fn keys_of(&self, epoch: u32) -> Option<&EpochKeys> {
        self.epochs.get(&epoch)
    }
}

fn chunker(config: &ChunkerConfig, key: &[u8; 32]) -> Result<Chunker, RepositoryError> {
    let unusable = |reason: String| RepositoryError::UnusableChunker { algorithm: config.algorithm.clone(), reason };
    let algorithm = Algorithm::from_name(&config.algorithm)
        .ok_or_else(|| unusable("this version of Vellum does not know it".to_owned()))?;
    let sizes = Sizes::new(config.min_len_bytes, config.avg_len_bytes, config.max_len_bytes)
        .map_err(|error| unusable(error.to_string()))?;
    Ok(Chunker::new(algorithm, sizes, key))
}
