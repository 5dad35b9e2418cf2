//! Catalogs: the directories of many packs in one object, so that nobody has to read packs to know what they hold.
//!
//! A catalog repeats each pack's directory in its own encoding: one codec serves both, and an index is built from
//! catalogs or, when they are gone, from the packs themselves by the same code.

use crate::cursor::{Cursor, at_most};
use crate::pack::Directory;
use crate::{FORMAT_VERSION, FormatError, ObjectId, limits};

const WHAT: &str = "catalog";

/// The clear magic of a catalog object.
pub const MAGIC: [u8; 8] = *b"VELLUMCT";

/// One pack that a catalog lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogedPack {
    /// The pack's name.
    pub pack: ObjectId,
    /// Length of the pack object in bytes.
    pub len_bytes: u64,
    /// What it holds.
    pub directory: Directory,
}

/// The packs that a catalog lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// In the order in which they were stored.
    pub packs: Vec<CatalogedPack>,
}

impl Catalog {
    /// The encoded catalog, without padding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.packs.len()).expect("a catalog writer keeps below CATALOG_PACKS_MAX");
        let mut out = Vec::new();
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&count.to_le_bytes());
        for entry in &self.packs {
            let directory = entry.directory.encode();
            out.extend_from_slice(entry.pack.as_bytes());
            out.extend_from_slice(&entry.len_bytes.to_le_bytes());
            out.extend_from_slice(&u32::try_from(directory.len()).expect("below the limit").to_le_bytes());
            out.extend_from_slice(&directory);
        }
        out
    }

    /// Decodes an opened catalog, zero padding included.
    ///
    /// # Errors
    /// [`FormatError`] for anything but what [`Catalog::encode`] writes, padded with zeros.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let version = cursor.u16()?;
        if version != FORMAT_VERSION {
            return Err(FormatError::Unsupported { what: WHAT, field: "version", value: version.to_string() });
        }
        Cursor::new(WHAT, cursor.take(2)?).zero_padding()?;
        let count = at_most(WHAT, "pack count", cursor.u32()?, limits::CATALOG_PACKS_MAX)?;
        let packs = (0..count).map(|_| decode_pack(&mut cursor)).collect::<Result<Vec<_>, _>>()?;
        cursor.zero_padding()?;
        Ok(Self { packs })
    }
}

fn decode_pack(cursor: &mut Cursor<'_>) -> Result<CatalogedPack, FormatError> {
    let pack = ObjectId::from_bytes(cursor.array()?);
    let len_bytes = at_most(WHAT, "pack length", cursor.u64()?, limits::PACK_LEN_BYTES_MAX)?;
    let directory_len = at_most(WHAT, "directory length", cursor.u32()?, limits::DIRECTORY_LEN_BYTES_MAX)?;
    let directory = Directory::decode(cursor.take(directory_len as usize)?, len_bytes)?;
    let wraps: Vec<usize> = directory.wraps.iter().map(|wrap| wrap.bytes.len()).collect();
    let exact = Directory::encoded_len(&wraps, directory.frames.len(), directory.chunk_count());
    if exact != directory_len as usize {
        return Err(FormatError::Inconsistent { what: WHAT, rule: "a directory in it has no padding" });
    }
    Ok(CatalogedPack { pack, len_bytes, directory })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::{assert_bound, with_number};
    use proptest::prelude::*;

    #[test]
    fn every_number_of_a_catalog_is_bounded() {
        let pack = |len_bytes| CatalogedPack {
            pack: ObjectId::from_bytes([1; 32]),
            len_bytes,
            directory: Directory::default(),
        };
        let bytes = Catalog { packs: vec![pack(1)] }.encode();
        assert_bound(limits::CATALOG_PACKS_MAX.into(), |count| Catalog::decode(&with_number::<4>(&bytes, 4, count)));
        assert_bound(limits::PACK_LEN_BYTES_MAX, |len| Catalog::decode(&Catalog { packs: vec![pack(len)] }.encode()));
        assert_bound(limits::DIRECTORY_LEN_BYTES_MAX.into(), |len| {
            Catalog::decode(&with_number::<4>(&bytes, 8 + 32 + 8, len))
        });
    }

    #[test]
    fn zeros_are_zeros_and_a_directory_has_no_padding() {
        let pack = ObjectId::from_bytes([1; 32]);
        let bytes =
            Catalog { packs: vec![CatalogedPack { pack, len_bytes: 1, directory: Directory::default() }] }.encode();
        for at in [2, 3, bytes.len()] {
            let refused = Catalog::decode(&with_number::<1>(&[&bytes[..], &[0]].concat(), at, 1));
            assert!(matches!(refused, Err(FormatError::Inconsistent { .. })), "{at}: {refused:?}");
        }
        let padded = with_number::<4>(&[&bytes[..], &[0]].concat(), 8 + 32 + 8, 17);
        assert!(matches!(Catalog::decode(&padded), Err(FormatError::Inconsistent { .. })));
        assert!(matches!(Catalog::decode(&with_number::<1>(&bytes, 0, 2)), Err(FormatError::Unsupported { .. })));
    }

    proptest! {
        #[test]
        fn round_trip(directories in proptest::collection::vec((any::<[u8; 32]>(), crate::pack::tests::directory()), 0..4)) {
            let packs = directories.into_iter().map(|(pack, directory)| CatalogedPack {
                pack: ObjectId::from_bytes(pack),
                len_bytes: 1 << 29,
                directory,
            });
            let catalog = Catalog { packs: packs.collect() };
            let mut bytes = catalog.encode();
            bytes.extend_from_slice(&[0; 50]);
            prop_assert_eq!(Catalog::decode(&bytes), Ok(catalog));
        }

        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(Catalog::decode(&bytes));
        }
    }
}
