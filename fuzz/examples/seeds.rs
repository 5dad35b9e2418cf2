//! Writes `seeds/TARGET/VALUE`: what the golden encodings hold for each target, and the texts below.

use std::fs;
use std::path::Path;
use vellum_fuzz::TARGETS;

const ENCODINGS: &str = "../fixtures/formats/v1/encodings.txt";

const KEY_FILE: &str = "vellum-key-1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

const TEXTS: [(&str, &str, &str); 11] = [
    ("recovery_key", "grouped", "RF1W-7GY3-RF1W-7GY3-RF1W-7GY3-R0GD"),
    ("recovery_key", "as-typed", "rflw 7gy3 rflw 7gy3-rflw-7gy3-rOgd"),
    ("head_code", "grouped", "CSQP-YRK1-E893"),
    ("head_code", "as-typed", "csqp yrkl-e893"),
    ("filter", "plain", "*.o\n/a/b.o"),
    ("filter", "anchored", "/a/*/c\n/a/b/c"),
    ("filter", "across", "/a/**/c\n/a/b/b/c"),
    ("filter", "takes-back", "*.o\n!keep.o\n/a/keep.o"),
    ("filter", "alternatives", "*.{jpg,png}\n[a-z]?[!0-9]\n/x.png"),
    ("filter", "folder", "cache/\n/a/cache/b"),
    ("filter", "escaped", "\\*\\[\n/*["),
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let write = |target: &str, value: &str, bytes: &[u8]| {
        assert!(TARGETS.iter().any(|(name, _)| *name == target), "{target} is no target");
        let folder = root.join("seeds").join(target);
        fs::create_dir_all(&folder).expect("a folder for seeds");
        fs::write(folder.join(value), bytes).expect("a seed");
    };
    let encodings = fs::read_to_string(root.join(ENCODINGS)).expect("the golden encodings");
    for line in encodings.lines().filter(|line| !line.starts_with('#')) {
        let (name, digits) = line.split_once(' ').expect("a name and its bytes");
        let (structure, value) = name.split_once('/').expect("a structure and a value");
        let bytes: Vec<u8> = digits.as_bytes().chunks(2).map(byte).collect();
        match structure {
            "padme_len" => {} // an encoder's output: nothing decodes it
            "tree_stream" => write(structure, value, &[&[7], &bytes[..]].concat()),
            _ => write(structure, value, &bytes),
        }
    }
    write("key_file", "line", format!("{KEY_FILE}\n").as_bytes());
    write("key_file", "crlf", format!("{KEY_FILE}\r\n").as_bytes());
    TEXTS.iter().for_each(|(target, value, text)| write(target, value, text.as_bytes()));
}

fn byte(digits: &[u8]) -> u8 {
    let digits = std::str::from_utf8(digits).expect("hex digits");
    u8::from_str_radix(digits, 16).expect("hex digits")
}
