//! What the storage holds, and where each process stands.

pub(super) const WRITERS_MAX: usize = 3;
pub(super) const PRUNERS_MAX: usize = 3;

/// Two at the start, one of each writer, and two of each of two pruners with three writers, or of three with one.
pub(super) const PACKS_MAX: usize = 9;

/// A set of writers or pruners, a bit for each.
pub(super) type Set = u8;

/// A set of packs, a bit for the slot of each.
pub(super) type Slots = u16;

/// A pack that holds the chunk, by what everybody thinks of it. Zero is a slot that no pack has used yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Pack(u16);

/// It is in the storage.
pub(super) const STORED: u16 = 1;
/// A catalog lists it.
pub(super) const INDEXED: u16 = 1 << 1;
/// A condemnation names it. Which one makes no difference, because everybody reads all that are there.
pub(super) const CONDEMNED: u16 = 1 << 2;
/// It was put once.
const PUT: u16 = 1 << 15;

/// This writer has something in mind with it: its step says what.
pub(super) const fn marked(writer: usize) -> u16 {
    1 << (3 + writer)
}

/// This pruner takes it for condemned; before G3 it has listed it as such, or chosen it.
pub(super) const fn doomed(pruner: usize) -> u16 {
    1 << (3 + WRITERS_MAX + pruner)
}

/// This pruner marked it, and counted on it when it chose; or has put it and must index it.
pub(super) const fn kept(pruner: usize) -> u16 {
    1 << (3 + WRITERS_MAX + PRUNERS_MAX + pruner)
}

impl Pack {
    pub(super) fn has(self, flags: u16) -> bool {
        self.0 & flags == flags
    }

    pub(super) fn lacks(self, flag: u16) -> bool {
        self.0 & flag == 0
    }

    pub(super) fn set(&mut self, flags: u16) {
        self.0 |= flags;
    }

    pub(super) fn clear(&mut self, flags: u16) {
        self.0 &= !flags;
    }

    pub(super) fn set_to(&mut self, flag: u16, value: bool) {
        if value { self.set(flag) } else { self.clear(flag) }
    }

    fn swap(&mut self, a: u16, b: u16) {
        if self.has(a) != self.has(b) {
            self.0 ^= a | b;
        }
    }
}

/// Where a writer stands; its marks are on the packs that the step names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum WriterStep {
    Idle,
    Intended,
    /// Only in a mutant: it loaded the index first, and found these packs.
    Loaded,
    /// It listed condemnations, and they named these packs.
    Listed,
    /// It counts on these packs, which no catalog lists.
    Adopting,
    /// It found no copy of the chunk.
    Missing,
    /// It put this pack.
    PackPut,
    Ready,
    Published,
    Refused,
    /// Refused, and its intent is gone.
    Withdrawn,
    Acknowledged,
    Done,
}

