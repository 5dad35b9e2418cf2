//! Parity of packs: where its parts lie and how they are told whole from damaged (`docs/FORMAT.md`, "Parity").
//!
//! ```text
//! body | table | zeros | parity shard | … | parity shard | table
//! ```
//!
//! All of it follows from the body's length. The two tables are equal; each says at its own end what is needed to
//! find everything else, so that one of them suffices when header and length of the object are damaged too.

use crate::cursor::{Cursor, at_most};
use crate::{FORMAT_VERSION, FormatError, ObjectId, limits};
use serde::{Deserialize, Serialize};
use std::ops::Range;

const WHAT: &str = "parity table";

/// What a pack carries against damage, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Parity {
    /// Nothing.
    None,
    /// Reed-Solomon shards and tags behind the body.
    ReedSolomon,
}

impl Parity {
    /// The stored byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::ReedSolomon => 1,
        }
    }

    /// # Errors
    /// [`FormatError::Unsupported`] for a scheme of a later version.
    pub(crate) fn from_code(what: &'static str, code: u8) -> Result<Self, FormatError> {
        match code {
            0 => Ok(Self::None),
            1 => Ok(Self::ReedSolomon),
            _ => Err(FormatError::Unsupported { what, field: "parity scheme", value: code.to_string() }),
        }
    }

    /// Length in bytes of an object with such a body.
    #[must_use]
    pub fn object_len_bytes(self, body_len_bytes: u64) -> u64 {
        match self {
            Self::None => body_len_bytes,
            Self::ReedSolomon => ParityLayout::of_body(body_len_bytes).object_len_bytes(),
        }
    }
}

impl From<Parity> for u8 {
    fn from(parity: Parity) -> Self {
        parity.code()
    }
}

impl TryFrom<u8> for Parity {
    type Error = FormatError;
    fn try_from(code: u8) -> Result<Self, FormatError> {
        Self::from_code("repository config", code)
    }
}

/// Where the shards and tables of one object lie. Offsets are in bytes from the start of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParityLayout {
    body_len_bytes: u64,
    shard_len_bytes: u64,
    data_shards: u64,
}

impl ParityLayout {
    /// Data shards of a body of 256 KiB or more, about.
    pub const DATA_SHARDS_MAX: u64 = 64;
    /// Parity shards, and so shards that may be damaged.
    pub const PARITY_SHARDS: u64 = 4;
    /// Shards are a multiple of this long and parity shards begin at a multiple of it, so that a bad sector of a disk
    /// damages one shard only.
    pub const SHARD_STEP: u64 = 4096;

    /// The layout for a body of this length.
    #[must_use]
    pub fn of_body(body_len_bytes: u64) -> Self {
        let share = body_len_bytes.div_ceil(Self::DATA_SHARDS_MAX).max(1);
        let shard_len_bytes = share.div_ceil(Self::SHARD_STEP) * Self::SHARD_STEP;
        Self { body_len_bytes, shard_len_bytes, data_shards: body_len_bytes.div_ceil(shard_len_bytes) }
    }

