//! What the storage holds of one pack, its catalogs and its condemnations, and where each process stands.

/// Writers first, then pruners.
pub(super) const PROCESSES_MAX: usize = 4;
pub(super) const CATALOGS_MAX: usize = 3;
pub(super) const CONDEMNATIONS_MAX: usize = 3;

/// A set of processes, a bit for each.
pub(super) type Set = u8;

pub(super) const fn bit(process: usize) -> Set {
    1 << process
}

/// A catalog that lists the pack: one that does not makes no difference. Without copies, its place is free unless
/// somebody has its number in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Catalog {
    pub(super) first: bool,
    pub(super) copy: bool,
    /// Pruners whose listing was begun when the first copy was there, and has not come to it yet.
    pub(super) first_ahead: Set,
    pub(super) copy_ahead: Set,
    /// Pruners that have it in their index, and delete it.
    pub(super) dropped: Set,
}

impl Catalog {
    pub(super) fn is_there(self) -> bool {
        self.first || self.copy
    }
}

/// A condemnation of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Condemnation {
    pub(super) stands: bool,
    /// Pruners that remove it when they may.
    pub(super) known: Set,
}

/// What a process is about to do with catalogs, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Hand {
    Empty,
    /// It has read this one, and puts back its second copy.
    Restores(u8),
    /// Then its first.
    RestoresFirst(u8),
    /// It has read the directory of the pack, and puts a catalog.
    Adopts,
    /// A new one of which the second copy is put.
    Puts(u8),
    /// It has read the first of these two, and puts the other in its place.
    Rewrites(u8),
    RewritesFirst(u8, u8),
    /// Both copies of the new one are put.
    Replaces(u8),
    /// The first copy is deleted.
    Deletes(u8),
}

impl Hand {
    /// The same with catalogs renumbered.
    fn renumbered(self, number: impl Fn(u8) -> u8) -> Self {
        match self {
            Self::Empty | Self::Adopts => self,
            Self::Restores(one) => Self::Restores(number(one)),
            Self::RestoresFirst(one) => Self::RestoresFirst(number(one)),
            Self::Puts(one) => Self::Puts(number(one)),
            Self::Rewrites(one) => Self::Rewrites(number(one)),
            Self::RewritesFirst(old, new) => Self::RewritesFirst(number(old), number(new)),
            Self::Replaces(one) => Self::Replaces(number(one)),
            Self::Deletes(one) => Self::Deletes(number(one)),
        }
    }

    fn has(self, number: usize) -> bool {
        let is_same = |one: u8| usize::from(one) == number;
        match self {
            Self::Empty | Self::Adopts => false,
            Self::Restores(one)
            | Self::RestoresFirst(one)
            | Self::Puts(one)
            | Self::Rewrites(one)
            | Self::Replaces(one)
            | Self::Deletes(one) => is_same(one),
            Self::RewritesFirst(old, new) => is_same(old) || is_same(new),
        }
    }

    /// Whether a catalog that lists the pack is about to be put.
    fn puts(self) -> bool {
        !matches!(self, Self::Empty | Self::Replaces(_) | Self::Deletes(_))
    }
}

/// Where a process stands. Only the first two are a writer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step {
    Idle,
    /// Its intent is put.
    Begun,
    /// After G3.
    Condemned,
    /// After G3b, and no condemnation names the pack.
    Unaware,
    /// After G3b, and one names it.
    Aware,
    /// It has loaded the index.
    Loaded,
    /// G7: it has listed the packs, and this one was there; it deletes catalogs.
    Drops,
    /// The pack was gone.
    SeesGone,
    /// That is condemned again; it deletes catalogs.
    DropsGone,
    /// Its catalogs are gone, and so is the pack.
    Deleted,
    ListsIntents,
    ListsIntentsAgain,
    Alone,
    ListsFirst,
    ListsCopies,
    Removes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) step: Step,
    pub(super) hand: Hand,
    pub(super) has_intent: bool,
    /// It has put or deleted a catalog since it looked for its intent.
    pub(super) owes_look: bool,
    /// Pruners whose listing of intents was begun when this one's was there, and has not come to it yet.
    pub(super) ahead: Set,
}

