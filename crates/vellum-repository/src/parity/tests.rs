//! P4: what is within the guarantee is healed bit for bit, what is beyond it is told, and nothing else comes out.

use super::*;
use vellum_testkit::Random;

/// Patterns of damage that each test of the quick suite tries for a body.
#[cfg(not(feature = "slow"))]
const PATTERNS: usize = 60;
#[cfg(feature = "slow")]
const PATTERNS: usize = 2_000;

/// Bodies with one data shard, with few, with a last shard of one byte, with 64, and with long ones.
const BODY_LENS: [usize; 6] = [4_096, 9_000, 40_961, 262_144, 300_000, 1_200_000];

struct Pack {
    bytes: Vec<u8>,
    id: ObjectId,
    layout: ParityLayout,
}

impl Pack {
    fn new(body_len: usize, seed: u64) -> Self {
        let mut bytes = Random::new(seed).bytes(body_len);
        bytes[PackHeader::BODY_LEN_OFFSET..][..8].copy_from_slice(&(body_len as u64).to_le_bytes());
        add_parity(&mut bytes);
        let (id, layout) = (ObjectId::of(&bytes), ParityLayout::of_body(body_len as u64));
        assert_eq!(bytes.len() as u64, layout.object_len_bytes());
        Self { bytes, id, layout }
    }

    fn assert_healed(&self, damaged: &[u8], case: &str) {
        let healed = heal_pack(damaged, &self.id).unwrap_or_else(|why| panic!("{case}: {why}"));
        assert!(healed == self.bytes, "{case}: healed to something else");
    }

    /// So many different shards.
    fn choose(&self, count: usize, random: &mut Random) -> Vec<u64> {
        let mut shards: Vec<u64> = (0..self.layout.shards()).collect();
        for at in 0..count {
            let other = at + random.below(shards.len() - at);
            shards.swap(at, other);
        }
        shards.truncate(count);
        shards
    }
}

/// Changes some bytes of a range, at least one.
fn spoil(bytes: &mut [u8], range: Range<u64>, random: &mut Random) {
    let range = &mut bytes[to_usize(range.start)..to_usize(range.end)];
    let at = random.below(range.len());
    match random.below(4) {
        0 => range[at] ^= 1 << random.below(8),
        1 => range.iter_mut().for_each(|byte| *byte = !*byte),
        // A bad sector: zeros, or what lay there before.
        2 => {
            let end = range.len().min(at + 512);
            range[at..end].iter_mut().for_each(|byte| *byte = if *byte == 0 { 1 } else { 0 });
        }
        _ => {
            let end = range.len().min(at + 1 + random.below(4096));
            range[at..end].iter_mut().for_each(|byte| *byte ^= 0x5A);
        }
    }
}

#[test]
fn any_four_damaged_shards_are_healed_with_one_table_and_all_that_lies_between() {
    for body_len in BODY_LENS {
        let pack = Pack::new(body_len, 1);
        let mut random = Random::new(body_len as u64);
        for number in 0..PATTERNS {
            let mut damaged = pack.bytes.clone();
            let count = if number < 4 { 4 } else { 1 + random.below(4) }.min(to_usize(pack.layout.shards()));
            for shard in pack.choose(count, &mut random) {
                spoil(&mut damaged, pack.layout.shard(shard), &mut random);
            }
            let gap = pack.layout.first_table().end..pack.layout.parity_start();
            match random.below(4) {
                0 => spoil(&mut damaged, pack.layout.first_table(), &mut random),
                1 => damaged.truncate(damaged.len() - 1 - random.below(to_usize(pack.layout.table_len_bytes()))),
                2 if !gap.is_empty() => spoil(&mut damaged, gap, &mut random),
                _ => damaged.extend_from_slice(&random.bytes(5_000)[..random.below(5_000)]),
            }
            pack.assert_healed(&damaged, &format!("{body_len} bytes, pattern {number}"));
        }
    }
}