    /// The layout of an object of this length; none for a length that no object with parity has.
    ///
    /// The bodies that writers make, of Padmé length or as long as a full pack, never have one of these lengths
    /// themselves, so a pack's length says whether it has parity. A body of another length might.
    #[must_use]
    pub fn of_object(len_bytes: u64) -> Option<Self> {
        let (mut low, mut high) = (1, len_bytes);
        // A longer body never makes a shorter object.
        while low < high {
            let middle = low + (high - low) / 2;
            match Self::of_body(middle).object_len_bytes() < len_bytes {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let layout = Self::of_body(low);
        (layout.object_len_bytes() == len_bytes).then_some(layout)
    }

    /// The longest burst that is healed wherever it lies: one byte more can touch five shards.
    ///
    /// Where the body fills its last shard it is three shards and a byte; at least it is two shards.
    #[must_use]
    pub fn burst_len_bytes(&self) -> u64 {
        // Never both tables: four shards lie between them, and a table is shorter than a shard.
        let from_to = |first: u64, last: u64| self.shard(last).start - self.shard(first).end + 1;
        let five_shards = (0..self.data_shards).map(|number| from_to(number, number + Self::PARITY_SHARDS));
        five_shards.min().unwrap_or(0)
    }

    /// Length of the body.
    #[must_use]
    pub const fn body_len_bytes(&self) -> u64 {
        self.body_len_bytes
    }

    /// Length of every shard but the last data shard, which ends with the body and counts as followed by zeros.
    #[must_use]
    pub const fn shard_len_bytes(&self) -> u64 {
        self.shard_len_bytes
    }

    /// Shards that the body is cut into.
    #[must_use]
    pub const fn data_shards(&self) -> u64 {
        self.data_shards
    }

    /// Data and parity shards.
    #[must_use]
    pub const fn shards(&self) -> u64 {
        self.data_shards + Self::PARITY_SHARDS
    }

    /// Where a shard lies: data shards first, then parity shards.
    #[must_use]
    pub fn shard(&self, number: u64) -> Range<u64> {
        let len_bytes = self.shard_len_bytes;
        match number.checked_sub(self.data_shards) {
            None => number * len_bytes..((number + 1) * len_bytes).min(self.body_len_bytes),
            Some(parity) => {
                let start = self.parity_start() + parity * len_bytes;
                start..start + len_bytes
            }
        }
    }

    /// Where the table behind the body lies.
    #[must_use]
    pub fn first_table(&self) -> Range<u64> {
        self.body_len_bytes..self.body_len_bytes + self.table_len_bytes()
    }

    /// Where the first parity shard begins; zeros lie between it and the table before.
    #[must_use]
    pub fn parity_start(&self) -> u64 {
        self.first_table().end.next_multiple_of(Self::SHARD_STEP)
    }

    /// Length of the whole object: up to the end of the second table.
    #[must_use]
    pub fn object_len_bytes(&self) -> u64 {
        self.parity_start() + Self::PARITY_SHARDS * self.shard_len_bytes + self.table_len_bytes()
    }

    /// Length of each of the two tables.
    #[must_use]
    pub const fn table_len_bytes(&self) -> u64 {
        self.shards() * ParityTable::TAG_LEN as u64 + ParityTable::END_LEN as u64
    }
}

/// What a shard is recognised by: the first bytes of the BLAKE3 of what is stored of it.
pub type ShardTag = [u8; ParityTable::TAG_LEN];

/// The tags of all shards, with what is needed to find the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParityTable {
    /// Where the shards lie.
    pub layout: ParityLayout,
    /// A tag for each shard, data shards first.
    pub tags: Vec<ShardTag>,
}

impl ParityTable {
    /// What the last bytes of a table begin with.
    pub const MAGIC: [u8; 8] = *b"VELLUMPY";
    /// Bytes of a tag.
    pub const TAG_LEN: usize = 16;
    /// Bytes behind the tags, of fixed layout.
    pub const END_LEN: usize = 64;
    /// Those of them that the check value covers.
    const FIELDS_LEN: usize = 32;

    /// The tag of a shard.
    #[must_use]
    pub fn tag(shard: &[u8]) -> ShardTag {
        let hash = ObjectId::of(shard);
        *hash.as_bytes().first_chunk().expect("a hash is longer than a tag")
    }

    /// The encoded table.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let layout = &self.layout;
        let count = |shards: u64| u16::try_from(shards).expect("at most 64 shards");
        let shard_len_bytes = u32::try_from(layout.shard_len_bytes).expect("a pack is at most 1 GiB long");
        let mut out = self.tags.as_flattened().to_vec();
        out.extend_from_slice(&Self::MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[Parity::ReedSolomon.code(), 0]);
        out.extend_from_slice(&count(layout.data_shards).to_le_bytes());
        out.extend_from_slice(&count(ParityLayout::PARITY_SHARDS).to_le_bytes());
        out.extend_from_slice(&shard_len_bytes.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&layout.body_len_bytes.to_le_bytes());
        let check = ObjectId::of(&out);
        out.extend_from_slice(check.as_bytes());
        out
    }

