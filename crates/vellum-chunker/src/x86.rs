//! Searches for the cut points of a function with instructions of x86-64, and the only `unsafe` of the product.
//!
//! Each has a safe twin beside the definition of its function, with which the tests compare it on every processor that
//! can run it. What is `unsafe` is of three kinds: the call of a function that was compiled for instructions that not
//! every processor has, by a type that only its `detect` makes, which found them; the load of a whole array into a
//! register of its length, or the store of one; and the hint of a prefetch, which reads nothing.
#![expect(unsafe_code, reason = "functions compiled for instructions may be called only where these were detected")]

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

mod aesni;
mod gear;
mod vaes;
mod window;

pub(crate) use aesni::AesNi;
pub(crate) use gear::{LANES as GEAR_LANES, Vbmi};
pub(crate) use vaes::Vaes;
pub(crate) use window::Wide;

/// Asks for memory so far behind the beginning of `bytes`, whatever lies there.
#[inline]
fn prefetch(bytes: &[u8], ahead: usize) {
    // SAFETY: a prefetch is a hint that reads nothing and never faults, also of an address that is nobody's.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(ahead).cast()) }
}
