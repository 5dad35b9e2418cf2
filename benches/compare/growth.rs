//! What each verb of Vellum costs when the source doubles again and again.

use crate::arguments::{Arguments, Budget};
use crate::figures::{Cost, Figures, Point, Series};
use crate::sources::Sources;
use crate::tools::{self, Places, Tool};
use crate::trees::differences;
use crate::{Failure, machine};
use std::fs;
use std::path::Path;

/// Verbs and their lines in their order; the second version is placed before `next`.
const VERBS: [(&str, &str); 10] = [
    ("init", r#""$VELLUM" init --quiet && "$VELLUM" key add --quiet --key-file $OWN/key"#),
    ("backup, first", r#""$VELLUM" backup --quiet --key-file $OWN/key $SOURCE"#),
    ("backup, unchanged", r#""$VELLUM" backup --quiet --key-file $OWN/key $SOURCE"#),
    ("ls", r#""$VELLUM" ls --key-file $OWN/key latest --recursive"#),
    ("stats", r#""$VELLUM" stats --key-file $OWN/key"#),
    ("check, all data", r#""$VELLUM" check --quiet --key-file $OWN/key --read-data"#),
    ("restore", r#""$VELLUM" restore --quiet --key-file $OWN/key latest $TARGET"#),
    ("backup, half is gone", r#""$VELLUM" backup --quiet --key-file $OWN/key $SOURCE"#),
    ("forget", r#""$VELLUM" forget --quiet --key-file $OWN/key --keep-last 1"#),
    ("prune", r#""$VELLUM" prune --quiet --key-file $OWN/key --grace 0"#),
];

pub(crate) fn measure(arguments: &mut Arguments) -> Result<(), Failure> {
    let vellum = arguments.one("vellum").unwrap_or_else(|| "vellum".to_owned());
    let (work, path) = (arguments.path("work")?, arguments.path("figures")?);
    let (rounds, doublings) = (arguments.number("rounds", 3)?, arguments.number("doublings", 4)?);
    let (files, bytes) = (arguments.number("files", 10_000)?, arguments.number("bytes", 128 << 20)?);
    let budget = Budget::new(arguments)?;
    arguments.finish()?;
    fs::create_dir_all(&work)?;
    let tool = tools::all(&vellum).into_iter().find(|tool| tool.name == "vellum").ok_or("Vellum is a tool")?;
    let mut figures = Figures::read_or_new(&path)?;
    figures.machine = machine::describe(&work);
    type Make = fn(&Path, u64) -> Result<Sources, Failure>;
    for (name, smallest, make) in
        [("files of 4 KiB", files, Sources::files as Make), ("bytes of one file", bytes, Sources::file)]
    {
        if !figures.growth.iter().any(|series| series.name == name) {
            figures.growth.push(Series { name: name.to_owned(), points: Vec::new() });
        }
        for size in (0..=doublings).map(|doubling| smallest << doubling) {
            let folder = work.join(format!("growth-{}-{size}", name.split(' ').next().unwrap_or_default()));
            let series = figures.growth.iter().find(|series| series.name == name).ok_or("it was pushed")?;
            let is_there = |round| series.points.iter().any(|point| point.size == size && point.round == round);
            for round in (0..rounds).filter(|round| !is_there(*round)).collect::<Vec<_>>() {
                let mut sources = Sources::kept_or_new(&folder.join("sources"), |folder| make(folder, size))?;
                let source = sources.extents()?[0];
                if !budget.take() {
                    budget.tell();
                    return Ok(());
                }
                let verbs = run(&tool, &folder, &mut sources)?;
                eprintln!("{size} {name}, round {round}: {verbs:?}");
                let series = figures.growth.iter_mut().find(|series| series.name == name).ok_or("it was pushed")?;
                series.points.push(Point { round, size, source, verbs });
                figures.write(&path)?;
            }
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
        }
    }
    budget.tell();
    Ok(())
}

fn run(tool: &Tool, folder: &Path, sources: &mut Sources) -> Result<Vec<(String, Cost)>, Failure> {
    let (own, target) = (folder.join("own"), folder.join("target"));
    for old in [&own, &target] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
        fs::create_dir_all(old)?;
    }
    sources.place(0)?;
    let source = sources.path();
    let places = Places { own: &own, source: &source, target: &target };
    let desk = tool.desk(&own);
    let mut verbs = Vec::new();
    for (verb, line) in VERBS {
        if verb == "backup, half is gone" {
            sources.place(1)?;
        }
        verbs.push((verb.to_owned(), desk.run(&tools::filled(line, &places), &own)?));
        if verb == "restore" && differences(&source, &tool.restored(&places))?.content > 0 {
            return Err("a restore is not what was backed up".into());
        }
    }
    fs::remove_dir_all(&own)?;
    fs::remove_dir_all(&target)?;
    Ok(verbs)
}
