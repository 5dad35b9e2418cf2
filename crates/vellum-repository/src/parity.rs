//! Adding parity to packs, and healing packs by it. It takes no keys: parity is computed over what is stored.
//!
//! The code is Reed-Solomon over GF(2^16) at high rate, whatever the number of data shards. It works on each block of
//! 64 bytes of all shards alone, so shards are taken strip by strip: what is in work stays in the processor's cache,
//! and memory is [`STRIP_LEN_BYTES`] for each shard.

use reed_solomon_simd::engine::DefaultEngine;
use reed_solomon_simd::rate::{HighRateDecoder, HighRateEncoder, RateDecoder, RateEncoder};
use std::ops::Range;
use vellum_format::ObjectId;
use vellum_format::pack::PackHeader;
use vellum_format::parity::{Parity, ParityLayout, ParityTable};

/// Bytes of each shard that are worked on at once.
const STRIP_LEN_BYTES: usize = 4 << 10;

/// Places in a damaged object that may be the end of a table and are looked at.
const TABLES_MAX: usize = 1024;

const VALID: &str = "the layout has 1 to 64 data shards and 4 parity shards of a multiple of 4096 bytes";

/// Why a damaged pack cannot be healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unhealable {
    /// It never had parity, or both of its tables are damaged and not only these.
    #[error("no parity that could heal it is left")]
    NoTable,
    /// More is damaged than its parity can make good.
    #[error("{damaged} of its {count} shards are damaged, and its parity can heal {max}")]
    TooManyShards {
        /// Damaged shards.
        damaged: u64,
        /// Shards, parity among them.
        count: u64,
        /// How many may be damaged.
        max: u64,
    },
    /// Healing led to other bytes: the parity is of another object, or was forged.
    #[error("its parity leads to something else than its name stands for")]
    OtherBytes,
}

/// Appends the parity of a pack's finished body.
///
/// # Panics
/// When `pack` is empty or longer than a pack may be.
pub fn add_parity(pack: &mut Vec<u8>) {
    let parity = parity_of(pack);
    pack.extend_from_slice(&parity);
}

/// Everything that stands behind a body of an object with parity.
pub(crate) fn parity_of(body: &[u8]) -> Vec<u8> {
    let layout = ParityLayout::of_body(body.len() as u64);
    let shard_len = to_usize(layout.shard_len_bytes());
    let mut shards = vec![0; shard_len * to_usize(ParityLayout::PARITY_SHARDS)];
    fill_parity_shards(&layout, body, &mut shards);
    let tags = body.chunks(shard_len).chain(shards.chunks(shard_len)).map(ParityTable::tag).collect();
    let table = ParityTable { layout, tags }.encode();
    let mut parity = Vec::with_capacity(to_usize(layout.object_len_bytes()) - body.len());
    parity.extend_from_slice(&table);
    parity.resize(to_usize(layout.parity_start()) - body.len(), 0);
    parity.extend_from_slice(&shards);
    parity.extend_from_slice(&table);
    parity
}

/// Whether an undamaged pack with a right header has no parity, or that of its body.
pub(crate) fn has_right_parity(pack: &[u8]) -> bool {
    let header = pack.first_chunk::<{ PackHeader::ENCODED_LEN }>();
    let header = header.and_then(|bytes| PackHeader::decode(bytes, pack.len() as u64).ok());
    header.is_some_and(|header| {
        let (body, parity) = pack.split_at(to_usize(header.body_len_bytes));
        header.parity == Parity::None || parity_of(body) == parity
    })
}

