//! What a user has or knows: a password, a key file or a recovery key.

use crate::derive::{self, derive_key};
use crate::{RandomError, Secret, crockford};
use zeroize::Zeroizing;

/// A way to unlock that the user presents.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// The bytes of a password, as typed; normalising them is the caller's task, once and for all.
    Password(&'a [u8]),
    /// A key file.
    KeyFile(&'a KeyFile),
    /// A recovery key.
    RecoveryKey(&'a RecoveryKey),
}

impl Credential<'_> {
    /// The kind of slot that it opens, as slot headers spell it.
    #[must_use]
    pub fn slot_kind(&self) -> &'static str {
        match self {
            Self::Password(_) => "password",
            Self::KeyFile(_) => "key-file",
            Self::RecoveryKey(_) => "recovery",
        }
    }
}

/// A key file: one line, `vellum-key-1` and 32 random bytes in lower-case hex.
#[derive(PartialEq, Eq)]
pub struct KeyFile(Secret<32>);

/// Why bytes are no key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseKeyFileError {
    /// It does not start with `vellum-key-1` and a space.
    #[error("this is not a Vellum key file: it does not start with \"vellum-key-1 \"")]
    NotAKeyFile,
    /// The key has too few or too many digits, or something follows it.
    #[error("the key has {digits} digits instead of 64; is the file cut short, or was something added?")]
    Length {
        /// Bytes after the start, line end excluded.
        digits: usize,
    },
    /// A byte that is no lower-case hex digit.
    #[error("digit {position} of the key is none of 0 to 9 and a to f")]
    Digit {
        /// Which digit, counted from 1.
        position: usize,
    },
}

impl KeyFile {
    const START: &[u8] = b"vellum-key-1 ";
    const DIGITS: usize = 64;

    /// A fresh key.
    ///
    /// # Errors
    /// [`RandomError`] when the operating system has no random numbers.
    pub fn generate() -> Result<Self, RandomError> {
        Secret::random().map(Self)
    }

    /// The content of the file, line end included.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut line = Zeroizing::new(Vec::with_capacity(Self::START.len() + Self::DIGITS + 1));
        line.extend_from_slice(Self::START);
        for byte in self.0.expose() {
            line.extend([byte >> 4, byte & 15].map(|value| b"0123456789abcdef"[usize::from(value)]));
        }
        line.push(b'\n');
        line
    }

    /// Parses the content of a file: exactly what [`KeyFile::encode`] writes, with or without its line end (`\n` or
    /// `\r\n`).
    ///
    /// # Errors
    /// [`ParseKeyFileError`] says what is wrong.
    pub fn parse(content: &[u8]) -> Result<Self, ParseKeyFileError> {
        let digits = content.strip_prefix(Self::START).ok_or(ParseKeyFileError::NotAKeyFile)?;
        let digits = digits.strip_suffix(b"\n").map_or(digits, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if digits.len() != Self::DIGITS {
            return Err(ParseKeyFileError::Length { digits: digits.len() });
        }
        let value = |position: usize| match digits[position] {
            digit @ b'0'..=b'9' => Ok(digit - b'0'),
            digit @ b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(ParseKeyFileError::Digit { position: position + 1 }),
        };
        let mut bytes = Zeroizing::new([0; 32]);
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = value(2 * index)? << 4 | value(2 * index + 1)?;
        }
        Ok(Self(Secret::copy_of(&bytes)))
    }

    /// The seed of a slot: `DK("key-file-seed", key ‖ salt)`, so that slots of one key file do not look related.
    pub(crate) fn seed(&self, salt: &[u8; 32]) -> Secret<32> {
        derive_key(derive::KEY_FILE_SEED, &[self.0.expose(), salt])
    }
}

/// A recovery key: 125 random bits and a checksum of 15, as 28 symbols of Crockford's base 32 in groups of four.
///
/// It is as strong as a random key, so its slot needs no slow password function; the checksum finds typing errors
/// without a repository at hand and misses one in 32,768.
#[derive(PartialEq, Eq)]
pub struct RecoveryKey(Secret<16>);

/// Why text is no recovery key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseRecoveryKeyError {
    /// A character that no recovery key has.
    #[error("symbol {position} of the recovery key, {found:?}, is neither a digit nor one of its letters")]
    Symbol {
        /// Which symbol, counted from 1 without spaces and dashes.
        position: usize,
        /// The character.
        found: char,
    },
    /// Too few or too many symbols.
    #[error("the recovery key has {found} symbols instead of 28")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// The right number of symbols, but not all of them right.
    #[error("a symbol of the recovery key is wrong: its checksum does not match")]
    Checksum,
}

impl RecoveryKey {
    const SECRET_SYMBOLS: usize = 25;
    const CHECK_SYMBOLS: usize = 3;
    const SYMBOLS: usize = Self::SECRET_SYMBOLS + Self::CHECK_SYMBOLS;
    const GROUPED_LEN: usize = Self::SYMBOLS + Self::SYMBOLS / 4 - 1;

    /// A fresh recovery key.
    ///
    /// # Errors
    /// [`RandomError`] when the operating system has no random numbers.
    pub fn generate() -> Result<Self, RandomError> {
        Ok(Self::of_random(&Secret::random()?))
    }

    /// The first 125 of 128 random bits; the others become zero.
    pub(crate) fn of_random(random: &Secret<16>) -> Self {
        Self(Secret::filled_by(|secret| {
            secret.copy_from_slice(random.expose());
            secret[15] &= 0b1111_1000;
        }))
    }

