//! What the crate promises, seen from outside.
#![cfg(test)]

mod primitives;
mod secrecy;
mod tamper;
mod unlock;

/// The bytes of a hex string; `-` stands for none.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let text = text.trim_matches('-').as_bytes();
    let pairs = text.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// The fields of each line of a vector file that is no comment.
pub(crate) fn vectors(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}