/// Whether no single fault of memory has changed a new pack since its parity was computed or, without parity, since it
/// got its name.
///
/// The first equation of the format says that all shards, each followed by zeros, cancel each other out; what is no
/// shard are two equal tables with a check value, and zeros. To look at that costs a fraction of hashing the pack anew.
pub(crate) fn is_unharmed(pack: &[u8], name: &ObjectId) -> bool {
    let header = pack.first_chunk::<{ PackHeader::ENCODED_LEN }>();
    let Some(header) = header.and_then(|bytes| PackHeader::decode(bytes, pack.len() as u64).ok()) else { return false };
    if header.parity == Parity::None {
        return ObjectId::of(pack) == *name;
    }
    let layout = ParityLayout::of_body(header.body_len_bytes);
    let shards = || (0..layout.shards()).map(|number| part(pack, layout.shard(number)).unwrap_or_default());
    let table = part(pack, layout.first_table()).unwrap_or_default();
    let zeros = part(pack, layout.first_table().end..layout.parity_start()).unwrap_or_default();
    pack.ends_with(table)
        && ParityTable::decode_end(table).is_ok_and(|table| table.layout == layout)
        && zeros.iter().all(|byte| *byte == 0)
        && cancel_out(shards, to_usize(layout.shard_len_bytes()))
}

