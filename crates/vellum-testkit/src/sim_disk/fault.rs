//! What of a disk can fail, and how.

use std::time::Duration;

/// The operations of a disk, for counting and failing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the trait's methods")]
pub enum DiskOperation {
    MakeFolder,
    CreateNew,
    WriteAll,
    SyncFile,
    Rename,
    SyncFolder,
    ReadRange,
    FileLen,
    ListFolder,
    RemoveFile,
}

impl DiskOperation {
    /// Whether it changes the disk or what is durable; only these are counted by
    /// [`SimDisk::change_count`](super::SimDisk::change_count).
    #[must_use]
    pub const fn is_change(self) -> bool {
        !matches!(self, Self::ReadRange | Self::FileLen | Self::ListFolder)
    }

    /// Whether it may report success and not be done.
    pub(super) const fn can_lie(self) -> bool {
        self.is_change() && !matches!(self, Self::MakeFolder | Self::CreateNew)
    }
}

/// Which operations of a disk fail, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskFault {
    /// Only these are counted and fail; with none, all.
    pub operation: Option<DiskOperation>,
    /// The counted operation, from 1, that fails first, counted from when the fault was planned.
    pub first: u64,
    /// How many in a row fail; `u64::MAX` for all.
    pub count: u64,
    /// What happens instead.
    pub effect: DiskFaultEffect,
}

/// What happens instead of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFaultEffect {
    /// It fails with this error number; a write leaves half of the bytes, a sync loses what it was to save (D3).
    Fail(i32),
    /// It reports success and is not done; folders and files are made and things are read nevertheless.
    Lie,
    /// It takes this long and is then done, without keeping others from the disk meanwhile.
    Delay(Duration),
}
