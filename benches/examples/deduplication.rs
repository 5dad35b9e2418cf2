//! How much each chunking function saves on files of yours: `deduplication AVG_KIB PATH...`, such as two versions of a
//! folder.
//!
//! Prints the mean length of the chunks that a search ended, and the share of all bytes that need not be stored, before
//! any compression. Functions are to be compared at equal means.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use vellum_chunker::{Algorithm, ChunkStream, Chunker, Sizes};

#[derive(Default)]
struct Seen {
    ids: HashSet<[u8; 32]>,
    total_bytes: u64,
    stored_bytes: u64,
    cut_bytes: u64,
    cut_count: u64,
}

impl Seen {
    fn add(&mut self, chunker: &Chunker, path: &Path) -> io::Result<()> {
        let mut stream = ChunkStream::new(chunker.clone(), File::open(path)?);
        let mut of_file = 0;
        let mut last = 0;
        while let Some(chunk) = stream.next_chunk()? {
            last = chunk.len() as u64;
            of_file += 1;
            self.total_bytes += last;
            self.cut_bytes += last;
            if self.ids.insert(*blake3::hash(chunk).as_bytes()) {
                self.stored_bytes += last;
            }
        }
        // The end of the file ended the last one.
        self.cut_bytes -= last;
        self.cut_count += of_file - of_file.min(1);
        Ok(())
    }
}

fn files(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        let mut entries =
            fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
        entries.sort();
        entries.iter().try_for_each(|entry| files(entry, found))?;
    } else if metadata.is_file() {
        found.push(path.to_owned());
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: deduplication AVG_KIB PATH...";
    let avg = arguments.next().ok_or(usage)?.to_str().ok_or(usage)?.parse::<u32>()? << 10;
    let sizes = Sizes::new(avg / 4, avg, 4 * avg)?;
    let mut found = Vec::new();
    arguments.try_for_each(|path| files(Path::new(&path), &mut found))?;
    println!("{} files, {}/{}/{} bytes", found.len(), sizes.min(), sizes.avg(), sizes.max());
    for algorithm in [Algorithm::Gear, Algorithm::Phte128, Algorithm::Window] {
        let mut means = Vec::new();
        let mut saved = Vec::new();
        for key in 0..3 {
            let chunker = Chunker::new(algorithm, sizes, &[key; 32]);
            let mut seen = Seen::default();
            found.iter().try_for_each(|path| seen.add(&chunker, path))?;
            means.push(seen.cut_bytes / seen.cut_count.max(1));
            saved.push(format!("{:.2}", 100.0 - 100.0 * seen.stored_bytes as f64 / seen.total_bytes.max(1) as f64));
        }
        println!("{:8} mean {means:?} bytes, saved {} %, for three keys", algorithm.name(), saved.join(", "));
    }
    Ok(())
}
