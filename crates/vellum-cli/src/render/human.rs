//! Results for people: plain text, one thing a line.

use crate::paths::printable;
use crate::time::local;
use crate::units::{count, duration, rate, size};
use std::fmt::Write as _;
use std::time::Duration;
use vellum::format::ObjectKind;
use vellum::format::tree::{Entry, Node};
use vellum::{
    BackupReport, CheckReport, Coverage, Finding, HeadCode, HistoryFinding, ParityCover, Problem, PruneReport,
    RepairReport, RepairedSnapshot, Repository, RepositoryStats, RestoreReport, RestoreTestReport, SlotSummary,
    Snapshot,
};

/// Rows with their columns aligned; the last column is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let padding = width - cell.chars().count();
            line.push_str(cell);
            line.push_str(&" ".repeat(padding + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What went wrong with an entry, in one line.
pub(crate) fn problem(problem: &Problem) -> String {
    format!("cannot {} {}: {}", problem.doing, printable(&problem.path), problem.reason)
}

/// What `init` made.
pub(crate) fn initialized(repository: &Repository, recovery_key: &str) -> String {
    format!(
        "repository        {}\n\
         location          {}\n\
         owner fingerprint {}\n\
         recovery key      {recovery_key}\n\n\
         Write the recovery key down and keep it apart from this machine. It opens the repository when the password\n\
         or key file is lost. It is stored nowhere and not shown again; `vellum recovery check` tests what you wrote.\n",
        repository.id(),
        repository.storage().location(),
        repository.owner_fingerprint(),
    )
}

/// What a backup did.
pub(crate) fn backup(report: &BackupReport, took: Duration, dry_run: bool) -> String {
    let summary = &report.summary;
    let mut text = format!(
        "files    {} new, {} changed, {} unchanged\nentries  {}, {} other\n",
        summary.files_new,
        summary.files_changed,
        summary.files_unchanged,
        count(summary.folders, "folder"),
        summary.others,
    );
    if dry_run {
        put(&mut text, format_args!("total    {}\ndry run: nothing was read or stored\n", size(summary.bytes)));
        return text;
    }
    let (time, speed) = (duration(took), rate(summary.bytes, took));
    put(&mut text, format_args!("total    {} in {time} ({speed})\n", size(summary.bytes)));
    put(&mut text, format_args!("added    {}, {} stored\n", size(summary.bytes_new), size(summary.bytes_stored)));
    match report.snapshot {
        Some(id) => {
            put(&mut text, format_args!("snapshot {} saved\nhead     {}\n", id.short(), HeadCode::of(&id)));
        }
        None => text.push_str("nothing differs from the last snapshot; no new one was made\n"),
    }
    text
}

/// What a restore did.
pub(crate) fn restore(report: &RestoreReport, took: Duration, dry_run: bool) -> String {
    let verb = if dry_run { "would restore" } else { "restored" };
    let mut text = format!(
        "{verb} {}, {}, and {} in {} ({})\n",
        count(report.files, "file"),
        size(report.bytes),
        count(report.others, "other entry"),
        duration(took),
        rate(report.bytes, took),
    );
    if report.skipped > 0 {
        put(&mut text, format_args!("left {} as they were\n", count(report.skipped, "entry")));
    }
    if report.deleted > 0 {
        let verb = if dry_run { "would remove" } else { "removed" };
        put(&mut text, format_args!("{verb} {}\n", count(report.deleted, "entry")));
    }
    text
}

/// Snapshots, one a line; a column marks the incomplete ones when there are any.
pub(crate) fn snapshots(snapshots: &[&Snapshot]) -> String {
    let is_incomplete = |snapshot: &Snapshot| snapshot.manifest.summary.errors > 0;
    let incomplete = snapshots.iter().filter(|snapshot| is_incomplete(snapshot)).count() as u64;
    let mark = |text: &str| (incomplete > 0).then(|| text.to_owned());
    let header = ["ID", "Time", "Host", "Tags", "Files", "Size"].map(str::to_owned);
    let header: Vec<_> = header.into_iter().chain(mark("")).chain(["Paths".to_owned()]).collect();
    let row = |snapshot: &&Snapshot| {
        let manifest = &snapshot.manifest;
        let paths: Vec<_> = manifest.paths.iter().map(|path| printable(&path.0)).collect();
        let mut row = vec![
            snapshot.id.short(),
            local(manifest.time),
            printable(&manifest.host.0).into_owned(),
            printable(manifest.tags.join(",").as_bytes()).into_owned(),
            manifest.summary.files.to_string(),
            size(manifest.summary.bytes),
        ];
        row.extend(mark(if is_incomplete(snapshot) { "incomplete" } else { "" }));
        row.push(paths.join(" "));
        row
    };
    let rows: Vec<_> = std::iter::once(header).chain(snapshots.iter().map(row)).collect();
    let mut shown = count(snapshots.len() as u64, "snapshot");
    if incomplete > 0 {
        put(&mut shown, format_args!(", {incomplete} incomplete: something could not be read or is lost"));
    }
    match snapshots.is_empty() {
        true => format!("{shown}\n"),
        false => format!("{}{shown}\n", table(&rows)),
    }
}

/// What proves later how far history reached now.
pub(crate) fn head(code: HeadCode) -> String {
    format!("head code {code}\n")
}

/// What was wrong with history and is taken as it is from now on.
pub(crate) fn accepted(findings: &[HistoryFinding]) -> String {
    let mut text = String::new();
    for finding in findings {
        put(&mut text, format_args!("accepted: {finding}\n"));
    }
    match findings {
        [] => text.push_str("history is as it should be; there was nothing to accept\n"),
        _ => text.push_str("this machine does not tell it again; others do until it is accepted there\n"),
    }
    text
}

/// An entry of a snapshot in one line.
pub(crate) fn entry(path: &[u8], entry: &Entry, is_long: bool) -> String {
    let path = printable(path);
    if !is_long {
        return path.into_owned();
    }
    let metadata = &entry.metadata;
    let owner = |name: &[u8], number: u32| match name {
        [] => number.to_string(),
        name => printable(name).into_owned(),
    };
    let user = owner(&metadata.user, metadata.uid);
    let group = owner(&metadata.group, metadata.gid);
    let size = match &entry.node {
        Node::File { len_bytes, .. } => len_bytes.to_string(),
        Node::BlockDevice { major, minor } | Node::CharDevice { major, minor } => format!("{major},{minor}"),
        _ => "0".to_owned(),
    };
    let mode = mode(&entry.node, metadata.mode);
    let line = format!("{mode} {user:<8} {group:<8} {size:>12} {} {path}", local(metadata.modified));
    match &entry.node {
        Node::Symlink { target } => format!("{line} -> {}", printable(target)),
        _ => line,
    }
}

/// As `ls -l` shows it.
fn mode(node: &Node, mode: u32) -> String {
    let kind = match node {
        Node::File { .. } => '-',
        Node::Folder { .. } => 'd',
        Node::Symlink { .. } => 'l',
        Node::BlockDevice { .. } => 'b',
        Node::CharDevice { .. } => 'c',
        Node::Fifo => 'p',
    };
    let mut text = String::from(kind);
    for (shift, special, lower, upper) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = mode >> shift & 0o7;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => lower,
            (false, true) => upper,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// The path that a finding costs, as it was backed up.
pub(crate) fn absolute_path(finding: &Finding) -> Option<Vec<u8>> {
    finding.path.as_ref().map(|(_, path)| [b"/", path.strip_prefix(b"/").unwrap_or(path)].concat())
}

/// One thing that is wrong, in one line; `path` is absolute.
pub(crate) fn finding(finding: &Finding, path: Option<&[u8]>) -> String {
    let object = finding.object.map(|object| format!("{object}: ")).unwrap_or_default();
    let costs = match (&finding.path, path) {
        (Some((snapshot, _)), Some(path)) => format!("; it costs {} in snapshot {}", printable(path), snapshot.short()),
        _ => String::new(),
    };
    format!("damage: {object}{}{costs}", finding.reason)
}

/// What a check saw.
pub(crate) fn check(report: &CheckReport, took: Duration) -> String {
    let mut text = format!(
        "checked {}, {}, {} in {}\n",
        count(report.snapshots, "snapshot"),
        count(report.folders, "folder"),
        count(report.packs, "pack"),
        duration(took),
    );
    if report.packs_read > 0 {
        put(
            &mut text,
            format_args!(
                "read and verified {}, {} ({})\n",
                count(report.packs_read, "pack"),
                size(report.bytes_read),
                rate(report.bytes_read, took)
            ),
        );
    }
    put_restore_test(&mut text, &report.restore_test);
    put_parity(&mut text, &report.parity);
    put_coverage(&mut text, &report.coverage);
    let packs = count(report.packs_unlisted, "pack");
    match (report.packs_unlisted, report.misses_chunks) {
        (0, _) => {}
        (_, false) => {
            put(&mut text, format_args!("{packs} of interrupted or running backups, in no catalog; harmless\n"));
        }
        (_, true) => {
            put(
                &mut text,
                format_args!("{packs} in no catalog, and what is missing may be there: run `vellum repair index`\n"),
            );
        }
    }
    if let Some(code) = report.head_code {
        put(&mut text, format_args!("head code {code}\n"));
    }
    if report.snapshots_unpaired > 0 {
        let snapshots = count(report.snapshots_unpaired, "snapshot");
        put(
            &mut text,
            format_args!(
                "{snapshots} of interrupted or running backups, whole but stored once, and perhaps told as failed; \
                 `vellum repair index` or the next backup stores the other copy\n"
            ),
        );
    }
    let catalogs_unpaired = report.copies_missing - report.snapshots_unpaired;
    if catalogs_unpaired > 0 {
        let objects = count(catalogs_unpaired, "small object");
        put(&mut text, format_args!("{objects} of interrupted or running backups, stored once; harmless\n"));
    }
    if report.copies_mendable > 0 {
        let copies = count(report.copies_mendable, "damaged or missing object");
        put(&mut text, format_args!("{copies} can be stored anew from another copy: run `vellum repair index`\n"));
    }
    if report.packs_healable > 0 {
        let packs = count(report.packs_healable, "damaged pack");
        put(&mut text, format_args!("{packs} can be healed by parity: run `vellum repair packs`\n"));
    }
    match report.finding_count {
        0 => text.push_str("no damage was found\n"),
        findings => put(&mut text, format_args!("damage was found: {}\n", count(findings, "finding"))),
    }
    text
}

/// What restoring files to try it showed.
fn put_restore_test(text: &mut String, test: &RestoreTestReport) {
    if test.files > 0 {
        let (files, bytes) = (count(test.files, "file"), size(test.bytes));
        put(text, format_args!("restored {files}, {bytes}, and compared them with their snapshots\n"));
    }
    if test.read_only > 0 {
        put(text, format_args!("only read {}, too long to be restored for a test\n", count(test.read_only, "file")));
    }
    if test.with_source > 0 {
        let files = count(test.with_source, "file");
        put(text, format_args!("compared {files} with the source too, which had not changed\n"));
    }
}

/// What damage packs outlast.
fn put_parity(text: &mut String, parity: &ParityCover) {
    if let Some((shortest, longest)) = parity.bursts {
        let burst = match (size(shortest), size(longest)) {
            (shortest, longest) if shortest == longest => format!("up to {longest}"),
            (shortest, longest) => format!("up to {shortest} in the smallest pack and {longest} in the largest"),
        };
        let shards = ParityCover::SHARDS;
        put(text, format_args!("parity heals any {shards} damaged shards of a pack, or a burst of {burst}\n"));
    }
    if parity.packs_without > 0 {
        put(text, format_args!("{} without parity: damage in them stays\n", count(parity.packs_without, "pack")));
    }
}

/// When the packs of a repository were verified.
fn put_coverage(text: &mut String, coverage: &Coverage) {
    if let Some(time) = coverage.fully_verified {
        put(text, format_args!("last fully verified on {}\n", local(time)));
    }
    if coverage.never_read > 0 {
        let packs = count(coverage.packs, "pack");
        put(text, format_args!("{} of {packs} never verified\n", coverage.never_read));
    }
    if coverage.damaged > 0 {
        let packs = count(coverage.packs, "pack");
        put(text, format_args!("{} of {packs} damaged when last read\n", coverage.damaged));
    }
    if let Some(time) = coverage.restore_tested {
        put(text, format_args!("last restore test on {}\n", local(time)));
    }
}

/// What a repair did.
pub(crate) fn repair(report: &RepairReport, took: Duration) -> String {
    let mut text = String::new();
    if report.packs_read > 0 {
        let (packs, bytes) = (count(report.packs_read, "undamaged pack"), size(report.bytes_read));
        put(&mut text, format_args!("read {packs}, {bytes}, in {}\n", duration(took)));
    }
    if !report.mended.is_empty() {
        put(&mut text, format_args!("stored anew: {}\n", count(report.mended.len() as u64, "object")));
    }
    if report.packs_listed > 0 {
        let packs = count(report.packs_listed, "pack");
        put(&mut text, format_args!("listed anew: {packs} that no catalog listed\n"));
    }
    match report.findings.len() as u64 {
        0 if report.mended.is_empty() && report.packs_listed == 0 => text.push_str("there is nothing to repair\n"),
        0 => text.push_str("all of it is repaired\n"),
        findings => put(&mut text, format_args!("damage that stays: {}\n", count(findings, "finding"))),
    }
    let is_snapshot = |finding: &Finding| finding.object.is_some_and(|object| object.kind == ObjectKind::Snapshot);
    if report.findings.iter().any(is_snapshot) {
        text.push_str(
            "no copy of such a snapshot is whole: bring its file back from a copy of the repository, \
             or give it up with `vellum forget ID`\n",
        );
    }
    text
}

/// A snapshot that has lost something, and what is left of it.
pub(crate) fn repaired_snapshot(snapshot: &RepairedSnapshot) -> String {
    let RepairedSnapshot { id, repaired, was_there, lost } = snapshot;
    let lost = count(*lost, "entry");
    match repaired {
        Some(new) if *was_there => {
            format!("snapshot {}: {lost} lost; the rest is in {} already", id.short(), new.short())
        }
        Some(new) => format!("snapshot {}: {lost} lost; the rest is saved as {}", id.short(), new.short()),
        None => format!("snapshot {}: nothing of it can be read", id.short()),
    }
}

/// What a prune did, or would do, and what it waits for.
pub(crate) fn prune(report: &PruneReport, took: Duration, dry_run: bool) -> String {
    let mut text = format!(
        "{} of {} in {} are unused\n",
        size(report.unused_bytes),
        size(report.bytes),
        count(report.packs, "pack")
    );
    let would = if dry_run { "would be " } else { "" };
    if report.packs_repacked > 0 {
        let (packs, written) = (count(report.packs_repacked, "pack"), size(report.bytes_written));
        put(&mut text, format_args!("{packs} {would}rewritten as {written}\n"));
    }
    if report.is_full {
        text.push_str("the storage is full: nothing was rewritten, only what nobody needs goes\n");
    }
    if report.packs_condemned > 0 {
        put(&mut text, format_args!("{} {would}condemned\n", count(report.packs_condemned, "pack")));
    }
    if dry_run {
        return text;
    }
    let (packs, bytes) = (count(report.packs_deleted, "pack"), size(report.bytes_deleted));
    put(&mut text, format_args!("{packs} deleted, {bytes}, in {}\n", duration(took)));
    if report.writers_fenced > 0 {
        let writers = count(report.writers_fenced, "writer");
        put(&mut text, format_args!("{writers} given up; should one still run, it notices and starts over\n"));
    }
    if report.packs_waiting > 0 {
        put(&mut text, format_args!("{} stay for now:\n", count(report.packs_waiting, "condemned pack")));
    }
    for writer in &report.waits_for {
        let process = writer.process.as_ref().map(|mark| format!(", process {}", mark.process)).unwrap_or_default();
        let (host, since) = (printable(&writer.host), local(writer.time));
        put(&mut text, format_args!("  a backup of {host}{process} runs since {since}; a prune after it goes on\n"));
    }
    if report.waits_for_unknown > 0 {
        let writers = count(report.waits_for_unknown, "writer");
        put(&mut text, format_args!("  {writers} of whom nothing can be read; a prune in a week gives them up\n"));
    }
    if let Some(ends) = report.grace_ends {
        put(&mut text, format_args!("  until {} for safety; --grace 0 does not wait\n", local(ends)));
    }
    text
}

/// Ways to unlock, one a line.
pub(crate) fn slots(slots: &[SlotSummary]) -> String {
    let header = ["ID", "Kind", "Created", "Label", ""].map(str::to_owned).to_vec();
    let row = |slot: &SlotSummary| {
        let current = if slot.is_current { "(in use)" } else { "" };
        let label = printable(slot.label.as_bytes()).into_owned();
        let unknown = "does not decode: made by a newer version";
        let state = if slot.kind == SlotSummary::UNKNOWN { unknown } else { current };
        let created = slot.created.map(local).unwrap_or_default();
        vec![slot.id.clone(), slot.kind.clone(), created, label, state.to_owned()]
    };
    table(&std::iter::once(header).chain(slots.iter().map(row)).collect::<Vec<_>>())
}

/// What a repository holds.
pub(crate) fn stats(stats: &RepositoryStats, coverage: &Coverage) -> String {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let ratio = stats.restore_bytes as f64 / stats.stored_bytes.max(1) as f64;
    let mut text = table(&[
        row("snapshots", stats.snapshots.to_string()),
        row("files in them", stats.files.to_string()),
        row("restored size", size(stats.restore_bytes)),
        row("chunks", stats.chunks.to_string()),
        row("packs", stats.packs.to_string()),
        row("stored size", size(stats.stored_bytes)),
        row("ratio", format!("{ratio:.1} : 1")),
    ]);
    put_coverage(&mut text, coverage);
    text
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum::format::content::Content;

    #[test]
    fn modes_look_as_in_ls() {
        let file = Node::File { len_bytes: 0, content: Content::empty(), sparse: false };
        let folder = Node::Folder { content: Content::empty() };
        for (node, bits, text) in [
            (&file, 0o644, "-rw-r--r--"),
            (&file, 0o4755, "-rwsr-xr-x"),
            (&file, 0o2640, "-rw-r-S---"),
            (&folder, 0o1777, "drwxrwxrwt"),
            (&folder, 0o1776, "drwxrwxrwT"),
        ] {
            assert_eq!(mode(node, bits), text);
        }
    }

    #[test]
    fn a_slot_that_does_not_decode_is_listed_as_unknown() {
        let known = SlotSummary {
            id: "ab".into(),
            kind: "password".into(),
            role: "owner".into(),
            label: "me".into(),
            created: Some(vellum::format::snapshot::Timestamp { seconds: 0, nanoseconds: 0 }),
            argon2id: None,
            is_current: true,
        };
        let (id, kind, label) = (String::new(), SlotSummary::UNKNOWN.to_owned(), String::new());
        let newer = SlotSummary { id, kind, label, created: None, is_current: false, ..known.clone() };
        let text = slots(&[known, newer]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("ab") && lines[1].ends_with("(in use)"), "{text}");
        assert!(lines[2].contains("unknown") && lines[2].ends_with("made by a newer version"), "{text}");
    }

    #[test]
    fn tables_align() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["äöü".to_owned(), "c".to_owned()]];
        assert_eq!(table(&rows), "a    b\näöü  c\n");
    }

    #[test]
    fn findings_name_object_and_cost() {
        let object = vellum::format::ObjectName::of(vellum::format::ObjectKind::Pack, b"x");
        let id = vellum::format::ObjectId::of(b"snapshot");
        let damage = Finding { object: Some(object), path: Some((id, b"a".to_vec())), reason: "it is missing".into() };
        let text = finding(&damage, Some(b"/a"));
        assert!(text.contains(&object.to_string()) && text.contains("/a in snapshot") && !text.contains('\n'));
    }
}
