//! The index of many millions of chunks: time to load, to open, to look up and to choose what a prune deletes, and
//! memory.
//!
//! `cargo run --release -p vellum-benches --features measure --example index_scale -- FOLDER MILLIONS`
//!
//! The folder must be empty or absent, and is left as it is: about 70 bytes a chunk, and as much again while it is
//! filled.

#[path = "../catalogs.rs"]
mod catalogs;

use catalogs::{ABSENT, PACK_CHUNKS, chunk_id};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vellum_format::catalog::Catalog;
use vellum_format::{ChunkId, ObjectId};
use vellum_index::{CopySet, Index, StateFolder};
use vellum_testkit::Random;

const CATALOG_PACKS: u64 = 1953;
const CATALOG_CHUNKS: u64 = CATALOG_PACKS * PACK_CHUNKS;

/// A catalog of a million chunks.
fn catalog(number: u64) -> (ObjectId, Catalog) {
    catalogs::catalog(number, CATALOG_PACKS)
}

fn open(folder: &Path) -> Index {
    Index::open(&StateFolder::At(folder.to_owned()), &[7; 32])
}

fn private_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a line of private memory");
    1024 * line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number")
}

/// The time that `work` takes.
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let done = work();
    (started.elapsed(), done)
}

/// Adds catalogs one by one, each as a refresh does; the time of adding and merging alone.
fn load(index: &Index, catalogs: std::ops::Range<u64>) {
    let (mut total, mut worst, mut worst_add) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut slow = 0;
    for number in catalogs.clone() {
        let added = vec![catalog(number)];
        let (adding, ()) = timed(|| index.add(added).expect("a good catalog"));
        let (merging, ()) = timed(|| index.merge());
        total += adding + merging;
        worst = worst.max(adding + merging);
        worst_add = worst_add.max(adding);
        slow += usize::from(adding + merging > Duration::from_secs(5));
    }
    println!(
        "load {} million: {total:.1?}; with merges, the longest took {worst:.1?}, {slow} over 5 s; without, {worst_add:.2?}",
        catalogs.end - catalogs.start
    );
}

/// Lookups a second of the best of three rounds, one by one and many at once, in random order.
fn lookups(index: &Index, name: &str, ids: &[ChunkId], are_there: bool) {
    let rate = |count: &dyn Fn() -> usize| {
        let round = || {
            let (took, found) = timed(count);
            assert_eq!(found, if are_there { ids.len() } else { 0 });
            ids.len() as f64 / took.as_secs_f64() / 1e6
        };
        (0..3).map(|_| round()).fold(0.0, f64::max)
    };
    let alone = rate(&|| ids.iter().filter(|id| index.lookup(id).is_some()).count());
    let count_each =
        |ids: &[ChunkId]| ids.chunks(1000).map(|ids| index.lookup_each(ids).iter().flatten().count()).sum::<usize>();
    let each = rate(&|| count_each(ids));
    let (one, other) = ids.split_at(ids.len() / 2);
    let both = rate(&|| {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| count_each(other));
            count_each(one) + other.join().expect("a lookup does not panic")
        })
    });
    println!("{name}: {alone:.2} million a second alone, {each:.2} with others, {both:.2} so in two threads");
}

/// `FOLDER MILLIONS` loads; another process, of which nothing else is in memory, measures the rest.
fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder and a number of millions"));
    let millions: u64 = arguments.next().and_then(|text| text.parse().ok()).expect("a number of millions");
    if arguments.next().as_deref() == Some("loaded") {
        return measure(&folder, millions);
    }
    load(&open(&folder), 0..millions);
    let mut other = std::process::Command::new(std::env::current_exe().expect("this program"));
    let measured = other.arg(&folder).args([&millions.to_string(), "loaded"]).status();
    assert!(measured.expect("this program again").success());
}

/// What a prune asks when every other chunk is needed, apart from one lookup for each.
fn choose_packs(index: &Index, chunks: u64) {
    let before = private_bytes();
    let (mut set, mut number) = (CopySet::default(), 0u64);
    let (marking, visited) = timed(|| {
        index.for_each_chunk(|_, location| {
            number += 1;
            if number.is_multiple_of(2) {
                set.insert(location);
            }
        })
    });
    visited.expect("no damage");
    let (counting, uses) = timed(|| index.pack_uses(&set).expect("no damage"));
    let memory = private_bytes().saturating_sub(before) as f64 / chunks as f64;
    assert_eq!(uses.iter().map(|one| one.used_chunks).sum::<u64>(), chunks / 2);
    println!(
        "visit all: {marking:.1?}; count the use of {} packs: {counting:.1?}, {memory:.2} bytes a chunk",
        uses.len()
    );
}

fn measure(folder: &Path, millions: u64) {
    let chunks = millions * CATALOG_CHUNKS;
    let before = private_bytes();
    let (opening, index) = timed(|| open(folder));
    let memory = private_bytes().saturating_sub(before);
    println!("open: {opening:.2?}, {} segments, {} chunks", index.segment_count(), index.chunk_count());
    println!("memory: {:.2} bytes a chunk", memory as f64 / chunks as f64);

    let mut random = Random::new(1);
    let mut some = |count: u64, from: u64| -> Vec<ChunkId> {
        let bound = usize::try_from(chunks).expect("it is small");
        (0..count).map(|_| chunk_id(from + random.below(bound) as u64)).collect()
    };
    lookups(&index, "hits", &some(2_000_000, 0), true);
    lookups(&index, "misses", &some(10_000_000, ABSENT), false);

    choose_packs(&index, chunks);

    let added = vec![catalog(millions)];
    let (adding, ()) = timed(|| index.add(added).expect("a good catalog"));
    let (merging, ()) = timed(|| index.merge());
    println!("add a million: {adding:.2?}; merge: {merging:.2?}");
    let (merging, ()) = timed(|| {
        for number in millions + 1..millions + 4 {
            index.add(vec![catalog(number)]).expect("a good catalog");
        }
        index.merge();
    });
    println!("make and add three million more, and merge: {merging:.2?}");
    assert!(index.persistent() && !index.damage_seen());
}
