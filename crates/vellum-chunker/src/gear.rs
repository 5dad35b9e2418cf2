//! `gear`: FastCDC of 2020 as the crate `fastcdc` computes it, with tables of ours.

use fastcdc::v2020::{Normalization, cut_gear, select_masks};
use zeroize::Zeroize;

use crate::Sizes;
use crate::keys;

pub(crate) struct Gear {
    sizes: Sizes,
    tables: Box<Tables>,
}

#[derive(Zeroize)]
#[zeroize(drop)]
struct Tables {
    gear: [u64; 256],
    doubled: [u64; 256],
}

impl Gear {
    pub(crate) fn new(sizes: Sizes, key: &[u8; 32]) -> Gear {
        let mut tables = Box::new(Tables { gear: [0; 256], doubled: [0; 256] });
        let bytes = keys::expand::<2048>(key, b"gear");
        for (index, word) in bytes.as_chunks().0.iter().enumerate() {
            tables.gear[index] = u64::from_le_bytes(*word);
            tables.doubled[index] = tables.gear[index] << 1;
        }
        Gear { sizes, tables }
    }

    pub(crate) fn cut(&self, data: &[u8]) -> usize {
        let [min, avg, max] = [self.sizes.min(), self.sizes.avg(), self.sizes.max()].map(|size| size as usize);
        let (strict, relaxed) = select_masks(avg, Normalization::Level2);
        let Tables { gear, doubled } = &*self.tables;
        let (_, length) = cut_gear(data, min, avg, max, strict, relaxed, strict << 1, relaxed << 1, gear, doubled);
        length
    }
}