#[test]
fn more_than_four_damaged_shards_are_told_and_counted() {
    for body_len in BODY_LENS {
        let pack = Pack::new(body_len, 2);
        let mut random = Random::new(body_len as u64);
        for _ in 0..PATTERNS.min(to_usize(pack.layout.shards()) * 20) {
            let mut damaged = pack.bytes.clone();
            let most = to_usize(pack.layout.shards()) - 4;
            let count = 5 + random.below(most);
            for shard in pack.choose(count, &mut random) {
                spoil(&mut damaged, pack.layout.shard(shard), &mut random);
            }
            let (count, shards) = (count as u64, pack.layout.shards());
            let told = Unhealable::TooManyShards { damaged: count, count: shards, max: 4 };
            assert_eq!(heal_pack(&damaged, &pack.id), Err(told), "{body_len} bytes");
        }
    }
}

#[test]
fn the_longest_burst_is_healed_wherever_it_begins_and_one_byte_more_is_not() {
    for body_len in BODY_LENS {
        let pack = Pack::new(body_len, 3);
        let burst = to_usize(pack.layout.burst_len_bytes());
        let with_burst = |start: usize, len: usize| {
            let mut damaged = pack.bytes.clone();
            let end = damaged.len().min(start + len);
            damaged[start..end].iter_mut().for_each(|byte| *byte = !*byte);
            damaged
        };
        let starts = (0..pack.bytes.len()).step_by(pack.bytes.len() / PATTERNS.min(40) + 1);
        // The worst places are the last bytes of shards.
        let worst: Vec<usize> =
            (0..pack.layout.shards()).map(|number| to_usize(pack.layout.shard(number).end) - 1).collect();
        for start in starts.chain(worst.iter().copied()) {
            pack.assert_healed(&with_burst(start, burst), &format!("{body_len} bytes, a burst at {start}"));
        }
        let longer = |start: &usize| heal_pack(&with_burst(*start, burst + 1), &pack.id).is_err();
        assert!(worst.iter().any(longer), "{body_len} bytes: the guarantee is not told too low");
        for len in [pack.bytes.len() - 1, pack.bytes.len().saturating_sub(burst)] {
            pack.assert_healed(&pack.bytes[..len], &format!("{body_len} bytes, cut to {len}"));
        }
    }
}

/// A sector that does not answer gives up to 4096 bytes at a multiple of that: also where body and parity meet.
#[test]
fn four_bad_sectors_are_healed_as_long_as_one_table_is_whole() {
    for body_len in BODY_LENS {
        let pack = Pack::new(body_len, 4);
        let mut random = Random::new(body_len as u64);
        let sectors = pack.bytes.len().div_ceil(4096);
        let is_in = |table: Range<u64>, sector: usize| {
            table.start < (sector as u64 + 1) * 4096 && sector as u64 * 4096 < table.end
        };
        for number in 0..PATTERNS {
            let bad: Vec<usize> = (0..4).map(|_| random.below(sectors)).collect();
            let hits_first = bad.iter().any(|sector| is_in(pack.layout.first_table(), *sector));
            let last = pack.layout.object_len_bytes() - pack.layout.table_len_bytes()..pack.layout.object_len_bytes();
            if hits_first && bad.iter().any(|sector| is_in(last.clone(), *sector)) {
                continue;
            }
            let mut damaged = pack.bytes.clone();
            for sector in bad {
                let end = damaged.len().min((sector + 1) * 4096);
                damaged[sector * 4096..end].fill(0);
            }
            pack.assert_healed(&damaged, &format!("{body_len} bytes, pattern {number}"));
        }
    }
}

#[test]
fn both_tables_lost_cost_nothing_else() {
    let pack = Pack::new(40_961, 5);
    let mut damaged = pack.bytes.clone();
    damaged[to_usize(pack.layout.first_table().start)..].fill(0);
    pack.assert_healed(&damaged, "all parity is lost");
    damaged[1_000] ^= 1;
    assert_eq!(heal_pack(&damaged, &pack.id), Err(Unhealable::NoTable));
}

#[test]
fn parity_of_another_object_heals_to_nothing() {
    let (own, other) = (Pack::new(40_961, 6), Pack::new(40_961, 7));
    let mut forged = own.bytes.clone();
    forged[100] ^= 1;
    let parity = to_usize(own.layout.first_table().start);
    forged[parity..].copy_from_slice(&other.bytes[parity..]);
    assert!(heal_pack(&forged, &own.id).is_err());
    assert_eq!(heal_pack(&other.bytes, &own.id), Err(Unhealable::OtherBytes));
    assert_eq!(heal_pack(&[], &own.id), Err(Unhealable::NoTable));
    let without = &own.bytes[..parity];
    assert_eq!(heal_pack(without, &ObjectId::of(without)).as_deref(), Ok(without), "an undamaged pack without parity");
    assert_eq!(heal_pack(&without[1..], &ObjectId::of(without)), Err(Unhealable::NoTable));
}

