//! The documents against the repository: paths, links, invariants, and what `docs/FORMAT.md` says in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use vellum_faults::Point;
use vellum_format::catalog;
use vellum_format::content::{ChunkRef, Content};
use vellum_format::deletion;
use vellum_format::key_manifest::SignedKeyManifest;
use vellum_format::pack::{Directory, PackHeader, PackTrailer, PackedChunk};
use vellum_format::parity::{Parity, ParityLayout, ParityTable};
use vellum_format::snapshot::{self, Timestamp};
use vellum_format::tombstone;
use vellum_format::tree::{Node, TreeDecoder};
use vellum_format::verification::{self, CheckRun, PackReading};
use vellum_format::{Bytes, FORMAT_VERSION, FixedBytes, RepositoryId, SUITE, SealedHeader, limits, padme_len};

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the checkout").to_owned()
}

/// A text file by its path from the root.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Markdown table by its header line; of several with one header, the first.
pub(crate) fn tables(text: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut tables = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(header) = lines.next() {
        if !(header.starts_with('|') && lines.next_if(|line| line.starts_with("| ---")).is_some()) {
            continue;
        }
        let mut rows = Vec::new();
        while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
            rows.push(row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect());
        }
        tables.entry(header.to_owned()).or_insert(rows);
    }
    tables
}

