//! Padmé rounding (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", PETS 2019).

/// The smallest object that is stored, so that tiny ones look alike.
const FLOOR: u64 = 4096;

/// `len` in bytes rounded up so that only O(log log len) bits of it show: at most 12 % more, about 1 % on
/// sizes of 1 to 128 MiB, and never below 4 KiB.
#[must_use]
pub const fn padme_len(len: u64) -> u64 {
    if len <= FLOOR {
        return FLOOR;
    }
    let exponent = len.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1u64 << (exponent - kept_bits)) - 1;
    len.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_up_by_at_most_an_eighth_and_is_idempotent() {
        let mut len = 1u64;
        while len < 1 << 40 {
            for near in [len - 1, len, len + 1, len + len / 3] {
                let padded = padme_len(near);
                assert!(padded >= near && padded >= FLOOR);
                assert!(near <= FLOOR || padded - near <= near / 8, "{near} -> {padded}");
                assert_eq!(padme_len(padded), padded);
            }
            len *= 2;
        }
    }

    /// Computed from the text of `docs/FORMAT.md`, "Padmé".
    #[test]
    fn lengths_are_those_of_the_specification() {
        let steps = [(0, 4096), (4095, 4096), (4096, 4096), (4097, 4352), (4352, 4352), (4353, 4608)];
        let large = [(65_536, 65_536), (65_537, 67_584), (1_000_000, 1_015_808), (1 << 30, 1 << 30)];
        for (len, padded) in steps.into_iter().chain(large) {
            assert_eq!(padme_len(len), padded, "{len}");
        }
    }
}