impl Process {
    pub(super) const IDLE: Self =
        Self { step: Step::Idle, hand: Hand::Empty, has_intent: false, owes_look: false, ahead: 0 };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct State {
    pub(super) processes: [Process; PROCESSES_MAX],
    pub(super) is_stored: bool,
    pub(super) catalogs: [Catalog; CATALOGS_MAX],
    pub(super) condemnations: [Condemnation; CONDEMNATIONS_MAX],
}

impl Step {
    pub(super) const ALL: [Self; 16] = [
        Self::Idle,
        Self::Begun,
        Self::Condemned,
        Self::Unaware,
        Self::Aware,
        Self::Loaded,
        Self::Drops,
        Self::SeesGone,
        Self::DropsGone,
        Self::Deleted,
        Self::ListsIntents,
        Self::ListsIntentsAgain,
        Self::Alone,
        Self::ListsFirst,
        Self::ListsCopies,
        Self::Removes,
    ];
}

impl State {
    /// Nobody has begun; the pack is there, and one catalog lists it.
    pub(super) fn new() -> Self {
        let mut catalogs = [Catalog::default(); CATALOGS_MAX];
        catalogs[0] = Catalog { first: true, copy: true, ..Catalog::default() };
        Self {
            processes: [Process::IDLE; PROCESSES_MAX],
            is_stored: true,
            catalogs,
            condemnations: [Condemnation::default(); CONDEMNATIONS_MAX],
        }
    }

    /// The pack is gone, a catalog lists it or is about to, and nobody is told that it does not count. With
    /// `gives_up`, not what a process that was given up is about to put, nor as long as one has not looked yet.
    pub(super) fn misleads(&self, gives_up: bool) -> bool {
        let is_given_up = |process: &&Process| gives_up && !process.has_intent;
        let is_listed = self.catalogs.iter().any(|one| one.is_there());
        let is_put = self.processes.iter().filter(|one| !is_given_up(one)).any(|process| process.hand.puts());
        let is_looked_for = self.processes.iter().filter(is_given_up).any(|process| process.owes_look);
        !self.is_stored && (is_listed || is_put) && !self.is_condemned() && !is_looked_for
    }

    pub(super) fn is_condemned(&self) -> bool {
        self.condemnations.iter().any(|one| one.stands)
    }

    pub(super) fn knows_condemnation(&self, pruner: usize) -> bool {
        self.condemnations.iter().any(|one| one.known & bit(pruner) != 0)
    }

    /// A place for a new catalog, if there is one within the bounds of the model.
    pub(super) fn free_catalog(&self, bound: usize) -> Option<u8> {
        let is_free =
            |number: usize| !self.catalogs[number].is_there() && !self.processes.iter().any(|one| one.hand.has(number));
        (0..bound).find(|&number| is_free(number)).map(|number| u8::try_from(number).expect("few catalogs"))
    }

    /// Puts a condemnation that these pruners know, if there is a place for it.
    pub(super) fn condemn(&mut self, known: Set) -> bool {
        let free = self.condemnations.iter_mut().find(|one| !one.stands);
        free.map(|one| *one = Condemnation { stands: true, known }).is_some()
    }

    /// Whoever lists intents comes to the place of this one when it is gone already.
    pub(super) fn delete_intent(&mut self, process: usize) {
        self.processes[process].has_intent = false;
        self.processes[process].ahead = 0;
    }

    /// It takes no more steps, and its intent is gone.
    pub(super) fn end(&mut self, process: usize) {
        self.stop_listing(process);
        self.processes[process] = Process::IDLE;
        self.condemnations.iter_mut().for_each(|one| one.known &= !bit(process));
        self.catalogs.iter_mut().for_each(|one| one.dropped &= !bit(process));
    }

    pub(super) fn stop_listing(&mut self, pruner: usize) {
        self.processes.iter_mut().for_each(|one| one.ahead &= !bit(pruner));
        for one in &mut self.catalogs {
            one.first_ahead &= !bit(pruner);
            one.copy_ahead &= !bit(pruner);
        }
    }

    pub(super) fn swap_processes(&mut self, a: usize, b: usize) {
        self.processes.swap(a, b);
        self.processes.iter_mut().for_each(|one| one.ahead = swap_bits(one.ahead, a, b));
        for one in &mut self.catalogs {
            one.first_ahead = swap_bits(one.first_ahead, a, b);
            one.copy_ahead = swap_bits(one.copy_ahead, a, b);
            one.dropped = swap_bits(one.dropped, a, b);
        }
        self.condemnations.iter_mut().for_each(|one| one.known = swap_bits(one.known, a, b));
    }

    pub(super) fn swap_catalogs(&mut self, a: u8, b: u8) {
        self.catalogs.swap(usize::from(a), usize::from(b));
        let number = |one| match one {
            _ if one == a => b,
            _ if one == b => a,
            _ => one,
        };
        self.processes.iter_mut().for_each(|process| process.hand = process.hand.renumbered(number));
    }
}

fn swap_bits(set: Set, a: usize, b: usize) -> Set {
    let differ = (set >> a ^ set >> b) & 1;
    set ^ (differ << a | differ << b)
}
