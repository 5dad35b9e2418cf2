//! What damage the packs of a repository outlast.

use vellum_format::parity::ParityLayout;

/// What parity heals, as the lengths of packs tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParityCover {
    /// Packs with parity.
    pub packs_with: u64,
    /// Packs without: what is damaged there is lost, unless it lies elsewhere too.
    pub packs_without: u64,
    /// Bytes of the longest burst that is healed wherever it lies: in the pack that outlasts least, and most.
    pub bursts: Option<(u64, u64)>,
}

impl ParityCover {
    /// Damaged shards of one pack that are healed, whichever they are.
    pub const SHARDS: u64 = ParityLayout::PARITY_SHARDS;

    pub(super) fn of(pack_lens: impl IntoIterator<Item = u64>) -> Self {
        let mut cover = Self::default();
        for len_bytes in pack_lens {
            let Some(layout) = ParityLayout::of_object(len_bytes) else {
                cover.packs_without += 1;
                continue;
            };
            cover.packs_with += 1;
            let burst = layout.burst_len_bytes();
            let (shortest, longest) = cover.bursts.unwrap_or((burst, burst));
            cover.bursts = Some((shortest.min(burst), longest.max(burst)));
        }
        cover
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_format::parity::Parity;

    #[test]
    fn the_weakest_and_the_strongest_pack_are_told() {
        let with = |body: u64| Parity::ReedSolomon.object_len_bytes(body);
        let cover = ParityCover::of([with(32 << 20), with(4096), 32 << 20, with(1 << 20)]);
        assert_eq!((cover.packs_with, cover.packs_without), (3, 1));
        let (shortest, longest) = cover.bursts.expect("packs with parity");
        assert!((12_288..20_480).contains(&shortest), "{shortest}");
        assert_eq!(longest, (3 << 19) + 1);
        assert_eq!(ParityCover::of([]), ParityCover::default());
    }
}