/// Whether the sum of all shards is zero.
fn cancel_out<'a, I: Iterator<Item = &'a [u8]>>(shards: impl Fn() -> I, shard_len: usize) -> bool {
    let mut sum = [0; STRIP_LEN_BYTES];
    strips(shard_len).all(|strip| {
        sum.fill(0);
        for shard in shards() {
            let bytes = &shard[strip.start.min(shard.len())..strip.end.min(shard.len())];
            sum.iter_mut().zip(bytes).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum.iter().all(|byte| *byte == 0)
    })
}

/// The bytes that hash to the name of a pack, made of what is left of it; it may also be cut short or too long.
///
/// # Errors
/// [`Unhealable`]; nothing is returned that does not hash to `id`.
pub fn heal_pack(damaged: &[u8], id: &ObjectId) -> Result<Vec<u8>, Unhealable> {
    if ObjectId::of(damaged) == *id {
        return Ok(damaged.to_vec());
    }
    let mut why = None;
    for table in tables(damaged) {
        match rebuild(damaged, &table) {
            Ok(pack) if ObjectId::of(&pack) == *id => return Ok(pack), // I17
            Ok(_) => why = why.or(Some(Unhealable::OtherBytes)),
            Err(error) => why = Some(error),
        }
    }
    match why {
        Some(why) => Err(why),
        // Both tables are damaged: perhaps nothing else is.
        None => from_body(damaged).filter(|pack| ObjectId::of(pack) == *id).ok_or(Unhealable::NoTable),
    }
}

/// Every undamaged table in an object, wherever it stands, once each.
fn tables(object: &[u8]) -> Vec<ParityTable> {
    let mut found: Vec<ParityTable> = Vec::new();
    let starts = object.windows(ParityTable::MAGIC.len()).enumerate();
    let starts = starts.filter(|(_, window)| *window == ParityTable::MAGIC).map(|(at, _)| at);
    for at in starts.take(TABLES_MAX) {
        let end = object.get(..at + ParityTable::END_LEN);
        if let Some(Ok(table)) = end.map(ParityTable::decode_end)
            && !found.contains(&table)
        {
            found.push(table);
        }
    }
    found
}

/// The whole object that a table describes, from shards that match their tags.
fn rebuild(damaged: &[u8], table: &ParityTable) -> Result<Vec<u8>, Unhealable> {
    let layout = &table.layout;
    let is_whole: Vec<bool> = (0..)
        .zip(&table.tags)
        .map(|(number, tag)| part(damaged, layout.shard(number)).is_some_and(|shard| ParityTable::tag(shard) == *tag))
        .collect();
    let damaged_count = is_whole.iter().filter(|is_whole| !**is_whole).count() as u64;
    if damaged_count > ParityLayout::PARITY_SHARDS {
        let (count, max) = (layout.shards(), ParityLayout::PARITY_SHARDS);
        return Err(Unhealable::TooManyShards { damaged: damaged_count, count, max });
    }
    let body_len = to_usize(layout.body_len_bytes());
    let mut pack = Vec::with_capacity(to_usize(layout.object_len_bytes()));
    pack.extend_from_slice(&damaged[..body_len.min(damaged.len())]);
    pack.resize(body_len, 0);
    restore_data_shards(layout, damaged, &is_whole, &mut pack);
    add_parity(&mut pack);
    Ok(pack)
}

/// The object of a body whose header says how long it is.
fn from_body(damaged: &[u8]) -> Option<Vec<u8>> {
    const LEN_AT: usize = PackHeader::BODY_LEN_OFFSET;
    let len_bytes = damaged.get(LEN_AT..LEN_AT + 8)?.try_into().ok().map(u64::from_le_bytes)?;
    let mut pack = damaged.get(..usize::try_from(len_bytes).ok()?).filter(|body| !body.is_empty())?.to_vec();
    add_parity(&mut pack);
    Some(pack)
}

fn fill_parity_shards(layout: &ParityLayout, body: &[u8], parity: &mut [u8]) {
    let (data_shards, parity_shards) = (to_usize(layout.data_shards()), to_usize(ParityLayout::PARITY_SHARDS));
    let shard_len = to_usize(layout.shard_len_bytes());
    let first = STRIP_LEN_BYTES.min(shard_len);
    let engine = DefaultEngine::new();
    let mut encoder = HighRateEncoder::new(data_shards, parity_shards, first, engine, None).expect(VALID);
    for strip in strips(shard_len) {
        encoder.reset(data_shards, parity_shards, strip.len()).expect(VALID);
        for number in 0..data_shards {
            let shard = &body[number * shard_len..];
            with_zeros(shard, &strip, |bytes| encoder.add_original_shard(bytes).expect(VALID));
        }
        let encoded = encoder.encode().expect(VALID);
        for (shard, bytes) in parity.chunks_mut(shard_len).zip(encoded.recovery_iter()) {
            shard[strip.clone()].copy_from_slice(bytes);
        }
    }
}

/// Writes the data shards that are not whole into `body`, made of the others.
fn restore_data_shards(layout: &ParityLayout, damaged: &[u8], is_whole: &[bool], body: &mut [u8]) {
    let (data_shards, parity_shards) = (to_usize(layout.data_shards()), to_usize(ParityLayout::PARITY_SHARDS));
    if is_whole[..data_shards].iter().all(|is_whole| *is_whole) {
        return;
    }
    let shard_len = to_usize(layout.shard_len_bytes());
    let whole = || (0..).zip(is_whole).filter(|(_, is_whole)| **is_whole).map(|(number, _)| number);
    let first = STRIP_LEN_BYTES.min(shard_len);
    let engine = DefaultEngine::new();
    let mut decoder = HighRateDecoder::new(data_shards, parity_shards, first, engine, None).expect(VALID);
    for strip in strips(shard_len) {
        decoder.reset(data_shards, parity_shards, strip.len()).expect(VALID);
        for number in whole() {
            let shard = part(damaged, layout.shard(number)).expect("a whole shard is there");
            let number = to_usize(number);
            with_zeros(shard, &strip, |bytes| match number.checked_sub(data_shards) {
                None => decoder.add_original_shard(number, bytes).expect(VALID),
                Some(parity) => decoder.add_recovery_shard(parity, bytes).expect(VALID),
            });
        }
        let decoded = decoder.decode().expect("at most as many shards are missing as there are parity shards");
        for (number, bytes) in decoded.restored_original_iter() {
            let start = number * shard_len + strip.start;
            let len = bytes.len().min(body.len().saturating_sub(start));
            if len > 0 {
                body[start..start + len].copy_from_slice(&bytes[..len]);
            }
        }
    }
}

fn strips(shard_len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..shard_len).step_by(STRIP_LEN_BYTES).map(move |start| start..shard_len.min(start + STRIP_LEN_BYTES))
}

/// Shows a strip of a shard, with zeros where the shard ends before it does.
fn with_zeros(shard: &[u8], strip: &Range<usize>, mut show: impl FnMut(&[u8])) {
    match shard.get(strip.clone()) {
        Some(bytes) => show(bytes),
        None => {
            let mut padded = [0; STRIP_LEN_BYTES];
            let rest = shard.get(strip.start..).unwrap_or_default();
            padded[..rest.len()].copy_from_slice(rest);
            show(&padded[..strip.len()]);
        }
    }
}

fn part(object: &[u8], range: Range<u64>) -> Option<&[u8]> {
    object.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

fn to_usize(len: u64) -> usize {
    usize::try_from(len).expect("a pack fits into memory")
}

#[cfg(test)]
mod tests;
