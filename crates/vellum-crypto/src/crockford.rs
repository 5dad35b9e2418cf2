//! Crockford's base 32: digits and letters without I, L, O and U, for what people read aloud and type.

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The `index`-th group of five bits of `bytes`, most significant first, as in RFC 4648; zero bits follow the end.
pub(crate) fn value_at(bytes: &[u8], index: usize) -> u8 {
    let (byte, shift) = (5 * index / 8, 5 * index % 8);
    let at = |byte: usize| bytes.get(byte).copied().unwrap_or(0);
    let window = u16::from_le_bytes([at(byte + 1), at(byte)]);
    (window >> (11 - shift)).to_le_bytes()[0] & 31
}

/// Writes the `index`-th group of five bits of `bytes`, which are zero there.
pub(crate) fn put_value(bytes: &mut [u8], index: usize, value: u8) {
    let (byte, shift) = (5 * index / 8, 5 * index % 8);
    let [low, high] = (u16::from(value) << (11 - shift)).to_le_bytes();
    bytes[byte] |= high;
    if let Some(next) = bytes.get_mut(byte + 1) {
        *next |= low;
    }
}

/// The symbol of a value below 32.
pub(crate) fn symbol(value: u8) -> char {
    ALPHABET[usize::from(value)].into()
}

/// The value of a symbol, in either case; I and L are read as 1 and O as 0.
pub(crate) fn value_of(symbol: char) -> Option<u8> {
    let symbol = match symbol.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        other => other,
    };
    ALPHABET.iter().position(|byte| char::from(*byte) == symbol).and_then(|value| u8::try_from(value).ok())
}

/// Appends symbols in groups of four with dashes between.
pub(crate) fn push_grouped(values: impl Iterator<Item = u8>, text: &mut String) {
    for (index, value) in values.enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push('-');
        }
        text.push(symbol(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_five_bits_as_in_rfc_4648() {
        let values: Vec<u8> = (0..8).map(|index| value_at(b"foobar", index)).collect();
        assert_eq!(values, [12, 25, 23, 22, 30, 24, 19, 1]); // "MZXW6YTB" there
        assert_eq!((8..10).map(|index| value_at(b"foobar", index)).collect::<Vec<_>>(), [14, 8]); // "OI"
        let mut back = [0; 6];
        (0..10).for_each(|index| put_value(&mut back, index, value_at(b"foobar", index)));
        assert_eq!(&back, b"foobar");
    }

    #[test]
    fn symbols_and_their_look_alikes() {
        for value in 0..32 {
            assert_eq!(value_of(symbol(value)), Some(value));
            assert_eq!(value_of(symbol(value).to_ascii_lowercase()), Some(value));
        }
        assert_eq!("iIlLoO".chars().map(value_of).collect::<Option<Vec<_>>>(), Some(vec![1, 1, 1, 1, 0, 0]));
        assert!("uU-!é".chars().all(|symbol| value_of(symbol).is_none()));
    }
}
