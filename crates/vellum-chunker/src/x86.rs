//! Searches for the cut points of a function with instructions of x86-64, and the only `unsafe` of the product.
//!
//! Each has a safe twin beside the definition of its function, with which the tests compare it on every processor that
//! can run it. What is `unsafe` is of three kinds: the call of a function that was compiled for instructions that not
//! every processor has, by a type that only its `detect` makes, which found them; the load of a whole array into a
//! register of its length; and the hint of a prefetch, which reads nothing.
#![expect(unsafe_code, reason = "functions compiled for instructions may be called only where these were detected")]

mod aesni;
mod vaes;
mod window;

pub(crate) use aesni::AesNi;
pub(crate) use vaes::Vaes;
pub(crate) use window::Wide;
