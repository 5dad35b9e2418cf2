//! `docs/BENCHMARKS.md` and its plots, from raw figures and nothing else.

mod series;

use crate::Failure;
use crate::arguments::Arguments;
use crate::figures::{Differences, Extent, Figures, Run, Set, ToolNote};
use crate::plots::{self, Row};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What is no peer: the floor that all are compared with.
const FLOOR: &str = "tar+zstd";
const OURS: &str = "vellum";

pub(crate) fn write(arguments: &mut Arguments) -> Result<(), Failure> {
    let (figures, docs) = (arguments.path("figures")?, arguments.path("docs")?);
    arguments.finish()?;
    let figures = Figures::read(&figures)?;
    let plots = docs.join("benchmarks");
    fs::create_dir_all(&plots)?;
    let mut page = String::new();
    head(&mut page, &figures)?;
    for set in &figures.sets {
        of_set(&mut page, &plots, set, &figures.tools)?;
    }
    if !figures.growth.is_empty() {
        page.push_str(GROWTH);
    }
    for series in &figures.growth {
        series::write(&mut page, &plots, series)?;
    }
    commands(&mut page, &figures.tools)?;
    Ok(fs::write(docs.join("BENCHMARKS.md"), page)?)
}

const HEAD: &str = "\
# Benchmarks

Vellum beside other backup programs, on the same data, on one machine, in the same minutes.
This page and its plots are made by `benches/compare` from raw figures, [figures.json](benchmarks/figures.json), and not edited by hand; [TESTING.md](TESTING.md#benchmarks) says how to measure and to make them, [PERFORMANCE.md](PERFORMANCE.md) where the time goes.

Each program goes through all steps, one program after the other, in each of several rounds. Figures are medians of the rounds.
Every program has its own defaults, encrypted, and zstd where it can be asked for; `tar | zstd -3 -T2` neither deduplicates nor encrypts and is the floor.
Time ends when the file system has written everything. Files were read before, so no disk is waited for. Memory is that of the largest process.
Restores are compared with their source: every name and byte, permissions, owners, times and targets.
The second version comes to the path of the first, as other files: no program can know one of them by its inode.
restic, rustic and borg derive a key from a password in each run; Vellum and bupstash open with a key file.

";

const GROWTH: &str = "\
## Growth

Each verb of Vellum on more and more of the same. A ratio of 2 from one column to the next is what grows with its source; less is better. In plots such a verb runs parallel to the dashes.

";

fn head(page: &mut String, figures: &Figures) -> Result<(), Failure> {
    let machine = &figures.machine;
    page.push_str(HEAD);
    writeln!(page, "| measured on | |\n| --- | --- |")?;
    writeln!(page, "| processor | {}, {} cores |", machine.processor, machine.cores)?;
    writeln!(page, "| memory | {:.0} GiB |", machine.memory_bytes as f64 / f64::from(1 << 30))?;
    writeln!(page, "| system | {}, {} |", machine.kernel, machine.file_system)?;
    for tool in &figures.tools {
        writeln!(page, "| {} | {} |", tool.name, tool.version.as_deref().unwrap_or("not installed, left out"))?;
    }
    page.push('\n');
    Ok(())
}

/// The cells of one table: a row a step, a column a program.
struct Grid<'a> {
    set: &'a Set,
    tools: Vec<&'a str>,
}

impl<'a> Grid<'a> {
    fn new(set: &'a Set, tools: &'a [ToolNote]) -> Self {
        let has_run = |name: &&str| set.runs.iter().any(|run| run.tool == *name);
        Self { set, tools: tools.iter().map(|tool| tool.name.as_str()).filter(has_run).collect() }
    }

