//! The operations of a storage that the wrappers count.

/// One operation of [`vellum_storage::Storage`] that may touch what it stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `put`
    Put,
    /// `sync`
    Sync,
    /// `get`
    Get,
    /// `get_range`
    GetRange,
    /// `len`
    Len,
    /// `list`
    List,
    /// `delete`
    Delete,
    /// `replace_damaged`
    Replace,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 8] =
        [Self::Put, Self::Sync, Self::Get, Self::GetRange, Self::Len, Self::List, Self::Delete, Self::Replace];

    /// Whether it may change what is stored.
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Put | Self::Sync | Self::Delete | Self::Replace)
    }
}
