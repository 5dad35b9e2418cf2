//! How each verb grows, as tables and a plot.

use super::{digits, median, ratio};
use crate::Failure;
use crate::figures::{Cost, Extent, Series};
use crate::plots::{self, Row};
use std::fmt::Write as _;
use std::path::Path;

/// What of a cost a table shows.
type Value = fn(&Cost) -> f64;

/// The tables and the plot of one way to grow.
pub(super) fn write(page: &mut String, plots: &Path, series: &Series) -> Result<(), Failure> {
    let sizes = Sizes::of(series);
    writeln!(page, "### {}\n", series.name)?;
    sizes.table(page, "seconds", |cost| cost.wall)?;
    sizes.table(page, "memory, MB", |cost| cost.peak_bytes as f64 / 1e6)?;
    let row = |verb: &str| Row { name: verb.to_owned(), values: sizes.medians(verb, |cost| cost.wall) };
    let rows: Vec<Row> = sizes.verbs().into_iter().map(row).collect();
    let places: Vec<f64> = sizes.sources.iter().map(|source| sizes.size(source)).collect();
    let file = format!("growth-{}.svg", if sizes.counts_files { "files" } else { "bytes" });
    plots::lines(&plots.join(&file), "seconds of each verb", [&series.name, "seconds"], &places, &rows)?;
    writeln!(page, "![seconds of each verb over the size of the source](benchmarks/{file})\n")?;
    Ok(())
}

/// The sources of a series, the smallest first.
struct Sizes<'a> {
    series: &'a Series,
    sources: Vec<Extent>,
    counts_files: bool,
}

impl<'a> Sizes<'a> {
    fn of(series: &'a Series) -> Self {
        let mut sources: Vec<Extent> = series.points.iter().map(|point| point.source).collect();
        sources.sort_by_key(|source| (source.bytes, source.files));
        sources.dedup();
        let counts_files = sources.iter().any(|source| source.files > 1);
        Self { series, sources, counts_files }
    }

    fn verbs(&self) -> Vec<&'a str> {
        let first = self.series.points.first();
        first.into_iter().flat_map(|point| &point.verbs).map(|(verb, _)| verb.as_str()).collect()
    }

    fn medians(&self, verb: &str, value: Value) -> Vec<Option<f64>> {
        let of_source = |source: &Extent| {
            let points = self.series.points.iter().filter(|point| point.source == *source);
            let costs = points.flat_map(|point| &point.verbs).filter(|(name, _)| name == verb);
            let mut values: Vec<f64> = costs.map(|(_, cost)| value(cost)).collect();
            values.sort_by(f64::total_cmp);
            median(&values)
        };
        self.sources.iter().map(of_source).collect()
    }

    fn table(&self, page: &mut String, title: &str, value: Value) -> Result<(), Failure> {
        let sizes: Vec<String> = self.sources.iter().map(|source| self.told(source)).collect();
        writeln!(page, "| {title} | {} | last doubling |", sizes.join(" | "))?;
        writeln!(page, "|{}", " --- |".repeat(sizes.len() + 2))?;
        for verb in self.verbs() {
            let medians = self.medians(verb, value);
            let cells: Vec<String> = medians.iter().map(|cell| cell.map_or("–".to_owned(), digits)).collect();
            let [.., before, last] = medians[..] else { continue };
            writeln!(page, "| {verb} | {} | {} |", cells.join(" | "), ratio(last, before))?;
        }
        page.push('\n');
        Ok(())
    }

    fn size(&self, source: &Extent) -> f64 {
        if self.counts_files { source.files as f64 } else { source.bytes as f64 }
    }

    fn told(&self, source: &Extent) -> String {
        if self.counts_files { source.files.to_string() } else { format!("{:.0} MB", source.bytes as f64 / 1e6) }
    }
}
