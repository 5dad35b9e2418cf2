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

/// Variables, an empty one, arguments, with NUL between.
const COMMAND_LINES: [(&str, &[u8]); 13] = [
    ("backup", b"VELLUM_REPOSITORY=/r\x00VELLUM_KEY_FILE=/k\x00\x00backup\x00--tag\x00a,b\x00--exclude\x00*.o\x00--exclude-larger-than\x001G\x00--time\x002026-11-21 18:30:00\x00-x\x00/home"),
    ("command", b"\x00backup\x00--stdin-filename\x00x\x00--from-command\x00--\x00sh\x00-c\x00true"),
    ("restore", b"\x00-r\x00/r\x00restore\x00latest~2:/home/me\x00/t\x00--include\x00*.txt\x00--overwrite\x00if-newer\x00--sparse\x00--host\x00h"),
    ("forget", b"\x00forget\x00--keep-last\x003\x00--keep-within\x001y5m7d2h\x00--keep-tag\x00a\x00--group-by\x00host,paths\x00--prune\x00--max-unused\x005%\x00--grace\x007d\x00--timezone\x00UTC"),
    ("forget-nothing", b"\x00forget\x00--keep-last\x000\x00--allow-empty"),
    ("forget-named", b"\x00forget\x00latest\x00--keep-daily\x007"),
    ("contradiction", b"VELLUM_PASSWORD=p\x00\x00snapshots\x00--password-file\x00a\x00--key-file\x00b\x00-q\x00-v"),
    ("check", b"VELLUM_JSON=1\x00NO_COLOR=1\x00\x00check\x00--sample\x003/7\x00--restore-test\x002\x00--threads\x001"),
    ("threads", b"VELLUM_THREADS=\xff7\x00\x00stats"),
    ("key", b"USER=me\x00HOME=/home/me\x00XDG_CACHE_HOME=x\x00\x00key\x00add\x00--key-file\x00f\x00--label\x00l"),
    ("cat", b"\x00cat\x00tree\x002026-11-21:/"),
    ("init", b"\x00init\x00--chunker\x00gear\x00--level\x0022\x00--parity\x00off\x00-P\x00work"),
    ("bytes", b"VELLUM_PASSWORD_FILE=\xfe\x00\x00ls\x00\xff:/\xfe\x00--recursive"),
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
    COMMAND_LINES.iter().for_each(|(value, line)| write("command_line", value, line));
}

fn byte(digits: &[u8]) -> u8 {
    let digits = std::str::from_utf8(digits).expect("hex digits");
    u8::from_str_radix(digits, 16).expect("hex digits")
}