/// Every document with its path from the root.
fn documents() -> Vec<(String, String)> {
    let mut paths = vec!["README.md".to_owned(), "fixtures/README.md".to_owned()];
    paths.extend(files_below("docs", "md"));
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// Paths from the root of all files below a folder with this extension, without build output.
fn files_below(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(root().join(&folder)) else { continue };
        for entry in entries {
            let entry = entry.expect("a listing");
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            match entry.file_type().expect("a kind").is_dir() {
                true if !path.ends_with("/target") => open.push(path),
                false if path.ends_with(&format!(".{extension}")) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// The text without its fenced blocks, which hold programs and bytes.
fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// What stands between backticks.
fn in_backticks(text: &str) -> Vec<String> {
    let lines = prose(text);
    lines.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The folders at the root whose content documents name.
const FOLDERS: [&str; 8] = [".ci", "benches", "crates", "docs", "fixtures", "fuzz", "tests", "torture"];

/// A path of the checkout starts with one of its folders, or is a file of source or text by its ending. Commands,
/// patterns and paths of repositories are none.
fn names_a_path(text: &str) -> bool {
    let is_plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    let first = text.split('/').next().unwrap_or_default();
    let in_folder = text.contains('/') && FOLDERS.contains(&first);
    is_plain && (in_folder || text.ends_with(".rs") || text.ends_with(".md"))
}

#[test]
fn every_path_in_the_documents_exists() {
    let sources: Vec<String> = FOLDERS.iter().flat_map(|folder| files_below(folder, "rs")).collect();
    let mut missing = Vec::new();
    let mut count = 0;
    for (document, text) in documents() {
        for path in in_backticks(&text).into_iter().filter(|text| names_a_path(text)) {
            count += 1;
            // A source file may be named by its end alone, as in "beside `gear.rs`".
            let by_its_end = || sources.iter().any(|source| source.ends_with(&format!("/{path}")));
            let exists = root().join(&path).exists() || path.ends_with(".rs") && by_its_end();
            if !exists {
                missing.push(format!("{document} names {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 100, "the rule for what is a path finds only {count}");
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for (document, text) in documents() {
        let folder = root().join(&document).parent().expect("a file has a folder").to_owned();
        for link in prose(&text).split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.starts_with("http") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { root().join(&document) } else { folder.join(path) };
            let leads = match (target.is_file(), heading) {
                (_, "") => target.exists(),
                (true, heading) => headings(&fs::read_to_string(&target).expect("a text")).contains(heading),
                (false, _) => false,
            };
            if !leads {
                broken.push(format!("{document} links to {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The anchors of a document's headings.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = prose(text);
    let titles = titles.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |title: &str| {
        let kept = |letter: &char| letter.is_alphanumeric() || *letter == ' ' || *letter == '-';
        title.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
    };
    titles.map(anchor).collect()
}

/// `I3`, `N1` and the like: a letter of a family of invariants and a number.
fn invariants_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let is_number = |word: &&str| {
        let rest = word.strip_prefix(['P', 'I', 'N', 'L', 'D']);
        rest.is_some_and(|rest| !rest.is_empty() && rest.len() <= 2 && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    words.filter(is_number).map(str::to_owned).collect()
}

#[test]
fn invariants_are_cited_and_every_citation_stands_in_the_list() {
    let mut cited = BTreeMap::<String, String>::new();
    for path in ["crates", "tests", "benches", "fuzz", "torture"].iter().flat_map(|folder| files_below(folder, "rs")) {
        if path == "tests/it/docs.rs" {
            continue;
        }
        let source = read(&path);
        for comment in source.lines().filter_map(|line| line.split_once("//")).map(|(_, comment)| comment) {
            cited.extend(invariants_in(comment).into_iter().map(|number| (number, path.clone())));
        }
    }
    let list = read("docs/INVARIANTS.md");
    let headings = || list.lines().filter_map(|line| line.strip_prefix("### "));
    let number = |heading: &str| heading.split(' ').next().expect("a split has a first part").to_owned();
    let listed: BTreeSet<String> = headings().map(number).collect();
    assert_eq!(listed.len(), headings().count(), "no number is given twice");
    let waiting: BTreeSet<String> =
        headings().filter(|heading| heading.ends_with("(not cited yet)")).map(number).collect();
    let unknown: Vec<_> = cited.iter().filter(|(number, _)| !listed.contains(*number)).collect();
    assert!(unknown.is_empty(), "cited, but not in docs/INVARIANTS.md: {unknown:?}");
    let uncited: Vec<_> = listed
        .iter()
        .filter(|number| !(cited.contains_key(*number) || waiting.contains(*number) || number.starts_with('P')))
        .collect();
    assert!(uncited.is_empty(), "in docs/INVARIANTS.md, but cited nowhere: {uncited:?}");
    let cited_now: Vec<_> = waiting.iter().filter(|number| cited.contains_key(*number)).collect();
    assert!(cited_now.is_empty(), "cited now, so docs/INVARIANTS.md need not say that they are not: {cited_now:?}");
    let mentioned: BTreeSet<String> = documents().iter().flat_map(|(_, text)| invariants_in(&prose(text))).collect();
    let gone: Vec<_> = mentioned.difference(&listed).collect();
    assert!(gone.is_empty(), "mentioned in a document, but not in docs/INVARIANTS.md: {gone:?}");
}

/// The value of `const NAME: … = VALUE;` in a source file, for constants that no other crate can name. Decimal; a
/// range has both ends.
fn written(path: &str, name: &str) -> String {
    let source = read(path);
    let start = format!("const {name}: ");
    let line = source.lines().map(str::trim_start).find_map(|line| {
        let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        line.strip_prefix(&start)
    });
    let line = line.unwrap_or_else(|| panic!("{path} has a constant {name}"));
    let (_, value) = line.split_once(" = ").expect("a constant has a value");
    let number = |text: &str| {
        let parts: Vec<u64> = text
            .split("<<")
            .map(|part| part.trim().replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is {text}")))
            .collect();
        match parts[..] {
            [number] => number,
            [number, bits] => number << bits,
            _ => panic!("{name} is {text}"),
        }
    };
    match value.trim_end_matches(';').split_once("..=") {
        None => number(value.trim_end_matches(';')).to_string(),
        Some((low, high)) => format!("{} to {}", number(low), number(high)),
    }
}

/// The constants of format version 1 as the code has them.
fn constants() -> BTreeMap<&'static str, String> {
    let magic = |bytes: &[u8]| format!("`{}`", std::str::from_utf8(&bytes[..8]).expect("magics are text"));
    let pack = PackHeader {
        parity: Parity::None,
        epoch: 1,
        scope: RepositoryId::from_bytes([0; 16]),
        salt: [0; 32],
        body_len_bytes: 0,
    };
    let keys = SignedKeyManifest { manifest: Bytes(Vec::new()), signature: FixedBytes([0; 64]) };
    let config = vellum_format::repository_config::RepositoryConfig {
        repository: RepositoryId::from_bytes([0; 16]),
        created: Timestamp { seconds: 0, nanoseconds: 0 },
        owner: FixedBytes([0; 32]),
        pack_len_bytes: 0,
        frame_len_bytes: 0,
        parity: Parity::None,
        classes: Vec::new(),
        must_understand: Vec::new(),
        may_ignore: Vec::new(),
    };
    let start = Directory::encoded_len(&[], 0, 0);
    let target = limits::PACK_TARGET_LEN_BYTES;
    let repository = |name| written("crates/vellum-repository/src/pack_writer.rs", name);
    let slot = |name| written("crates/vellum-crypto/src/slot.rs", name);
    BTreeMap::from([
        ("FORMAT_VERSION", FORMAT_VERSION.to_string()),
        ("SUITE", SUITE.to_string()),
        ("MAGIC_CONFIG", magic(&config.encode())),
        ("MAGIC_KEY_MANIFEST", magic(&keys.encode())),
        ("MAGIC_PACK", magic(&pack.encode())),
        ("MAGIC_PARITY_TABLE", magic(&ParityTable::MAGIC)),
        ("PARITY_TABLE_END_LEN", ParityTable::END_LEN.to_string()),
        ("SHARD_TAG_LEN", ParityTable::TAG_LEN.to_string()),
        ("SHARD_STEP", ParityLayout::SHARD_STEP.to_string()),
        ("DATA_SHARDS_MAX", ParityLayout::DATA_SHARDS_MAX.to_string()),
        ("PARITY_SHARDS", ParityLayout::PARITY_SHARDS.to_string()),
        ("MAGIC_CATALOG", magic(&catalog::MAGIC)),
        ("MAGIC_SNAPSHOT", magic(&snapshot::MAGIC)),
        ("INTENT_MAGIC", magic(&deletion::INTENT_MAGIC)),
        ("CONDEMNED_MAGIC", magic(&deletion::CONDEMNED_MAGIC)),
        ("FENCE_MAGIC", magic(&deletion::FENCE_MAGIC)),
        ("MAGIC_TOMBSTONE", magic(&tombstone::MAGIC)),
        ("MAGIC_VERIFICATION", magic(&verification::MAGIC)),
        ("CHECK_RUN_LEN", CheckRun::ENCODED_LEN.to_string()),
        ("PACK_READING_LEN", PackReading::ENCODED_LEN.to_string()),
        ("SEALED_HEADER_LEN", SealedHeader::ENCODED_LEN.to_string()),
        ("PACK_HEADER_LEN", PackHeader::ENCODED_LEN.to_string()),
        ("PACK_TRAILER_LEN", PackTrailer::ENCODED_LEN.to_string()),
        ("DIRECTORY_START_LEN", start.to_string()),
        ("WRAP_START_LEN", (Directory::encoded_len(&[0], 0, 0) - start).to_string()),
        ("FRAME_LEN", (Directory::encoded_len(&[], 1, 0) - start).to_string()),
        ("PACKED_CHUNK_LEN", PackedChunk::ENCODED_LEN.to_string()),
        ("CHUNK_REF_LEN", ChunkRef::ENCODED_LEN.to_string()),
        ("DIRECT_MAX", Content::DIRECT_MAX.to_string()),
        ("FLOOR", padme_len(0).to_string()),
        ("DIRECTORY_PADDING_BYTES", repository("DIRECTORY_PADDING_BYTES")),
        ("CONFIG_LEN_BYTES_MAX", limits::CONFIG_LEN_BYTES_MAX.to_string()),
        ("KEY_MANIFEST_LEN_BYTES_MAX", limits::KEY_MANIFEST_LEN_BYTES_MAX.to_string()),
        ("SLOTS_MAX", limits::SLOTS_MAX.to_string()),
        ("RINGS_MAX", limits::RINGS_MAX.to_string()),
        ("HEADER_LEN_BYTES_MAX", slot("HEADER_LEN_BYTES_MAX")),
        ("SLOT_LABEL_LEN_BYTES_MAX", slot("SLOT_LABEL_LEN_BYTES_MAX")),
        ("MEMORY_KIB", slot("MEMORY_KIB")),
        ("PASSES", slot("PASSES")),
        ("LANES", slot("LANES")),
        ("SNAPSHOT_LEN_BYTES_MAX", limits::SNAPSHOT_LEN_BYTES_MAX.to_string()),
        ("SNAPSHOT_PATHS_MAX", limits::SNAPSHOT_PATHS_MAX.to_string()),
        ("SNAPSHOT_SEEN_MAX", limits::SNAPSHOT_SEEN_MAX.to_string()),
        ("RECORD_LEN_BYTES_MAX", limits::RECORD_LEN_BYTES_MAX.to_string()),
        ("RECORD_NAMES_MAX", limits::RECORD_NAMES_MAX.to_string()),
        ("VERIFICATION_LEN_BYTES_MAX", limits::VERIFICATION_LEN_BYTES_MAX.to_string()),
        ("VERIFICATION_PACKS_MAX", limits::VERIFICATION_PACKS_MAX.to_string()),
        ("VERIFICATION_RUNS_MAX", limits::VERIFICATION_RUNS_MAX.to_string()),
        ("TOMBSTONE_LEN_BYTES_MAX", limits::TOMBSTONE_LEN_BYTES_MAX.to_string()),
        ("TOMBSTONE_REMOVED_MAX", limits::TOMBSTONE_REMOVED_MAX.to_string()),
        ("TOMBSTONE_REASON_LEN_BYTES_MAX", limits::TOMBSTONE_REASON_LEN_BYTES_MAX.to_string()),
        ("CATALOG_LEN_BYTES_MAX", limits::CATALOG_LEN_BYTES_MAX.to_string()),
        ("CATALOG_PACKS_MAX", limits::CATALOG_PACKS_MAX.to_string()),
        ("PACK_LEN_BYTES_MAX", limits::PACK_LEN_BYTES_MAX.to_string()),
        ("PACK_TARGET_LEN_BYTES", format!("{} to {}", target.start(), target.end())),
        ("DIRECTORY_LEN_BYTES_MAX", limits::DIRECTORY_LEN_BYTES_MAX.to_string()),
        ("PACK_FRAMES_MAX", limits::PACK_FRAMES_MAX.to_string()),
        ("PACK_CHUNKS_MAX", limits::PACK_CHUNKS_MAX.to_string()),
        ("PACK_WRAPS_MAX", limits::PACK_WRAPS_MAX.to_string()),
        ("WRAP_LEN_BYTES_MAX", limits::WRAP_LEN_BYTES_MAX.to_string()),
        ("FRAME_PLAIN_LEN_BYTES_MAX", limits::FRAME_PLAIN_LEN_BYTES_MAX.to_string()),
        ("CHUNK_LEN_BYTES_MAX", limits::CHUNK_LEN_BYTES_MAX.to_string()),
        ("ENTRY_LEN_BYTES_MAX", limits::ENTRY_LEN_BYTES_MAX.to_string()),
        ("ENTRY_NAME_LEN_BYTES_MAX", limits::ENTRY_NAME_LEN_BYTES_MAX.to_string()),
        ("CONTENT_DEPTH_MAX", limits::CONTENT_DEPTH_MAX.to_string()),
        ("TREE_DEPTH_MAX", limits::TREE_DEPTH_MAX.to_string()),
        ("PATH_LEN_BYTES_MAX", limits::PATH_LEN_BYTES_MAX.to_string()),
    ])
}

#[test]
fn the_constants_of_the_format_are_those_of_the_code() {
    let format = read("docs/FORMAT.md");
    let table = tables(&format).remove("| constant | value | bounds |").expect("there is a table of constants");
    let written: BTreeMap<&str, String> = table.iter().map(|row| (row[0].trim_matches('`'), row[1].clone())).collect();
    let constants = constants();
    let names: BTreeSet<&str> = constants.keys().chain(written.keys()).copied().collect();
    let different: Vec<_> = names
        .into_iter()
        .map(|name| (name, written.get(name), constants.get(name)))
        .filter(|(_, written, code)| written != code)
        .collect();
    assert!(different.is_empty(), "name, docs/FORMAT.md, code: {different:#?}");
    let limits = read("crates/vellum-format/src/limits.rs");
    let limits = limits.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(':'));
    let missing: Vec<&str> = limits.map(|(name, _)| name).filter(|name| !written.contains_key(name)).collect();
    assert!(missing.is_empty(), "limits that docs/FORMAT.md does not list: {missing:?}");
}

#[test]
fn the_fault_points_are_those_of_the_code() {
    let testing = read("docs/TESTING.md");
    let table = tables(&testing).remove("| fault point | reached |").expect("there is a table of fault points");
    let written: Vec<_> = table.iter().map(|row| (row[0].trim_matches('`'), row[1].as_str())).collect();
    let points: Vec<_> = Point::ALL.iter().map(|point| (point.name(), point.when())).collect();
    assert_eq!(written, points);
}

/// The text between quotes in each line of a block of source, from the line that ends with `start` to a line `}`.
fn quoted(source: &str, start: &str) -> BTreeSet<String> {
    let lines = source.lines().skip_while(|line| !line.ends_with(start)).skip(1);
    let lines = lines.take_while(|line| line.trim_end() != "}");
    lines.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

#[test]
fn labels_and_contexts_are_those_of_the_code() {
    let format = read("docs/FORMAT.md");
    let derive = read("crates/vellum-crypto/src/derive.rs");
    for (header, start) in
        [("| label | key | salt | ad | plaintext |", "mod label {"), ("| context | of | gives |", "contexts! {")]
    {
        let table = tables(&format).remove(header).unwrap_or_else(|| panic!("there is a table {header}"));
        let written: BTreeSet<String> = table.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
        assert_eq!(written, quoted(&derive, start), "{header}");
    }
    let prefix = derive.split("concat!(\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a prefix");
    assert!(format.contains(&format!("the ASCII text `{prefix}`")), "docs/FORMAT.md names the prefix {prefix:?}");
}

#[test]
fn the_example_entry_decodes() {
    let format = read("docs/FORMAT.md");
    let (_, example) = format.split_once("```text entry\n").expect("there is an example");
    let (example, _) = example.split_once("```").expect("it ends");
    let bytes: Vec<u8> = example
        .lines()
        .flat_map(|line| line.split("    ").next().expect("a split has a first part").split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits"))
        .collect();
    let mut entries = Vec::new();
    let mut decoder = TreeDecoder::default();
    decoder.push(&bytes, &mut |entry| entries.push(entry)).expect("an entry");
    decoder.finish().expect("nothing after it");
    let [entry] = &entries[..] else { panic!("one entry, not {}", entries.len()) };
    assert_eq!((entry.name.as_bytes(), &entry.node), (&b"lnk"[..], &Node::Symlink { target: b"a.txt".to_vec() }));
    assert_eq!((entry.metadata.mode, entry.metadata.modified.seconds), (0o777, 1_795_308_999));
    let mut again = Vec::new();
    entry.encode_into(&mut again);
    assert_eq!(again, bytes);
}
