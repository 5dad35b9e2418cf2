//! `vellum cat`: what the repository holds, as JSON. Secrets are never printed, nor digests, which give access.

use crate::args::CatVerb;
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::paths::{hex, text};
use crate::reference::SnapshotPath;
use crate::render::json::{Line, kind};
use crate::report::Failure;
use crate::selection;
use crate::time::rfc3339;
use serde_json::{Value, json};
use vellum::format::catalog::CatalogedPack;
use vellum::format::content::Content;
use vellum::format::pack::{Directory, Frame};
use vellum::format::parity::Parity;
use vellum::format::tree::{Entry, Node};
use vellum::format::{ObjectId, ObjectKind};
use vellum::{FrameCache, Repository, Snapshot, SnapshotFilter, TreeWalk, open_path};

/// Prints one part of the repository.
pub(super) fn run(invocation: &Invocation, verb: &CatVerb) -> Result<ExitCode, Failure> {
    let repository = invocation.open()?;
    let (value, exit_code) = match verb {
        CatVerb::Config => (config(&repository), ExitCode::Complete),
        CatVerb::Keys => (keys(&repository)?, ExitCode::Complete),
        CatVerb::Snapshot { snapshot } => {
            let filter = SnapshotFilter::default();
            let chosen = selection::choose(&repository, snapshot, &filter, &invocation.output)?;
            (manifest(&chosen.snapshot), chosen.exit_code())
        }
        CatVerb::Catalog { id } => {
            let id = find(&repository, ObjectKind::Catalog, id)?;
            let packs = repository.catalog(id)?.packs;
            let pack = |pack: &CatalogedPack| directory(pack.pack, pack.len_bytes, &pack.directory);
            let packs: Vec<Value> = packs.iter().map(pack).collect();
            (json!({ "type": "catalog", "id": id.to_string(), "packs": packs }), ExitCode::Complete)
        }
        CatVerb::Pack { id } => {
            let id = find(&repository, ObjectKind::Pack, id)?;
            let len_bytes = repository.names(ObjectKind::Pack)?.get(&id).copied().unwrap_or_default();
            (directory(id, len_bytes, &repository.pack_directory(id)?), ExitCode::Complete)
        }
        CatVerb::Tree { snapshot } => tree(invocation, &repository, snapshot)?,
    };
    selection::warn_of_healed(&repository, &invocation.output);
    let output = &invocation.output;
    match output.is_json {
        true => output.json(&Line::Value(&value)),
        false => output.result(&format!("{value:#}")),
    }
    Ok(exit_code)
}

/// The one object of a kind whose id begins like this.
fn find(repository: &Repository, kind: ObjectKind, start: &str) -> Result<ObjectId, Failure> {
    let matching: Vec<ObjectId> =
        repository.names_of_either(kind)?.into_keys().filter(|id| id.to_string().starts_with(start)).collect();
    match matching[..] {
        [id] => Ok(id),
        [] => Err(unclear(format!("no {} begins with {start}", kind.noun()))),
        _ => Err(unclear(format!("{} {}s begin with {start}", matching.len(), kind.noun()))),
    }
}

fn unclear(message: String) -> Failure {
    Failure::usage(message, "an id has to name one object", "give more of the id, as the repository's folders show it")
}

fn directory(pack: ObjectId, len_bytes: u64, directory: &Directory) -> Value {
    let frame = |frame: &Frame| {
        json!({
            "offset": frame.offset,
            "stored_len_bytes": frame.stored_len_bytes,
            "plain_len_bytes": frame.plain_len_bytes(),
            "kind": format!("{:?}", frame.kind).to_lowercase(),
            "compression": format!("{:?}", frame.compression).to_lowercase(),
            "chunks": frame.chunks.iter().map(|chunk| json!([chunk.id.to_string(), chunk.len_bytes])).collect::<Vec<_>>(),
        })
    };
    let frames: Vec<Value> = directory.frames.iter().map(frame).collect();
    json!({ "type": "pack", "id": pack.to_string(), "len_bytes": len_bytes, "frames": frames })
}

fn config(repository: &Repository) -> Value {
    let config = repository.config();
    let class = |class: &vellum::format::repository_config::ClassConfig| {
        json!({
            "name": class.name,
            "compression_level": class.compression_level,
            "chunker": {
                "algorithm": class.chunker.algorithm,
                "min_len_bytes": class.chunker.min_len_bytes,
                "avg_len_bytes": class.chunker.avg_len_bytes,
                "max_len_bytes": class.chunker.max_len_bytes,
            },
        })
    };
    json!({
        "type": "config",
        "id": config.repository.to_string(),
        "created": rfc3339(config.created),
        "owner": hex(&config.owner.0),
        "owner_fingerprint": repository.owner_fingerprint(),
        "pack_len_bytes": config.pack_len_bytes,
        "frame_len_bytes": config.frame_len_bytes,
        "parity": config.parity == Parity::ReedSolomon,
        "classes": config.classes.iter().map(class).collect::<Vec<_>>(),
        "must_understand": config.must_understand,
        "may_ignore": config.may_ignore,
    })
}