    /// Decodes the table that ends where `bytes` end; what stands before it is not looked at.
    ///
    /// # Errors
    /// [`FormatError`] when no undamaged table of this version ends there.
    pub fn decode_end(bytes: &[u8]) -> Result<Self, FormatError> {
        let cut_short = || FormatError::Truncated { what: WHAT };
        let tags_end = bytes.len().checked_sub(Self::END_LEN).ok_or_else(cut_short)?;
        let mut cursor = Cursor::new(WHAT, &bytes[tags_end..]);
        if cursor.array()? != Self::MAGIC {
            return Err(FormatError::WrongMagic { what: WHAT });
        }
        let version = cursor.u16()?;
        if version != FORMAT_VERSION {
            return Err(FormatError::Unsupported { what: WHAT, field: "version", value: version.to_string() });
        }
        let scheme = Parity::from_code(WHAT, cursor.u8()?)?;
        let reserved = cursor.u8()?;
        let data_shards = cursor.u16()?;
        let parity_shards = cursor.u16()?;
        let shard_len_bytes = cursor.u32()?;
        let more_reserved = cursor.u32()?;
        let body_len_bytes = at_most(WHAT, "body length", cursor.u64()?, limits::PACK_LEN_BYTES_MAX)?;
        let check: [u8; 32] = cursor.array()?;
        cursor.end()?;
        let layout = ParityLayout::of_body(body_len_bytes);
        let is_of_scheme = scheme == Parity::ReedSolomon
            && (reserved, more_reserved) == (0, 0)
            && body_len_bytes > 0
            && u64::from(data_shards) == layout.data_shards
            && u64::from(parity_shards) == ParityLayout::PARITY_SHARDS
            && u64::from(shard_len_bytes) == layout.shard_len_bytes;
        if !is_of_scheme {
            return Err(FormatError::Inconsistent { what: WHAT, rule: "the body's length decides about all shards" });
        }
        let tags_len = usize::try_from(layout.shards()).map_err(|_| cut_short())? * Self::TAG_LEN;
        let tags_start = tags_end.checked_sub(tags_len).ok_or_else(cut_short)?;
        if ObjectId::of(&bytes[tags_start..tags_end + Self::FIELDS_LEN]).as_bytes() != &check {
            return Err(FormatError::Inconsistent { what: WHAT, rule: "its check value is the hash of what it says" });
        }
        let (tags, _) = bytes[tags_start..tags_end].as_chunks();
        Ok(Self { layout, tags: tags.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::with_number;
    use proptest::prelude::*;

    fn table(body_len_bytes: u64) -> ParityTable {
        let layout = ParityLayout::of_body(body_len_bytes);
        let tags = (0..layout.shards()).map(|number| ParityTable::tag(&number.to_le_bytes())).collect();
        ParityTable { layout, tags }
    }

    #[test]
    fn every_byte_of_the_body_is_in_one_shard_and_parts_do_not_overlap() {
        for body_len_bytes in [1, 4095, 4096, 4097, 8192, 100_000, 262_144, 262_145, 1_015_808, 32 << 20, 512 << 20] {
            let layout = ParityLayout::of_body(body_len_bytes);
            assert!(layout.data_shards() <= ParityLayout::DATA_SHARDS_MAX, "{body_len_bytes}");
            let mut end = 0;
            for number in 0..layout.data_shards() {
                let shard = layout.shard(number);
                assert!(shard.start == end && !shard.is_empty(), "{body_len_bytes}: shard {number} is {shard:?}");
                end = shard.end;
            }
            assert_eq!(end, body_len_bytes);
            assert_eq!(layout.first_table().start, end);
            assert!(layout.parity_start() - layout.first_table().end < ParityLayout::SHARD_STEP);
            for number in layout.data_shards()..layout.shards() {
                let shard = layout.shard(number);
                assert_eq!(shard.start % ParityLayout::SHARD_STEP, 0, "a sector lies in one shard");
                end = shard.end;
            }
            assert_eq!(layout.object_len_bytes(), end + layout.table_len_bytes());
            assert_eq!(table(body_len_bytes).encode().len() as u64, layout.table_len_bytes());
        }
    }

    /// `S`, `D` and `T` of `docs/FORMAT.md`, "Parity", and where the parity shards begin.
    #[test]
    fn all_lengths_follow_from_the_body_as_specified() {
        let cases = [
            (1, 4096, 1, 144, 4096),
            (4096, 4096, 1, 144, 8192),
            (4097, 4096, 2, 160, 8192),
            (262_144, 4096, 64, 1152, 266_240),
            (262_145, 8192, 33, 656, 266_240),
            (32 << 20, 512 << 10, 64, 1152, (32 << 20) + 4096),
        ];
        for (body, shard, data_shards, table, parity) in cases {
            let layout = ParityLayout::of_body(body);
            let lengths = (layout.body_len_bytes(), layout.shard_len_bytes(), layout.table_len_bytes());
            assert_eq!(lengths, (body, shard, table));
            assert_eq!((layout.data_shards(), layout.parity_start()), (data_shards, parity), "{body}");
            assert_eq!(layout.object_len_bytes(), parity + 4 * shard + table, "{body}");
        }
    }

    #[test]
    fn parity_costs_a_sixteenth_of_a_large_pack_and_a_few_sectors_of_a_small_one() {
        let added = |body: u64| Parity::ReedSolomon.object_len_bytes(body) - body;
        assert_eq!(added(32 << 20), (2 << 20) + 4096 + 68 * 16 + 64);
        assert!(added(4096) <= 5 * 4096 + 200, "{}", added(4096));
        assert!((1..600).all(|kib| added(kib << 10) <= (5 << 12) + (kib << 10) / 8 + 1200));
        assert_eq!(Parity::None.object_len_bytes(12_345), 12_345);
    }

    #[test]
    fn lengths_tell_objects_with_parity_from_bodies() {
        for exponent in 12..30 {
            for step in 0..32u64 {
                let body = crate::padme_len((1 << exponent) + (step << exponent) / 32);
                let layout = ParityLayout::of_body(body);
                assert_eq!(
                    ParityLayout::of_object(layout.object_len_bytes()).map(|found| found.shard_len_bytes),
                    Some(layout.shard_len_bytes)
                );
                assert_eq!(ParityLayout::of_object(body), None, "a body of {body} bytes");
            }
        }
        for len in [0, 1, 4095, 4096, 1 << 20, 32 << 20, 512 << 20] {
            assert_eq!(ParityLayout::of_object(len), None, "{len}");
        }
    }

    #[test]
    fn a_full_pack_outlasts_a_burst_of_three_shards() {
        for (body, burst) in [(32 << 20, 3 << 19), (1 << 20, 3 << 14), (256 << 10, 3 << 12)] {
            assert_eq!(ParityLayout::of_body(body).burst_len_bytes(), burst + 1, "{body}");
        }
    }

    #[test]
    fn tables_are_found_from_their_end_and_any_flip_or_cut_is_noticed() {
        let table = table(100_000);
        let bytes = [&b"before"[..], &table.encode()].concat();
        assert_eq!(ParityTable::decode_end(&bytes), Ok(table.clone()));
        for at in 6..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(ParityTable::decode_end(&flipped).is_err(), "a flip at {at}");
        }
        for len in 0..bytes.len() {
            assert!(ParityTable::decode_end(&bytes[..len]).is_err(), "cut to {len}");
            assert_eq!(ParityTable::decode_end(&bytes[len..]).is_ok(), len <= 6, "cut from {len}");
        }
    }

    /// `docs/FORMAT.md`, "Parity": what stands at the end of a table, of a body of 100,000 bytes.
    #[test]
    fn a_table_is_stored_as_specified() {
        let table = table(100_000);
        let bytes = table.encode();
        let (tags, end) = bytes.split_at(29 * 16);
        assert_eq!(tags, table.tags.as_flattened());
        assert_eq!(ParityTable::tag(b"shard")[..], ObjectId::of(b"shard").as_bytes()[..16]);
        assert_eq!(end[..24], *b"VELLUMPY\x01\0\x01\0\x19\0\x04\0\0\x10\0\0\0\0\0\0");
        assert_eq!(end[24..32], 100_000u64.to_le_bytes());
        assert_eq!(end[32..], *ObjectId::of(&bytes[..29 * 16 + 32]).as_bytes());
    }

    /// A table that says something else of itself, with the right check value.
    fn forged(at: usize, number: u64) -> Result<ParityTable, FormatError> {
        let mut bytes = table(100_000).encode();
        let end = bytes.len() - ParityTable::END_LEN;
        bytes = match at {
            24 => with_number::<8>(&bytes, end + at, number),
            _ => with_number::<1>(&bytes, end + at, number),
        };
        let check = ObjectId::of(&bytes[..end + 32]);
        bytes[end + 32..].copy_from_slice(check.as_bytes());
        ParityTable::decode_end(&bytes)
    }

    #[test]
    fn every_field_of_a_table_is_checked_even_under_a_right_check_value() {
        assert_eq!(forged(0, b'V'.into()), Ok(table(100_000)));
        assert!(matches!(forged(0, b'v'.into()), Err(FormatError::WrongMagic { .. })));
        assert!(matches!(forged(8, 2), Err(FormatError::Unsupported { field: "version", .. })));
        assert!(matches!(forged(10, 2), Err(FormatError::Unsupported { field: "parity scheme", .. })));
        let wrong = [(10, 0), (11, 1), (12, 24), (13, 1), (14, 5), (17, 32), (20, 1), (23, 1), (24, 0), (24, 1 << 20)];
        for (at, number) in wrong {
            assert!(matches!(forged(at, number), Err(FormatError::Inconsistent { .. })), "{number} at {at}");
        }
        let empty = ParityTable::decode_end(&table(0).encode());
        assert!(matches!(empty, Err(FormatError::Inconsistent { .. })), "no body has no parity");
        let beyond = forged(24, limits::PACK_LEN_BYTES_MAX + 1);
        assert!(matches!(beyond, Err(FormatError::BeyondLimit { .. })));
        assert!(matches!(forged(24, limits::PACK_LEN_BYTES_MAX), Err(FormatError::Inconsistent { .. })));
    }

    #[test]
    fn schemes_are_numbers_in_a_config() {
        for parity in [Parity::None, Parity::ReedSolomon] {
            assert_eq!(Parity::try_from(u8::from(parity)), Ok(parity));
        }
        assert_eq!([Parity::None, Parity::ReedSolomon].map(u8::from), [0, 1]);
        assert!(matches!(Parity::try_from(2), Err(FormatError::Unsupported { .. })));
    }

    proptest! {
        #[test]
        fn any_length_of_an_object_leads_back_to_its_shards(body in 1..1u64 << 29) {
            let layout = ParityLayout::of_body(body);
            let found = ParityLayout::of_object(layout.object_len_bytes());
            prop_assert!(found.is_some_and(|found| {
                (found.shard_len_bytes, found.data_shards) == (layout.shard_len_bytes, layout.data_shards)
                    && found.object_len_bytes() == layout.object_len_bytes()
            }), "{:?} {:?}", found, layout);
            prop_assert!(ParityLayout::of_body(body + 1).object_len_bytes() >= layout.object_len_bytes());
        }

        #[test]
        fn a_burst_touches_four_shards_and_one_byte_more_can_touch_five(body in 1..1u64 << 22) {
            let layout = ParityLayout::of_body(body);
            let burst = layout.burst_len_bytes();
            prop_assert!(burst >= 2 * layout.shard_len_bytes && burst <= 3 * layout.shard_len_bytes + 8192);
            let touched = |start: u64, len: u64| {
                let parts = (0..layout.shards()).map(|number| layout.shard(number));
                parts.filter(|part| part.start < start + len && part.end > start).count()
            };
            let last = |number: u64| layout.shard(number).end - 1;
            let between_tables = layout.object_len_bytes() - layout.table_len_bytes() - layout.first_table().end;
            prop_assert!(burst <= between_tables, "one table stays whole");
            prop_assert!((0..layout.shards()).all(|number| touched(last(number), burst) <= 4));
            prop_assert!((0..layout.shards()).any(|number| touched(last(number), burst + 1) == 5));
        }

        #[test]
        fn hostile_bytes_do_not_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), body in any::<u64>()) {
            drop(ParityTable::decode_end(&bytes));
            bytes.extend_from_slice(&table(1_000).encode()[..]);
            let at = bytes.len() - 40;
            bytes[at..at + 8].copy_from_slice(&body.to_le_bytes());
            drop(ParityTable::decode_end(&bytes));
        }
    }
}
