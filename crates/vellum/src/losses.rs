//! What of a repository cannot be read, as far as somebody has looked, and what that costs.

use crate::content::DistinctChunks;
use crate::{Context, Error, lock};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use vellum_format::content::{ChunkKind, ChunkRef, Content};
use vellum_format::{ObjectId, ObjectName};
use vellum_repository::{Damage, FrameCache, FrameId, FrameReader, Place, Repository, RepositoryError, run_on};

/// Damaged packs, and the frames that are lost with them.
pub(crate) struct Losses<'a> {
    repository: &'a Repository,
    /// Packs that are there and damaged, each with whether it can be healed.
    damaged_packs: BTreeMap<ObjectId, bool>,
    /// Frames of packs that cannot be healed, those that do not open.
    frames: HashSet<FrameId>,
    /// [`Repository::mend_count`] when they were found: an index that was mended since has other places.
    seen: u64,
    /// What the frame asked for last holds; neighbours ask for the same.
    last_kind: Option<(FrameId, ChunkKind)>,
    /// Contents with lists in which nothing is lost, by their hashes, with their lengths.
    whole: HashMap<[u8; 16], u64>,
}

impl<'a> Losses<'a> {
    /// Nothing is known to be lost.
    pub(crate) fn new(repository: &'a Repository) -> Self {
        Self {
            repository,
            damaged_packs: BTreeMap::new(),
            frames: HashSet::new(),
            seen: repository.mend_count(),
            last_kind: None,
            whole: HashMap::new(),
        }
    }

    /// Notes a damaged pack, and gives what is to be told: the damage, and whether parity can heal it.
    pub(crate) fn add_pack(&mut self, damage: Damage) -> Result<Damage, RepositoryError> {
        let Damage { object, reason } = damage;
        let reason = match self.repository.healed_pack(object.id) {
            Ok(_) if self.repository.was_healed(&object.id) => {
                self.damaged_packs.insert(object.id, true);
                format!("{reason}; its parity can heal it")
            }
            Ok(_) => {
                self.damaged_packs.insert(object.id, false);
                format!("{reason}; its bytes fit its name, so there is nothing for parity to heal")
            }
            // It is missing: then it is not only damaged.
            Err(RepositoryError::Damaged { reason: same, .. }) if same == reason => reason,
            Err(RepositoryError::Damaged { reason: why, .. }) => {
                self.damaged_packs.insert(object.id, false);
                format!("{reason}; {why}")
            }
            Err(error) => return Err(error),
        };
        Ok(Damage { object, reason })
    }

    /// Forgets the packs for which `is_there` does not hold.
    pub(crate) fn retain_packs(&mut self, is_there: impl Fn(&ObjectId) -> bool) {
        self.damaged_packs.retain(|pack, _| is_there(pack));
    }

    pub(crate) fn knows_pack(&self, pack: &ObjectId) -> bool {
        self.damaged_packs.contains_key(pack)
    }

    /// Whether a pack is damaged and can be healed.
    pub(crate) fn heals(&self, pack: &ObjectId) -> bool {
        self.damaged_packs.get(pack) == Some(&true)
    }

    /// Whether a damaged pack cannot be healed, so that something may be lost.
    pub(crate) fn has_hopeless_packs(&self) -> bool {
        self.damaged_packs.values().any(|heals| !heals)
    }

    /// Damaged packs that can be healed.
    pub(crate) fn healable_count(&self) -> u64 {
        self.damaged_packs.values().filter(|heals| **heals).count() as u64
    }

    /// Finds the frames that are lost with the packs that were added, and lets the next backup store them again (I20).
    pub(crate) fn look_into_packs(&mut self) -> Result<(), RepositoryError> {
        let hopeless: BTreeSet<ObjectId> =
            self.damaged_packs.iter().filter(|(_, heals)| !**heals).map(|(pack, _)| *pack).collect();
        self.seen = self.repository.mend_count();
        self.frames = self.repository.lost_frames(&hopeless)?.into_iter().collect();
        (self.last_kind, self.whole) = (None, HashMap::new());
        self.repository.mark_damaged(self.frames.iter().copied());
        Ok(())
    }