    /// The text to write down: seven groups of four, with dashes between.
    #[must_use]
    pub fn format(&self) -> Zeroizing<String> {
        let check = self.check();
        let secret = (0..Self::SECRET_SYMBOLS).map(|index| crockford::value_at(self.0.expose(), index));
        let check = (0..Self::CHECK_SYMBOLS).map(|index| crockford::value_at(&check, index));
        let mut text = Zeroizing::new(String::with_capacity(Self::GROUPED_LEN));
        crockford::push_grouped(secret.chain(check), &mut text);
        text
    }

    /// Parses what a person typed: either case, I and L for 1, O for 0, spaces and dashes anywhere.
    ///
    /// # Errors
    /// [`ParseRecoveryKeyError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, ParseRecoveryKeyError> {
        let mut values = Zeroizing::new([0; Self::SYMBOLS]);
        let mut found = 0;
        for symbol in text.chars().filter(|symbol| !symbol.is_whitespace() && *symbol != '-') {
            let value = crockford::value_of(symbol);
            let value = value.ok_or(ParseRecoveryKeyError::Symbol { position: found + 1, found: symbol })?;
            if let Some(slot) = values.get_mut(found) {
                *slot = value;
            }
            found += 1;
        }
        if found != Self::SYMBOLS {
            return Err(ParseRecoveryKeyError::Length { found });
        }
        let (secret, check) = values.split_at(Self::SECRET_SYMBOLS);
        let key = Self(Secret::filled_by(|bytes| {
            secret.iter().enumerate().for_each(|(index, value)| crockford::put_value(bytes, index, *value));
        }));
        let expected = key.check();
        match check.iter().enumerate().all(|(index, value)| crockford::value_at(&expected, index) == *value) {
            true => Ok(key),
            false => Err(ParseRecoveryKeyError::Checksum),
        }
    }

    /// The checksum: the first 15 bits of `DK("rk-check", key)`.
    fn check(&self) -> [u8; 2] {
        let [first, second, ..] = *derive_key(derive::RECOVERY_CHECK, &[self.0.expose()]).expose();
        [first, second]
    }

    /// The seed of a slot: `DK("rk-seed", key ‖ repository)`.
    pub(crate) fn seed(&self, repository: vellum_format::RepositoryId) -> Secret<32> {
        derive_key(derive::RECOVERY_SEED, &[self.0.expose(), repository.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixed(byte: u8) -> RecoveryKey {
        RecoveryKey::of_random(&Secret::copy_of(&[byte; 16]))
    }

    #[test]
    fn every_single_wrong_symbol_of_fixed_keys_is_found() {
        for byte in 0..10 {
            let text = fixed(byte).format();
            for (at, right) in text.char_indices().filter(|(_, symbol)| *symbol != '-') {
                for wrong in (0..32).map(crockford::symbol).filter(|symbol| *symbol != right) {
                    let mut typed = text.clone();
                    typed.replace_range(at..=at, wrong.encode_utf8(&mut [0; 4]));
                    assert_eq!(RecoveryKey::parse(&typed).err(), Some(ParseRecoveryKeyError::Checksum), "{byte} {at}");
                }
            }
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let text = fixed(2).format();
        let error = |text: &str| RecoveryKey::parse(text).err();
        assert_eq!(error(&text[..text.len() - 1]), Some(ParseRecoveryKeyError::Length { found: 27 }));
        assert_eq!(error(&format!("{}0", *text)), Some(ParseRecoveryKeyError::Length { found: 29 }));
        assert_eq!(error(""), Some(ParseRecoveryKeyError::Length { found: 0 }));
        assert_eq!(error("0000-0U"), Some(ParseRecoveryKeyError::Symbol { position: 6, found: 'U' }));
    }

    #[test]
    fn key_file_round_trip_and_refusals() {
        let key = KeyFile::generate().unwrap();
        let line = key.encode();
        assert_eq!(line.len(), 78);
        assert!(KeyFile::parse(&line) == Ok(key));
        let text = &line[..77];
        assert!(KeyFile::parse(text).is_ok());
        assert!(KeyFile::parse(&[text, b"\r\n"].concat()).is_ok());
        let error = |content: &[u8]| KeyFile::parse(content).err();
        assert_eq!(error(b"vellum-key-2 00"), Some(ParseKeyFileError::NotAKeyFile));
        assert_eq!(error(&line[..76]), Some(ParseKeyFileError::Length { digits: 63 }));
        assert_eq!(error(&[text, b"\n\n"].concat()), Some(ParseKeyFileError::Length { digits: 65 }));
        assert_eq!(error(&[text, b" "].concat()), Some(ParseKeyFileError::Length { digits: 65 }));
        let mut upper = text.to_vec();
        upper[13 + 5] = b'A';
        assert_eq!(error(&upper), Some(ParseKeyFileError::Digit { position: 6 }));
    }

    proptest! {
        #[test]
        fn recovery_keys_survive_how_people_type(
            random in any::<[u8; 16]>(), separators in proptest::collection::vec(0..4usize, 28), lower in any::<bool>()
        ) {
            let key = RecoveryKey::of_random(&Secret::copy_of(&random));
            let text = key.format();
            prop_assert_eq!(text.len(), RecoveryKey::GROUPED_LEN);
            let mut typed = String::new();
            for (symbol, separator) in text.chars().filter(|symbol| *symbol != '-').zip(separators) {
                typed.push(match symbol { '1' => 'l', '0' => 'O', other => other });
                typed.push_str(["", "-", " ", " - "][separator]);
            }
            let typed = if lower { typed.to_lowercase() } else { typed };
            prop_assert!(RecoveryKey::parse(&typed) == Ok(key));
        }

        #[test]
        fn hostile_text_does_not_panic(text in ".{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            drop(RecoveryKey::parse(&text));
            drop(KeyFile::parse(&bytes));
            drop(KeyFile::parse(&[KeyFile::START, &bytes].concat()));
        }
    }
}
