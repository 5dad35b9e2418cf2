//! The one table of points.

macro_rules! points {
    ($($point:ident = $name:literal, $when:literal;)*) => {
        /// A boundary between two steps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Point {
            $(#[doc = $when] $point,)*
        }

        impl Point {
            /// Every point.
            pub const ALL: &[Self] = &[$(Self::$point),*];

            /// What people call it: who does it, and where.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$point => $name,)* }
            }

            /// When it is reached.
            #[must_use]
            pub const fn when(self) -> &'static str {
                match self { $(Self::$point => $when,)* }
            }
        }
    };
}

points! {
    InitKeysSynced = "init.keys-synced", "the keys of a new repository are durable";
    ConfigBeforePut = "config.before-put", "before the first copy of the config";
    ConfigBetweenCopies = "config.between-copies", "between its copies";
    ConfigAfterPut = "config.after-put", "after the second, before the sync";
    InitConfigSynced = "init.config-synced", "the config is durable: the commit point of init";

    KeyBeforePut = "key.before-put", "before the first copy of a key manifest";
    KeyBetweenCopies = "key.between-copies", "between its copies";
    KeyAfterPut = "key.after-put", "after the second, before the sync";
    KeyChangeSynced = "key.change-synced", "new keys are durable, before rivals are looked for";
    KeyBeforeRemoval = "key.before-removal", "before each copy of older keys is deleted";

    IntentBeforePut = "intent.before-put", "W1: before the intent";
    IntentAfterPut = "intent.after-put", "W1: the intent stands";
    WriterCondemnationsHeeded = "writer.condemnations-heeded", "W2: condemnations are known, the index is not";
    WriterPacksAdopted = "writer.packs-adopted", "W2: packs that no catalog lists were adopted";
    WriterIndexLoaded = "writer.index-loaded", "W2: the index is up to date";
    PackBeforePut = "pack.before-put", "W3: before a pack";
    PackAfterPut = "pack.after-put", "W3: after a pack";
    WriterPacksStored = "writer.packs-stored", "W3: all packs are stored, before the sync";
    WriterPacksSynced = "writer.packs-synced", "W3: packs and what was adopted are durable";
    CatalogBeforePut = "catalog.before-put", "W3, G7: before the first copy of a catalog";
    CatalogBetweenCopies = "catalog.between-copies", "between its copies";
    CatalogAfterPut = "catalog.after-put", "after the second, before the sync";
    WriterCatalogsSynced = "writer.catalogs-synced", "W3: catalogs are durable, the index does not know them";
    WriterHistorySettled = "writer.history-settled", "W5: what the snapshot will name is durable";
    SnapshotBeforePut = "snapshot.before-put", "W5: before the first copy of the snapshot";
    SnapshotBetweenCopies = "snapshot.between-copies", "between its copies";
    SnapshotAfterPut = "snapshot.after-put", "after the second, before the sync";
    WriterSnapshotSynced = "writer.snapshot-synced", "W6: the snapshot is durable, before fences are listed";
    WriterFencesListed = "writer.fences-listed", "W6: there is no fence, before the snapshot is acknowledged";
    WriterFenceFound = "writer.fence-found", "W6: there is one, before the snapshot is taken back";
    IntentBeforeRemoval = "intent.before-removal", "W7: before the intent goes";
    IntentAfterRemoval = "intent.after-removal", "W7: it is gone";

    IndexBeforeRename = "index.before-rename", "a segment is written, under a temporary name";
    IndexRecorded = "index.recorded", "it has its name and is recorded";
    IndexMergeWritten = "index.merge-written", "a merged segment is written, under a temporary name";
    IndexMergeRecorded = "index.merge-recorded", "it is recorded in place of its sources, which are still there";
    FileCacheBeforeRename = "file-cache.before-rename", "the file cache is written, under a temporary name";
    FileCachePublished = "file-cache.published", "it has its name";

    PruneListed = "prune.listed", "G1: all is listed and the index up to date, nothing is marked";
    PruneMarked = "prune.marked", "G1: what the snapshots need is marked";
    PruneRepacked = "prune.repacked", "G2: moved, catalogued and durable";
    PruneReadBack = "prune.read-back", "G2: read back";
    CondemnedBeforePut = "condemned.before-put", "G3, G5: before the first copy of a condemnation or outlast record";
    CondemnedBetweenCopies = "condemned.between-copies", "between its copies";
    CondemnedAfterPut = "condemned.after-put", "after the second, before the sync";
    PruneCondemned = "prune.condemned", "G3: the condemnation is durable";
    PruneWritersListed = "prune.writers-listed", "G4: intents are listed";
    FenceBeforePut = "fence.before-put", "G5, G6b: before the first copy of a fence, raised or closed";
    FenceBetweenCopies = "fence.between-copies", "between its copies";
    FenceAfterPut = "fence.after-put", "after the second, before the sync";
    PruneFenceRaised = "prune.fence-raised", "G5: the fence is durable";
    PruneBeforeSecondLook = "prune.before-second-look", "G6: before snapshots and packs are listed again";
    PruneSecondLook = "prune.second-look", "G6: they are listed";
    PruneRescued = "prune.rescued", "G6: copies of what is stranded are durable";
    PruneRescueReadBack = "prune.rescue-read-back", "G6: and read back";
    PruneFencesClosed = "prune.fences-closed", "G6b: fences are closed, before the sync";
    PruneBeforeRelist = "prune.before-relist", "G7: before catalogs without the packs";
    PruneRelisted = "prune.relisted", "G7: these are durable, before the old ones go";
    CatalogBetweenDeletions = "catalog.between-deletions", "G7: one copy of an old catalog is deleted";
    PruneCatalogsDeleted = "prune.catalogs-deleted", "G7: no catalog lists the packs any more, durably";
    PackBeforeDeletion = "pack.before-deletion", "G7: before each pack is deleted";
    PrunePacksDeleted = "prune.packs-deleted", "G7: all are deleted, before the sync";
    PrunePacksGone = "prune.packs-gone", "G7: they are durably gone";
    CondemnedBetweenDeletions = "condemned.between-deletions", "G8: one copy of a condemnation is deleted";
    PruneRetired = "prune.retired", "G8: condemnations are deleted, before the sync";

    TombstoneBeforePut = "tombstone.before-put", "before the first copy of a tombstone";
    TombstoneBetweenCopies = "tombstone.between-copies", "the first is durable";
    TombstoneAfterPut = "tombstone.after-put", "both are durable";
    RecordBeforeDeletion = "record.before-deletion", "before each copy of a removed record is deleted";
    ForgetRemoved = "forget.removed", "all are deleted, before the sync";

    RepairCopyBeforeReplace = "repair.copy-before-replace", "before a broken copy is stored anew";
    RepairCopyReplaced = "repair.copy-replaced", "it is stored, before the sync";
    RepairPackBeforeReplace = "repair.pack-before-replace", "a pack is healed in memory";
    RepairPackReplaced = "repair.pack-replaced", "it is stored, before the sync";
    RepairPackSynced = "repair.pack-synced", "it is durable, before it is read back";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_stands_for_one_point() {
        let names: BTreeSet<&str> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
        assert!(Point::ALL.iter().all(|point| !point.when().is_empty()));
    }
}