impl WriterStep {
    pub(super) const ALL: [Self; 13] = [
        Self::Idle,
        Self::Intended,
        Self::Loaded,
        Self::Listed,
        Self::Adopting,
        Self::Missing,
        Self::PackPut,
        Self::Ready,
        Self::Published,
        Self::Refused,
        Self::Withdrawn,
        Self::Acknowledged,
        Self::Done,
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Writer {
    pub(super) step: WriterStep,
    pub(super) has_intent: bool,
    pub(super) is_fenced: bool,
    /// A closing lacks its snapshot.
    pub(super) is_void: bool,
    /// Its snapshot is in the storage.
    pub(super) is_visible: bool,
    /// Pruners that listed its snapshot at G1.
    pub(super) known: Set,
}

impl Writer {
    pub(super) const IDLE: Self = Self {
        step: WriterStep::Idle,
        has_intent: false,
        is_fenced: false,
        is_void: false,
        is_visible: false,
        known: 0,
    };

    /// Whether its snapshot is there and not void.
    pub(super) fn counts(&self) -> bool {
        self.is_visible && !self.is_void
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.is_visible && matches!(self.step, WriterStep::Acknowledged | WriterStep::Done)
    }
}

/// Where a pruner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum PrunerStep {
    Idle,
    /// G1: it listed condemnations.
    Began,
    /// G1: it listed snapshots.
    Surveyed,
    /// G1: it loaded the index, and marked a copy that the snapshots need.
    Marked,
    /// G2: it has to write a copy.
    Repacking,
    RepackPut,
    Chosen,
    /// After G3.
    Condemned,
    /// After G3b.
    Listed,
    /// After G4.
    Waiting,
    /// After G5, and G6 has listed snapshots.
    Walked,
    Rescuing,
    RescuePut,
    /// After G6.
    Closing,
    /// After G6b, and condemned packs are dropped from the index.
    Deleting,
    Done,
}

impl PrunerStep {
    pub(super) const ALL: [Self; 16] = [
        Self::Idle,
        Self::Began,
        Self::Surveyed,
        Self::Marked,
        Self::Repacking,
        Self::RepackPut,
        Self::Chosen,
        Self::Condemned,
        Self::Listed,
        Self::Waiting,
        Self::Walked,
        Self::Rescuing,
        Self::RescuePut,
        Self::Closing,
        Self::Deleting,
        Self::Done,
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Pruner {
    pub(super) step: PrunerStep,
    /// A snapshot that it listed last, at G1 or G6, needs the chunk.
    pub(super) needs: bool,
    /// Writers whose end it waits for.
    pub(super) outlasts: Set,
    /// Fenced writers whose snapshot it did not see at G6, and whose closing it has still to put.
    pub(super) unseen: Set,
}

impl Pruner {
    pub(super) const IDLE: Self = Self { step: PrunerStep::Idle, needs: false, outlasts: 0, unseen: 0 };
}

/// A promise of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// An acknowledged snapshot that nobody has forgotten finds its chunk.
    AcknowledgedIsComplete,
    /// An acknowledged snapshot is never void.
    AcknowledgedIsNotVoid,
    /// So does one that was not acknowledged, unless it is void.
    NotVoidIsComplete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct State {
    pub(super) writers: [Writer; WRITERS_MAX],
    pub(super) pruners: [Pruner; PRUNERS_MAX],
    /// Snapshots of runs that are over, by the pruners that listed them at G1: bit `n` says whether there is one that
    /// the set `n` of pruners knows. At the start there is one, and nobody knows it.
    pub(super) finished: u8,
    pub(super) packs: [Pack; PACKS_MAX],
}

impl State {
    /// Nobody has begun; some packs hold the chunk, and one snapshot needs it.
    pub(super) fn new(copies: usize) -> Self {
        let mut packs = [Pack::default(); PACKS_MAX];
        packs[..copies].fill(Pack(PUT | STORED | INDEXED));
        Self { writers: [Writer::IDLE; WRITERS_MAX], pruners: [Pruner::IDLE; PRUNERS_MAX], finished: 1, packs }
    }

    pub(super) fn breaks(&self, promise: Promise) -> bool {
        let acknowledged = || self.writers.iter().filter(|writer| writer.is_acknowledged());
        match promise {
            Promise::AcknowledgedIsComplete => {
                !self.is_readable() && (self.finished != 0 || acknowledged().next().is_some())
            }
            Promise::AcknowledgedIsNotVoid => acknowledged().any(|writer| writer.is_void),
            Promise::NotVoidIsComplete => !self.is_readable() && self.is_needed(),
        }
    }

    /// Whether a reader finds the chunk.
    pub(super) fn is_readable(&self) -> bool {
        self.any_pack(|pack| pack.has(STORED | INDEXED))
    }

    /// Whether a snapshot that is there and not void needs the chunk.
    pub(super) fn is_needed(&self) -> bool {
        self.finished != 0 || self.writers.iter().any(Writer::counts)
    }

    pub(super) fn any_pack(&self, condition: impl Fn(&Pack) -> bool) -> bool {
        self.packs.iter().any(condition)
    }

    pub(super) fn each_pack(&mut self, change: impl Fn(&mut Pack)) {
        self.packs.iter_mut().for_each(change);
    }

    pub(super) fn packs_that(&self, condition: impl Fn(&Pack) -> bool) -> Slots {
        self.packs.iter().enumerate().fold(0, |set, (slot, pack)| set | Slots::from(condition(pack)) << slot)
    }

    pub(super) fn writers_that(&self, condition: impl Fn(&Writer) -> bool) -> Set {
        self.writers.iter().enumerate().fold(0, |set, (number, writer)| set | Set::from(condition(writer)) << number)
    }

    /// Writers whose snapshots are void, whether they are there or not.
    pub(super) fn void(&self) -> Set {
        self.writers_that(|writer| writer.is_void)
    }

    pub(super) fn put_pack(&mut self, flag: u16) {
        let free = self.packs.iter_mut().find(|pack| pack.lacks(PUT)).expect("PACKS_MAX counts all that can be put");
        free.set(PUT | STORED | flag);
    }

    /// Lists the packs with this flag in a catalog, whether they are still there or not.
    pub(super) fn index_packs(&mut self, flag: u16) {
        self.packs.iter_mut().filter(|pack| pack.has(flag)).for_each(|pack| pack.set(INDEXED));
    }

    /// What `change` makes of the set of pruners that know a snapshot, for every snapshot that is there.
    pub(super) fn change_known(&mut self, change: impl Fn(Set) -> Set) {
        for writer in self.writers.iter_mut().filter(|writer| writer.is_visible) {
            writer.known = change(writer.known);
        }
        let finished = self.finished;
        let sets = (0..1 << PRUNERS_MAX).filter(|known| finished >> known & 1 == 1);
        self.finished = sets.fold(0, |all, known| all | 1 << change(known));
    }

    /// Whether this pruner listed every snapshot at G1 that is there now.
    pub(super) fn knows_all_snapshots(&self, pruner: usize) -> bool {
        let knows = |known: Set| known >> pruner & 1 == 1;
        let finished = (0..1 << PRUNERS_MAX).filter(|known| self.finished >> known & 1 == 1).all(knows);
        finished && self.writers.iter().all(|writer| !writer.is_visible || knows(writer.known))
    }

    pub(super) fn swap_writers(&mut self, a: usize, b: usize) {
        self.writers.swap(a, b);
        for pruner in &mut self.pruners {
            pruner.outlasts = swap_bits(pruner.outlasts, a, b);
            pruner.unseen = swap_bits(pruner.unseen, a, b);
        }
        self.each_pack(|pack| pack.swap(marked(a), marked(b)));
    }

    pub(super) fn swap_pruners(&mut self, a: usize, b: usize) {
        self.pruners.swap(a, b);
        self.change_known(|known| swap_bits(known, a, b));
        self.each_pack(|pack| {
            pack.swap(doomed(a), doomed(b));
            pack.swap(kept(a), kept(b));
        });
    }
}

fn swap_bits(set: Set, a: usize, b: usize) -> Set {
    let differ = (set >> a ^ set >> b) & 1;
    set ^ (differ << a | differ << b)
}