    /// Every chunk of a file is listed by a catalog, in a pack that is there, in a frame that opens, and they add up
    /// to its length. `places` hears where each lies.
    pub(crate) fn check_file(
        &mut self,
        cache: &FrameCache,
        content: &Content,
        len_bytes: u64,
        mut places: impl FnMut(&[Place]),
    ) -> Result<(), RepositoryError> {
        let repository = self.repository;
        let hash = (content.depth > 0).then(|| folder_hash(content));
        let sum = match hash.and_then(|hash| self.whole.get(&hash)) {
            Some(sum) => *sum,
            None => DistinctChunks::visit(repository, cache, content, &mut |kind, chunk| {
                if kind == ChunkKind::List {
                    return Ok(());
                }
                // Whoever read the folders may have met a damaged segment of the index, too.
                if repository.mend_count() != self.seen {
                    self.look_into_packs()?;
                }
                let checked = self.check_chunk(chunk);
                let found = match checked {
                    // A segment of the index that turned out damaged looks like a missing chunk until it is read again.
                    Err(_) if repository.reload_if_damaged(self.seen)? => {
                        self.look_into_packs()?;
                        self.check_chunk(chunk)?
                    }
                    checked => checked?,
                };
                places(&found);
                Ok(())
            })?,
        };
        self.whole.extend(hash.map(|hash| (hash, sum)));
        expect_len(sum, len_bytes)
    }

    fn check_chunk(&mut self, chunk: &ChunkRef) -> Result<Vec<Place>, RepositoryError> {
        let id = self.repository.chunk_id(chunk);
        let mut places = self.repository.places(chunk);
        if places.is_empty() {
            // A pack that has lost its length may be healed, or hold this undamaged nevertheless.
            places = self.repository.places_anywhere(chunk);
            places.retain(|place| self.repository.pack_of(place.frame).is_some_and(|pack| self.knows_pack(&pack.id)));
        }
        let first = *places.first().ok_or(RepositoryError::ChunkMissing { id })?;
        if first.len_bytes != chunk.len_bytes || self.kind_of(first.frame) != Some(ChunkKind::Data) {
            return Err(RepositoryError::ChunkDamaged { id });
        }
        if !places.iter().all(|place| self.frames.contains(&place.frame)) {
            return Ok(places);
        }
        let damaged =
            |object: ObjectName| RepositoryError::Damaged { object, reason: "it holds this, damaged".to_owned() };
        Err(self.repository.pack_of(first.frame).map_or(RepositoryError::ChunkDamaged { id }, damaged))
    }

    fn kind_of(&mut self, frame: FrameId) -> Option<ChunkKind> {
        if let Some((last, kind)) = self.last_kind
            && last == frame
        {
            return Some(kind);
        }
        let kind = self.repository.kind_of(frame)?;
        self.last_kind = Some((frame, kind));
        Some(kind)
    }
}

/// What the chunks of a file add up to is its length.
pub(crate) fn expect_len(sum: u64, len_bytes: u64) -> Result<(), RepositoryError> {
    let reason = || "a file's chunks do not add up to its length".to_owned();
    if sum == len_bytes { Ok(()) } else { Err(RepositoryError::TreeDamaged { reason: reason() }) }
}

/// What each pack turned out to be.
pub(crate) type Verdicts<T> = Vec<(ObjectId, Result<T, RepositoryError>)>;

/// Looks at packs on all cores, this thread's among them, one at a time a worker, and tells what was seen by their
/// names.
pub(crate) fn look_at_packs<T: Send>(
    packs: &[(ObjectId, u64)],
    context: &Context,
    look: impl Fn(&mut FrameReader, ObjectId) -> Result<T, RepositoryError> + Sync,
) -> Result<Verdicts<T>, Error> {
    // The longest first, so that all are busy to the end.
    let mut packs = packs.to_vec();
    packs.sort_by_key(|(_, len)| std::cmp::Reverse(*len));
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::with_capacity(packs.len()));
    run_on(context.worker_count().min(packs.len()), || {
        let mut reader = FrameReader::new();
        while let Some((id, len)) = packs.get(next.fetch_add(1, Ordering::Relaxed))
            && !context.cancel.is_cancelled()
        {
            let verdict = look(&mut reader, *id);
            context.progress.add_done(1, *len);
            lock(&verdicts).push((*id, verdict));
        }
    });
    context.check_cancelled()?;
    let mut verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    verdicts.sort_by_key(|(id, _)| *id);
    Ok(verdicts)
}

/// What tells folders with equal content apart from others.
pub(crate) fn folder_hash(content: &Content) -> [u8; 16] {
    let mut bytes = vec![ChunkKind::Tree.code()];
    content.encode_into(&mut bytes);
    *blake3::hash(&bytes).as_bytes().first_chunk().expect("a hash is longer than 16 bytes")
}
