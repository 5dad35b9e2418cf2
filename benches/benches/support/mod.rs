//! How long a benchmark takes.

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use std::time::Duration;

/// A group whose benchmarks take about two seconds each.
pub(crate) fn brief_group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_millis(1500));
    group
}
