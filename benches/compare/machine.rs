//! What the figures were measured on.

use crate::figures::Machine;
use std::path::Path;

/// As the system tells it; what it does not tell stays empty.
pub(crate) fn describe(work: &Path) -> Machine {
    let line = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let system = rustix::system::uname();
    let memory_kib: u64 = line("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    Machine {
        processor: line("/proc/cpuinfo", "model name"),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_bytes: memory_kib << 10,
        kernel: format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy()),
        file_system: file_system(work),
    }
}

/// The kind of the mount that a folder lies on: of all mounts above it, the nearest.
fn file_system(folder: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((Path::new(fields.next()?), fields.next()?)).filter(|(point, _)| folder.starts_with(point))
    });
    mounts.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind.to_owned()).unwrap_or_default()
}