    /// Steps in the order of the first program.
    fn steps(&self) -> Vec<&'a str> {
        let mut steps: Vec<&str> = Vec::new();
        for run in &self.set.runs {
            if !steps.contains(&run.step.as_str()) {
                steps.push(&run.step);
            }
        }
        steps
    }

    fn values(&self, tool: &str, step: &str, value: &dyn Fn(&Run) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> =
            self.set.runs.iter().filter(|run| run.tool == tool && run.step == step).map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, tool: &str, step: &str, value: &dyn Fn(&Run) -> f64) -> Option<f64> {
        median(&self.values(tool, step, value))
    }

    /// A table of medians, with how Vellum's compare.
    fn table(
        &self,
        page: &mut String,
        title: &str,
        steps: &[&str],
        value: &dyn Fn(&Run) -> f64,
    ) -> Result<(), Failure> {
        writeln!(page, "| {title} | {} | to {FLOOR} | to the best other |", self.tools.join(" | "))?;
        writeln!(page, "|{}", " --- |".repeat(self.tools.len() + 3))?;
        for step in steps {
            let cell = |tool: &&str| self.median(tool, step, value).map_or("–".to_owned(), digits);
            let cells: Vec<String> = self.tools.iter().map(cell).collect();
            let ours = self.median(OURS, step, value);
            let peers = self.tools.iter().filter(|tool| ![OURS, FLOOR].contains(tool));
            let best = peers.filter_map(|tool| self.median(tool, step, value)).min_by(f64::total_cmp);
            let [floor, best] = [self.median(FLOOR, step, value), best].map(|other| ratio(ours, other));
            writeln!(page, "| {step} | {} | {floor} | {best} |", cells.join(" | "))?;
        }
        page.push('\n');
        Ok(())
    }
}

fn of_set(page: &mut String, plots: &Path, set: &Set, tools: &[ToolNote]) -> Result<(), Failure> {
    let grid = Grid::new(set, tools);
    let steps = grid.steps();
    let rounds = set.runs.iter().map(|run| run.round + 1).max().unwrap_or_default();
    writeln!(page, "## {}\n", set.name)?;
    let [one, two] = set.versions.map(told);
    let rounds_told = if rounds == 1 { "One round only".to_owned() } else { format!("{rounds} rounds") };
    writeln!(page, "{one}; the second version {two}. {rounds_told}.\n")?;
    let wall = |run: &Run| run.cost.wall;
    grid.table(page, "seconds", &steps, &wall)?;
    if rounds > 1 {
        spread(page, &grid, &steps)?;
    }
    grid.table(page, "processor seconds", &steps, &|run| run.cost.cpu)?;
    grid.table(page, "memory, MB", &steps, &|run| run.cost.peak_bytes as f64 / 1e6)?;
    let kept: Vec<&str> = ["first", "next", "prune"].into_iter().filter(|step| steps.contains(step)).collect();
    grid.table(page, "repository, MB, after", &kept, &|run| run.repository.bytes as f64 / 1e6)?;
    came_back(page, &grid)?;
    let groups: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
    let row = |tool: &&str| Row {
        name: (*tool).to_owned(),
        values: steps.iter().map(|step| grid.median(tool, step, &wall)).collect(),
    };
    let rows: Vec<Row> = grid.tools.iter().map(row).collect();
    let file = format!("{}.svg", set.name);
    plots::bars(&plots.join(&file), &format!("{}: seconds a step", set.name), "seconds", &groups, &rows)?;
    writeln!(page, "![seconds of each program in each step](benchmarks/{file})\n")?;
    Ok(())
}

/// How far rounds lie apart: what differs by less is no difference.
fn spread(page: &mut String, grid: &Grid<'_>, steps: &[&str]) -> Result<(), Failure> {
    let of_tool = |tool: &&str| {
        let widest = steps.iter().filter_map(|step| {
            let values = grid.values(tool, step, &|run| run.cost.wall);
            let middle = median(&values).filter(|middle| *middle >= 0.1)?;
            Some((values.last()? - values.first()?) / middle)
        });
        widest.max_by(f64::total_cmp).map(|share| format!("{tool} {:.0} %", 100.0 * share))
    };
    let spreads: Vec<String> = grid.tools.iter().filter_map(of_tool).collect();
    writeln!(
        page,
        "Slowest against fastest round, of the step where they lie farthest apart: {}.\n",
        spreads.join(", ")
    )?;
    Ok(())
}

fn came_back(page: &mut String, grid: &Grid<'_>) -> Result<(), Failure> {
    let verdict = |tool: &&str| {
        let of_tool = grid.set.runs.iter().filter(|run| run.tool == **tool);
        let worst = of_tool.filter_map(|run| run.differences).max_by_key(|found| (found.content, found.metadata))?;
        Some(match worst {
            Differences { content: 0, metadata: 0 } => format!("{tool} exactly"),
            Differences { content: 0, metadata } => format!("{tool} but for permissions or times ({metadata})"),
            Differences { content, .. } => format!("{tool} NOT ({content} different)"),
        })
    };
    let verdicts: Vec<String> = grid.tools.iter().filter_map(verdict).collect();
    writeln!(page, "What was restored came back: {}.\n", verdicts.join(", "))?;
    Ok(())
}

