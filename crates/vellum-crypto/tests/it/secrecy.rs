//! Secrets do not print, copy, default or serialise: checked by the compiler.

use vellum_crypto::{
    DedupKeys, DeviceKey, EpochKeys, KeyFile, KeyManifestDraft, OwnerRing, PackKey, RecoveryKey, Secret, Unlocked,
};

/// Does not compile if `$type` has `$trait`: the call could mean either of two implementations.
macro_rules! lacks {
    ($type:ty: $($trait:path),*) => {
        $({
            struct Has;
            trait Ambiguous<A> {
                fn check() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $trait> Ambiguous<Has> for T {}
            <$type as Ambiguous<_>>::check();
        })*
    };
}

#[test]
fn secrets_stay_where_they_are() {
    macro_rules! secret {
        ($($type:ty),*) => {
            $(lacks!($type: std::fmt::Debug, std::fmt::Display, Clone, Default, serde::Serialize);)*
        };
    }
    secret!(Secret<32>, DedupKeys, EpochKeys, PackKey, OwnerRing, Unlocked, DeviceKey, KeyFile, RecoveryKey);
    secret!(KeyManifestDraft);
}
