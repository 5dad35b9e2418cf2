//! Which of the positions that a search finds becomes the cut: the rule that `phte128` and `window` share.

use std::ops::Range;

use crate::Sizes;

/// Bytes before a position that decide over it.
pub(crate) const WINDOW: usize = 64;

/// A position whose value has `zeros` trailing zero bits.
pub(crate) struct Hit {
    pub(crate) at: usize,
    pub(crate) zeros: u32,
}

/// Is shown hits; answers how many zeros the next one must have, or that it has seen enough.
pub(crate) type Sink<'a> = dyn FnMut(Hit) -> Option<u32> + 'a;

/// The length of the first chunk of `data`. `search` shows a sink the positions of a range whose value has at least so
/// many trailing zero bits, from first to last.
pub(crate) fn cut(sizes: Sizes, data: &[u8], search: impl Fn(Range<usize>, u32, &mut Sink<'_>)) -> usize {
    let [min, avg, max] = [sizes.min(), sizes.avg(), sizes.max()].map(|size| size as usize);
    let end = data.len().min(max);
    let bits = sizes.avg().ilog2();
    if end <= min {
        return end;
    }
    let mut cut = None;
    search(min..end.min(avg), bits + 2, &mut |hit| {
        cut = Some(hit.at);
        None
    });
    if let Some(cut) = cut {
        return cut;
    }
    let mut best = max;
    // Only a position better than the best so far is looked for, so that even hostile data has few hits.
    search(avg..end.max(avg), bits - 6, &mut |hit| {
        best = hit.at;
        if hit.zeros >= bits - 2 {
            cut = Some(hit.at);
        }
        cut.is_none().then_some(hit.zeros + 1)
    });
    cut.unwrap_or(if data.len() < max { data.len() } else { best })
}

/// A search by a function that finds the first hit of a range.
pub(crate) fn each(
    mut positions: Range<usize>,
    mut zeros: u32,
    sink: &mut Sink<'_>,
    first: impl Fn(Range<usize>, u32) -> Option<Hit>,
) {
    while !positions.is_empty()
        && let Some(hit) = first(positions.clone(), zeros)
    {
        positions.start = hit.at + 1;
        match sink(hit) {
            Some(more) => zeros = more,
            None => return,
        }
    }
}