/// The equations of FORMAT.md, by arithmetic that shares nothing with the library.
#[test]
fn the_code_is_the_one_that_the_format_describes() {
    for body_len in [4_096, 9_000, 300_000] {
        let pack = Pack::new(body_len, 8);
        let shards: Vec<Vec<u8>> = (0..pack.layout.shards())
            .map(|number| {
                let mut shard = part(&pack.bytes, pack.layout.shard(number)).expect("an undamaged pack").to_vec();
                shard.resize(to_usize(pack.layout.shard_len_bytes()), 0);
                shard
            })
            .collect();
        let (data, parity) = shards.split_at(to_usize(pack.layout.data_shards()));
        let in_order: Vec<&Vec<u8>> = parity.iter().chain(data).collect();
        for at in [0, 1, 31, 64, 4_000 / 64 * 64 + 5] {
            for power in 0..4 {
                let sum = in_order.iter().enumerate().fold(0, |sum, (place, shard)| {
                    let symbol = u16::from_le_bytes([shard[at], shard[at + 32]]);
                    let place = element(u16::try_from(place).expect("at most 68"));
                    (0..power).fold(element(symbol), |product, _| multiply(product, place)) ^ sum
                });
                assert_eq!(sum, 0, "{body_len} bytes, symbol {at}, equation {power}");
            }
        }
    }
}

/// The field element that a symbol stands for: its bits are coordinates in a Cantor basis.
fn element(symbol: u16) -> u16 {
    const BASIS: [u16; 16] = [
        0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012, 0x6C98, 0x10D8, 0x6A72, 0xB900, 0xFDB8, 0xFB34,
        0xFF38, 0x991E,
    ];
    (0..16).filter(|bit| symbol >> bit & 1 == 1).fold(0, |sum, bit| sum ^ BASIS[bit])
}

/// Of polynomials over GF(2) modulo `x^16 + x^5 + x^3 + x^2 + 1`.
fn multiply(a: u16, b: u16) -> u16 {
    let mut product = 0u32;
    for bit in 0..16 {
        if b >> bit & 1 == 1 {
            product ^= u32::from(a) << bit;
        }
    }
    for bit in (16..32).rev() {
        if product >> bit & 1 == 1 {
            product ^= 0x1_002D << (bit - 16);
        }
    }
    u16::try_from(product).expect("reduced to 16 bits")
}

/// What is stored is looked at once more for a flip of memory.
#[test]
fn any_changed_byte_of_a_new_pack_is_seen_before_it_is_stored() {
    for (parity, body_len) in [(Parity::ReedSolomon, 40_961), (Parity::ReedSolomon, 4_096), (Parity::None, 4_096)] {
        let scope = vellum_format::RepositoryId::from_bytes([7; 16]);
        let header = PackHeader { parity, epoch: 1, scope, salt: [9; 32], body_len_bytes: body_len as u64 };
        let mut pack = Random::new(1).bytes(body_len);
        pack[..PackHeader::ENCODED_LEN].copy_from_slice(&header.encode());
        if parity == Parity::ReedSolomon {
            add_parity(&mut pack);
        }
        let id = ObjectId::of(&pack);
        assert!(is_unharmed(&pack, &id) && has_right_parity(&pack));
        let layout = ParityLayout::of_body(body_len as u64);
        let parity_start = to_usize(layout.parity_start()).min(pack.len());
        for at in (0..body_len).step_by(61).chain(body_len..parity_start).chain((parity_start..pack.len()).step_by(7)) {
            pack[at] ^= 0x10;
            assert!(!is_unharmed(&pack, &id), "byte {at} of {}", pack.len());
            assert!(at < body_len || !has_right_parity(&pack), "byte {at} of {}", pack.len());
            pack[at] ^= 0x10;
        }
        pack.push(0);
        assert!(!is_unharmed(&pack, &id));
    }
}
