//! A whole repository as text: config, slots, snapshots and everything in their trees.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use vellum::format::repository_config::ClassConfig;
use vellum::format::snapshot::{Summary, Timestamp};
use vellum::format::tree::{LinkGroup, Metadata, Node};
use vellum::{FrameCache, Repository, Snapshot, TreeWalk, WalkedEntry};

const FRAMES_CACHED: usize = 4;

/// What the repository holds, one line an item; equal repositories give equal text.
///
/// # Panics
/// When any part of the repository cannot be read.
pub(crate) fn describe(repository: &Repository) -> String {
    let config = repository.config();
    let mut text = format!(
        "config created={} pack={} frame={} owner={}\n",
        time(config.created),
        config.pack_len_bytes,
        config.frame_len_bytes,
        repository.owner_fingerprint()
    );
    config.classes.iter().for_each(|class| describe_class(class, &mut text));
    for slot in repository.slots() {
        let cost = slot.argon2id.map_or(String::new(), |(memory, passes, lanes)| format!(" {memory}/{passes}/{lanes}"));
        line(&mut text, format_args!("slot {} {} {}{cost} {:?}", slot.id, slot.role, slot.kind, slot.label));
    }
    let snapshots = repository.snapshots().expect("snapshots that can be listed");
    assert!(snapshots.damaged.is_empty(), "{:?}", snapshots.damaged);
    snapshots.snapshots.iter().for_each(|snapshot| describe_snapshot(repository, snapshot, &mut text));
    text
}

fn describe_class(class: &ClassConfig, text: &mut String) {
    let ClassConfig { name, chunker, compression_level } = class;
    let sizes = [chunker.min_len_bytes, chunker.avg_len_bytes, chunker.max_len_bytes];
    line(text, format_args!("class {name} {} {sizes:?} zstd={compression_level}", chunker.algorithm));
}

fn describe_snapshot(repository: &Repository, snapshot: &Snapshot, text: &mut String) {
    let manifest = &snapshot.manifest;
    line(
        text,
        format_args!(
            "snapshot time={} host={} user={} tags={:?} paths={:?} sequence={} follows={} seen={}",
            time(manifest.time),
            manifest.host.escape_ascii(),
            manifest.user,
            manifest.tags,
            manifest.paths,
            manifest.sequence,
            manifest.previous.is_some(),
            manifest.seen.len()
        ),
    );
    describe_summary(&manifest.summary, text);
    let cache = FrameCache::new(FRAMES_CACHED);
    let root = manifest.root.content().expect("a root that decodes");
    let mut first_names = BTreeMap::new();
    for walked in TreeWalk::new(repository, &cache, &root) {
        let walked = walked.unwrap_or_else(|(path, error)| panic!("{}: {error}", path.escape_ascii()));
        let entry = describe_entry(repository, &walked, &mut first_names);
        line(text, format_args!("  {entry}"));
    }
}

/// Not by `Debug`, which would name fields that later versions add.
fn describe_summary(summary: &Summary, text: &mut String) {
    let counts = [
        ("files", summary.files),
        ("folders", summary.folders),
        ("others", summary.others),
        ("bytes", summary.bytes),
        ("files_new", summary.files_new),
        ("files_changed", summary.files_changed),
        ("files_unchanged", summary.files_unchanged),
        ("chunks_new", summary.chunks_new),
        ("bytes_new", summary.bytes_new),
        ("bytes_stored", summary.bytes_stored),
        ("errors", summary.errors),
        ("duration_ms", summary.duration_ms),
    ];
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name}={count}")).collect();
    line(text, format_args!("  summary {}", counts.join(" ")));
}

fn describe_entry(
    repository: &Repository,
    walked: &WalkedEntry,
    first_names: &mut BTreeMap<LinkGroup, Vec<u8>>,
) -> String {
    let Metadata { mode, uid, gid, user, group, modified, xattrs, link_group } = &walked.entry.metadata;
    let node = match &walked.entry.node {
        Node::File { len_bytes, content, sparse } => {
            let mut hasher = blake3::Hasher::new();
            let read = vellum::read_stream(repository, &vellum::FrameCache::new(4), content, &mut hasher);
            assert_eq!(read.expect("chunks that can be read"), *len_bytes, "{}", walked.path.escape_ascii());
            let (depth, hash) = (content.depth, hasher.finalize());
            let sparse = if *sparse { " sparse" } else { "" };
            format!("file size={len_bytes} blake3={hash} depth={depth}{sparse}")
        }
        Node::Folder { content } => format!("folder depth={}", content.depth),
        Node::Symlink { target } => format!("symlink target={}", target.escape_ascii()),
        Node::BlockDevice { major, minor } => format!("block-device {major}:{minor}"),
        Node::CharDevice { major, minor } => format!("char-device {major}:{minor}"),
        Node::Fifo => "fifo".to_owned(),
    };
    let (path, modified) = (walked.path.escape_ascii(), time(*modified));
    let (user, group) = (user.escape_ascii(), group.escape_ascii());
    let mut text = format!("{path} {node} mode={mode:04o} owner={uid}:{gid} names={user}:{group} mtime={modified}");
    for (name, value) in xattrs {
        write!(text, " xattr:{}={}", name.escape_ascii(), value.escape_ascii()).expect("a string takes every write");
    }
    if let Some(link_group) = link_group {
        let first = first_names.entry(*link_group).or_insert_with(|| walked.path.clone());
        write!(text, " linked={}", first.escape_ascii()).expect("a string takes every write");
    }
    text
}

fn time(time: Timestamp) -> String {
    format!("{}+{:09}ns", time.seconds, time.nanoseconds)
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "{what}").expect("a string takes every write");
}