fn commands(page: &mut String, tools: &[ToolNote]) -> Result<(), Failure> {
    page.push_str("## Commands\n\nAs a shell ran them; `$OWN` is a folder of each program's own, where its repository and its cache lie.\n\n");
    for tool in tools.iter().filter(|tool| tool.version.is_some()) {
        writeln!(page, "```sh\n# {}", tool.name)?;
        let mut told: Vec<&str> = Vec::new();
        for (_, line) in &tool.commands {
            if !told.contains(&line.as_str()) {
                told.push(line);
                writeln!(page, "{line}")?;
            }
        }
        page.push_str("```\n\n");
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    Ok(())
}

/// The middle of sorted values.
fn median(values: &[f64]) -> Option<f64> {
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len.is_multiple_of(2) => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

/// Three digits, as far as they are before the point.
fn digits(value: f64) -> String {
    match value {
        0.0..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn ratio(ours: Option<f64>, other: Option<f64>) -> String {
    match (ours, other) {
        (Some(ours), Some(other)) if other > 0.0 => format!("{:.2}", ours / other),
        _ => "–".to_owned(),
    }
}

fn told(extent: Extent) -> String {
    format!("{} files, {:.0} MB", extent.files, extent.bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Cost, Machine, Point, Series};

    fn run(tool: &str, round: u64, wall: f64) -> Run {
        let cost = Cost { wall, cpu: 2.0 * wall, peak_bytes: 5_000_000 };
        let (tool, step, repository) = (tool.to_owned(), "first".to_owned(), Extent { files: 3, bytes: 7_000_000 });
        Run { round, tool, step, cost, repository, differences: Some(Differences::default()) }
    }

    fn figures() -> Figures {
        let note = |name: &str, version: Option<&str>| ToolNote {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            commands: vec![("first".to_owned(), format!("{name} create"))],
        };
        let extent = Extent { files: 10, bytes: 1_000_000 };
        let runs = vec![run("vellum", 0, 1.0), run("vellum", 1, 3.0), run("tar+zstd", 0, 4.0), run("borg", 0, 8.0)];
        let point = |files, wall| Point {
            round: 0,
            size: files,
            source: Extent { files, bytes: files * 4096 },
            verbs: vec![("ls".to_owned(), Cost { wall, cpu: wall, peak_bytes: 1 })],
        };
        Figures {
            machine: Machine::default(),
            tools: vec![
                note("vellum", Some("1")),
                note("tar+zstd", Some("1")),
                note("borg", Some("2")),
                note("rustic", None),
            ],
            sets: vec![Set { name: "small".to_owned(), versions: [extent; 2], runs }],
            growth: vec![Series { name: "files".to_owned(), points: vec![point(10, 1.0), point(20, 1.5)] }],
        }
    }

    #[test]
    fn the_page_is_made_of_the_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figures.json");
        figures().write(&path).unwrap();
        let words = ["--figures", path.to_str().unwrap(), "--docs", folder.path().to_str().unwrap()];
        write(&mut Arguments::parse(words.into_iter().map(str::to_owned)).unwrap()).unwrap();
        let page = fs::read_to_string(folder.path().join("BENCHMARKS.md")).unwrap();
        for expected in [
            "| first | 2.00 | 4.00 | 8.00 | 0.50 | 0.25 |",
            "| rustic | not installed, left out |",
            "vellum exactly, tar+zstd exactly, borg exactly",
            "vellum 100 %",
            "| ls | 1.00 | 1.50 | 1.50 |",
            "# borg\nborg create\n",
        ] {
            assert!(page.contains(expected), "{expected} in\n{page}");
        }
        assert!(
            ["small", "growth-files"].iter().all(|name| folder.path().join(format!("benchmarks/{name}.svg")).exists())
        );
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(
            [median(&[]), median(&[1.0]), median(&[1.0, 3.0]), median(&[1.0, 2.0, 9.0])],
            [None, Some(1.0), Some(2.0), Some(2.0)]
        );
        assert_eq!([digits(0.1234), digits(1.234), digits(12.34), digits(123.4)], ["0.123", "1.23", "12.3", "123"]);
    }
}