fn keys(repository: &Repository) -> Result<Value, Failure> {
    let slot = |slot: &vellum::SlotSummary| {
        let cost = slot
            .argon2id
            .map(|(memory_kib, passes, lanes)| json!({ "memory_kib": memory_kib, "passes": passes, "lanes": lanes }));
        json!({
            "id": slot.id,
            "kind": slot.kind,
            "role": slot.role,
            "label": slot.label,
            "created": slot.created.map(rfc3339),
            "current": slot.is_current,
            "argon2id": cost,
        })
    };
    let slots: Vec<Value> = repository.slots().iter().map(slot).collect();
    Ok(json!({ "type": "keys", "id": repository.key_manifest().to_string(), "slots": slots }))
}

fn manifest(snapshot: &Snapshot) -> Value {
    let manifest = &snapshot.manifest;
    let summary = &manifest.summary;
    json!({
        "type": "snapshot",
        "id": snapshot.id.to_string(),
        "short_id": snapshot.id.short(),
        "repository": manifest.repository.to_string(),
        "device": manifest.device.to_string(),
        "sequence": manifest.sequence,
        "previous": manifest.previous.map(|id| id.to_string()),
        "seen": manifest.seen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "time": rfc3339(manifest.time),
        "host": text(&manifest.host.0),
        "username": manifest.user,
        "paths": manifest.paths.iter().map(|path| text(&path.0)).collect::<Vec<_>>(),
        "tags": manifest.tags,
        "class": manifest.root.class,
        "program_version": manifest.program,
        "must_understand": manifest.must_understand,
        "summary": {
            "files": summary.files,
            "folders": summary.folders,
            "others": summary.others,
            "bytes": summary.bytes,
            "files_new": summary.files_new,
            "files_changed": summary.files_changed,
            "files_unchanged": summary.files_unchanged,
            "chunks_new": summary.chunks_new,
            "bytes_new": summary.bytes_new,
            "bytes_stored": summary.bytes_stored,
            "errors": summary.errors,
            "duration_ms": summary.duration_ms,
        },
    })
}

fn tree(invocation: &Invocation, repository: &Repository, place: &SnapshotPath) -> Result<(Value, ExitCode), Failure> {
    let filter = SnapshotFilter::default();
    let chosen = selection::choose(repository, &place.snapshot, &filter, &invocation.output)?;
    repository.refresh()?;
    let cache = FrameCache::new(16);
    let path = place.path_or_root();
    let content = match open_path(repository, &cache, &chosen.snapshot, path)? {
        None => selection::root_content(&chosen.snapshot)?,
        Some(Entry { node: Node::Folder { content }, .. }) => content,
        Some(entry) => return Ok((described(repository, &entry), chosen.exit_code())),
    };
    let mut entries = Vec::new();
    let mut walk = TreeWalk::new(repository, &cache, &content);
    while let Some(step) = walk.next() {
        let step = step.map_err(|(_, error)| error)?;
        entries.push(described(repository, &step.entry));
        walk.skip_folder();
    }
    let value = json!({
        "type": "tree",
        "snapshot": chosen.snapshot.id.to_string(),
        "path": text(path),
        "content": chunks(repository, &content),
        "entries": entries,
    });
    Ok((value, chosen.exit_code()))
}

fn described(repository: &Repository, entry: &Entry) -> Value {
    let metadata = &entry.metadata;
    let node = match &entry.node {
        Node::File { len_bytes, content, sparse } => {
            json!({ "size": len_bytes, "sparse": sparse, "content": chunks(repository, content) })
        }
        Node::Folder { content } => json!({ "content": chunks(repository, content) }),
        Node::Symlink { target } => json!({ "target": text(target) }),
        Node::BlockDevice { major, minor } | Node::CharDevice { major, minor } => {
            json!({ "major": major, "minor": minor })
        }
        Node::Fifo => json!({}),
    };
    let xattrs = metadata.xattrs.iter().map(|(name, value)| json!({ "name": text(name), "value": hex(value) }));
    json!({
        "name": text(entry.name.as_bytes()),
        "kind": kind(&entry.node),
        "node": node,
        "mode": metadata.mode,
        "uid": metadata.uid,
        "gid": metadata.gid,
        "user": text(&metadata.user),
        "group": text(&metadata.group),
        "mtime": rfc3339(metadata.modified),
        "xattrs": xattrs.collect::<Vec<_>>(),
        "link_group": metadata.link_group.map(|group| json!({ "device": group.device, "inode": group.inode })),
    })
}

/// Chunks by the ids under which catalogs list them.
fn chunks(repository: &Repository, content: &Content) -> Value {
    let chunk = |chunk| json!({ "id": repository.chunk_id(chunk).to_string(), "len_bytes": chunk.len_bytes });
    json!({ "depth": content.depth, "chunks": content.chunks.iter().map(chunk).collect::<Vec<_>>() })
}
