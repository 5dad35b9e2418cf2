//! Storages before storages: what a wrapper leaves to the one behind it.

/// Implements the named methods of [`Storage`](crate::Storage) by asking the storage behind, inside the `impl` of a
/// wrapper: `forward!(|self| self.inner => adopt, len, location);`.
///
/// The names are listed so that a new method of the trait compiles only after every wrapper has said what becomes of
/// it.
#[macro_export]
macro_rules! forward {
    (|$self:ident| $inner:expr => $($method:ident),+ $(,)?) => {
        $($crate::forward!(@$method $self $inner);)+
    };
    (@put $self:ident $inner:expr) => {
        fn put(&$self, name: &$crate::ObjectName, bytes: &[u8]) -> Result<$crate::Put, $crate::StorageError> {
            $inner.put(name, bytes)
        }
    };
    (@replace_damaged $self:ident $inner:expr) => {
        fn replace_damaged(&$self, name: &$crate::ObjectName, bytes: &[u8]) -> Result<(), $crate::StorageError> {
            $inner.replace_damaged(name, bytes)
        }
    };
    (@adopt $self:ident $inner:expr) => {
        fn adopt(&$self, name: &$crate::ObjectName) {
            $inner.adopt(name);
        }
    };
    (@sync $self:ident $inner:expr) => {
        fn sync(&$self) -> Result<(), $crate::StorageError> {
            $inner.sync()
        }
    };
    (@get $self:ident $inner:expr) => {
        fn get(&$self, name: &$crate::ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, $crate::StorageError> {
            $inner.get(name, len_bytes_max)
        }
    };
    (@get_range $self:ident $inner:expr) => {
        fn get_range(
            &$self,
            name: &$crate::ObjectName,
            range: ::std::ops::Range<u64>,
        ) -> Result<Vec<u8>, $crate::StorageError> {
            $inner.get_range(name, range)
        }
    };
    (@len $self:ident $inner:expr) => {
        fn len(&$self, name: &$crate::ObjectName) -> Result<u64, $crate::StorageError> {
            $inner.len(name)
        }
    };
    (@list $self:ident $inner:expr) => {
        fn list(
            &$self,
            kind: $crate::ObjectKind,
            visit: &mut dyn FnMut($crate::ObjectSummary),
        ) -> Result<(), $crate::StorageError> {
            $inner.list(kind, visit)
        }
    };
    (@delete $self:ident $inner:expr) => {
        fn delete(&$self, name: &$crate::ObjectName) -> Result<(), $crate::StorageError> {
            $inner.delete(name)
        }
    };
    (@release_reserve $self:ident $inner:expr) => {
        fn release_reserve(&$self) -> Result<bool, $crate::StorageError> {
            $inner.release_reserve()
        }
    };
    (@keep_reserve $self:ident $inner:expr) => {
        fn keep_reserve(&$self) {
            $inner.keep_reserve();
        }
    };
    (@location $self:ident $inner:expr) => {
        fn location(&$self) -> String {
            $inner.location()
        }
    };
    (@capabilities $self:ident $inner:expr) => {
        fn capabilities(&$self) -> $crate::Capabilities {
            $inner.capabilities()
        }
    };
}
