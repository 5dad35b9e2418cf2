//! The comparison: every program through every step, in turn within each round, so that a slow minute of the machine
//! falls on all of them.

use crate::arguments::{Arguments, Budget};
use crate::figures::{Cost, Figures, Run, Set};
use crate::sources::Sources;
use crate::tools::{self, Places, Step, Tool};
use crate::trees::{differences, extent};
use crate::{Failure, machine};
use std::fs;
use std::path::{Path, PathBuf};

/// What is asked for.
struct Plan {
    work: PathBuf,
    figures: PathBuf,
    rounds: u64,
    tools: Vec<Tool>,
    budget: Budget,
}

pub(crate) fn measure(arguments: &mut Arguments) -> Result<(), Failure> {
    let vellum = arguments.one("vellum").unwrap_or_else(|| "vellum".to_owned());
    let wanted = arguments.one("tools");
    let is_wanted = |tool: &Tool| wanted.as_ref().is_none_or(|names| names.split(',').any(|name| name == tool.name));
    let plan = Plan {
        work: arguments.path("work")?,
        figures: arguments.path("figures")?,
        rounds: arguments.number("rounds", 3)?,
        tools: tools::all(&vellum).into_iter().filter(is_wanted).collect(),
        budget: Budget::new(arguments)?,
    };
    let sets = arguments.all("set");
    let tiny = arguments.number("tiny", 0)?;
    arguments.finish()?;
    fs::create_dir_all(&plan.work)?;
    let mut figures = Figures::read_or_new(&plan.figures)?;
    figures.machine = machine::describe(&plan.work);
    figures.tools = plan.tools.iter().map(Tool::note).collect();
    for missing in figures.tools.iter().filter(|tool| tool.version.is_none()) {
        eprintln!("{} is not installed here and is left out", missing.name);
    }
    for set in &sets {
        let wrong = || format!("--set {set}: it must be NAME=ONE,TWO");
        let (name, paths) = set.split_once('=').ok_or_else(wrong)?;
        let (one, two) = paths.split_once(',').ok_or_else(wrong)?;
        let sources = |folder: &Path| Sources::copy(folder, [Path::new(one), Path::new(two)]);
        plan.measure_set(&mut figures, name, sources)?;
    }
    if tiny > 0 {
        plan.measure_set(&mut figures, "tiny", |folder| Sources::tiny(folder, tiny))?;
    }
    plan.budget.tell();
    Ok(())
}

impl Plan {
    fn measure_set(
        &self,
        figures: &mut Figures,
        name: &str,
        sources: impl FnOnce(&Path) -> Result<Sources, Failure>,
    ) -> Result<(), Failure> {
        let folder = self.work.join(name);
        let mut sources = Sources::kept_or_new(&folder.join("sources"), sources)?;
        let versions = sources.extents()?;
        if !figures.sets.iter().any(|set| set.name == name && set.versions == versions) {
            figures.sets.retain(|set| set.name != name);
            figures.sets.push(Set { name: name.to_owned(), versions, runs: Vec::new() });
        }
        let installed = |figures: &Figures, tool: &&Tool| {
            figures.tools.iter().any(|note| note.name == tool.name && note.version.is_some())
        };
        let tools: Vec<&Tool> = self.tools.iter().filter(|tool| installed(figures, tool)).collect();
        for (round, tool) in (0..self.rounds).flat_map(|round| tools.iter().map(move |tool| (round, tool))) {
            let set = figures.sets.iter_mut().find(|set| set.name == name).ok_or("the set was pushed")?;
            if set.runs.iter().any(|run| run.round == round && run.tool == tool.name) {
                continue;
            }
            if !self.budget.take() {
                return Ok(());
            }
            let runs = run(tool, round, &folder, &mut sources)?;
            tell(name, &runs);
            set.runs.extend(runs);
            figures.write(&self.figures)?;
        }
        Ok(fs::remove_dir_all(folder)?)
    }
}

/// All steps of one program in one round.
fn run(tool: &Tool, round: u64, folder: &Path, sources: &mut Sources) -> Result<Vec<Run>, Failure> {
    let (own, target) = (folder.join("own"), folder.join("target"));
    for old in [&own, &target] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
        fs::create_dir_all(old)?;
    }
    let source = sources.path();
    let places = Places { own: &own, source: &source, target: &target };
    let desk = tool.desk(&own);
    let mut runs = Vec::new();
    for step in Step::ALL {
        match step {
            Step::First => sources.place(0)?,
            Step::Next => sources.place(1)?,
            _ => {}
        }
        let Some(line) = tool.line(step, &places) else { continue };
        let cost = desk.run(&line, &own)?;
        let differences = match step {
            Step::Restore => Some(differences(&source, &tool.restored(&places))?),
            _ => None,
        };
        let repository = extent(&own.join("repository"))?;
        runs.push(Run {
            round,
            tool: tool.name.to_owned(),
            step: step.name().to_owned(),
            cost,
            repository,
            differences,
        });
    }
    fs::remove_dir_all(&own)?;
    fs::remove_dir_all(&target)?;
    Ok(runs)
}

fn tell(set: &str, runs: &[Run]) {
    let Some(Run { round, tool, .. }) = runs.first() else { return };
    let steps: Vec<String> = runs
        .iter()
        .map(|Run { step, cost: Cost { wall, cpu, peak_bytes }, .. }| {
            format!("{step} {wall:.2} s ({cpu:.2} s, {} MB)", peak_bytes / 1_000_000)
        })
        .collect();
    eprintln!("{set}, round {round}, {tool}: {}", steps.join(", "));
    for differences in runs.iter().filter_map(|run| run.differences).filter(|found| *found != Default::default()) {
        eprintln!("{tool} did not restore everything as it was: {differences:?}");
    }
}
