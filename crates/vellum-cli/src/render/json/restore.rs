//! What `restore` ends with, and the entries that a snapshot holds.

use super::PathField;
use crate::paths::{hex, text};
use crate::time::rfc3339;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;
use vellum::RestoreReport;
use vellum::format::tree::{Entry, Node};

/// What a restore did.
#[derive(Serialize)]
pub(crate) struct RestoreLine {
    snapshot_id: Option<String>,
    dry_run: bool,
    files_restored: u64,
    bytes_restored: u64,
    others_restored: u64,
    skipped: u64,
    deleted: u64,
    errors: u64,
    metadata_problems: u64,
    packs_healed: usize,
    total_duration: f64,
}

impl RestoreLine {
    /// A report's fields.
    pub(crate) fn new(report: &RestoreReport, took: Duration, dry_run: bool) -> Self {
        Self {
            snapshot_id: report.snapshot.map(|id| id.to_string()),
            dry_run,
            files_restored: report.files,
            bytes_restored: report.bytes,
            others_restored: report.others,
            skipped: report.skipped,
            deleted: report.deleted,
            errors: report.problem_count,
            metadata_problems: report.metadata_problem_count,
            packs_healed: report.healed.len(),
            total_duration: took.as_secs_f64(),
        }
    }
}

/// An entry of a snapshot.
#[derive(Serialize)]
pub(crate) struct EntryLine<'a> {
    #[serde(flatten)]
    path: PathField<'a>,
    kind: &'static str,
    size: Option<u64>,
    mode: u32,
    uid: u32,
    gid: u32,
    user: Cow<'a, str>,
    group: Cow<'a, str>,
    mtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_bytes: Option<String>,
}

impl<'a> EntryLine<'a> {
    /// An entry's fields.
    pub(crate) fn new(path: &'a [u8], entry: &'a Entry) -> Self {
        let metadata = &entry.metadata;
        let target = match &entry.node {
            Node::Symlink { target } => Some(target),
            _ => None,
        };
        Self {
            path: PathField::new(path),
            kind: kind(&entry.node),
            size: match entry.node {
                Node::File { len_bytes, .. } => Some(len_bytes),
                _ => None,
            },
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            user: text(&metadata.user),
            group: text(&metadata.group),
            mtime: rfc3339(metadata.modified),
            target: target.map(|target| text(target)),
            target_bytes: target.filter(|target| std::str::from_utf8(target).is_err()).map(|target| hex(target)),
        }
    }
}

/// An entry's kind in one word.
pub(crate) fn kind(node: &Node) -> &'static str {
    match node {
        Node::File { .. } => "file",
        Node::Folder { .. } => "dir",
        Node::Symlink { .. } => "symlink",
        Node::BlockDevice { .. } => "blockdev",
        Node::CharDevice { .. } => "chardev",
        Node::Fifo => "fifo",
    }
}
