//! A source that fails and lies: the backup says what it could not read, and everything else is saved as it is.

mod lying_source;

use crate::failure::{Failure, Harm};
use crate::program::Ran;
use crate::scene::{Places, Scene};
use crate::suite::Series;
use lying_source::{Lie, LyingSource, Node, State};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};
use vellum_testkit::{Random, lock};

/// Sources on a file system of our own, each backed up twice with changes in between.
pub(crate) fn run(series: &mut Series<'_>) -> Result<(), Failure> {
    let mut scene = Scene::new(series, Places::below(&series.folder))?;
    for case in series.cases.clone() {
        if !series.goes_on() {
            break;
        }
        scene.places.source = series.folder.join(format!("source-{case}"));
        let source = LyingSource::mount(&scene.places.source, state(&mut series.random))?;
        for round in 0..2 {
            if round == 1 {
                rewrite(&mut lock(&source.state), &mut series.random);
            }
            scene.disturb()?;
            let ran = scene.run(scene.backup())?;
            judge(series, &scene, &source, &ran)?;
        }
        source.unmount()?;
        fs::remove_dir(&scene.places.source)?;
        series.add("cases");
        scene.check()?;
    }
    Ok(())
}

/// Some files, half of them honest.
fn state(random: &mut Random) -> State {
    let mut nodes: Vec<Node> = Vec::new();
    for number in 0..6 + random.below(20) {
        let mut lie = if random.one_in(2) { Lie::None } else { *random.pick(&Lie::ALL) };
        let is_after_honest = nodes.last().is_some_and(|before| before.lie == Lie::None);
        if lie == Lie::IsAnother && !is_after_honest {
            lie = Lie::None;
        }
        let len_bytes = match random.one_in(3) {
            true => 200 + random.below(600_000),
            false => 200 + random.below(20_000),
        };
        nodes.push(Node {
            name: format!("file-{number}"),
            is_below: random.one_in(2),
            content: random.bytes(len_bytes),
            changed: SystemTime::now(),
            lie,
            reads: 0,
        });
    }
    let ticks = [Duration::from_nanos(1), Duration::from_secs(1), Duration::from_secs(2)];
    State { nodes, tick: *random.pick(&ticks), listing_fails: random.one_in(8) }
}

/// Other bytes in every third file, as many as before, at the time that it is: on a coarse clock perhaps the same.
fn rewrite(state: &mut State, random: &mut Random) {
    for node in &mut state.nodes {
        if !random.one_in(3) {
            continue;
        }
        let at = random.below(node.content.len());
        node.content[at] ^= 0x5a;
        node.changed = SystemTime::now();
    }
}

/// Every file that was not named is saved with a content that it had.
fn judge(series: &Series<'_>, scene: &Scene, source: &LyingSource, ran: &Ran) -> Result<(), Failure> {
    ran.expect_clean_end()?;
    let id = ran.lines_of("summary").pop().and_then(|line| line["snapshot_id"].as_str().map(str::to_owned));
    let named: BTreeSet<String> =
        ran.lines_of("problem").iter().filter_map(|line| line["path"].as_str().map(str::to_owned)).collect();
    let (id, is_named) = match (ran.code, id) {
        (Some(0), Some(id)) if named.is_empty() => (id, false),
        (Some(3), Some(id)) if !named.is_empty() => (id, true),
        _ => return Err(ran.failure(Harm::Silent, "a backup ends with 0, or with 3 and names")),
    };
    series.add(if is_named { "named" } else { "nothing to name" });
    let target = scene.places.work.join("target");
    scene.run(scene.restore_call(&id, &target))?.expect_code(0, Harm::Lost)?;
    let state = lock(&source.state);
    let told = |path: &str| named.contains(&format!("{}/{path}", scene.places.source.display()));
    let folder_is_told = told("folder");
    if state.listing_fails && !folder_is_told {
        return Err(ran.failure(Harm::Silent, "a folder that cannot be listed is not named"));
    }
    for node in &state.nodes {
        let path = if node.is_below { format!("folder/{}", node.name) } else { node.name.clone() };
        if told(&path) || node.is_below && folder_is_told {
            series.add(format!("{:?} named", node.lie));
            continue;
        }
        series.add(format!("{:?} saved", node.lie));
        expect_true(ran, node, &path, &target)?;
    }
    Ok(fs::remove_dir_all(target)?)
}

fn expect_true(ran: &Ran, node: &Node, path: &str, target: &Path) -> Result<(), Failure> {
    let failed = |harm, why: &str| Err(ran.failure(harm, &format!("{path}, {:?}: {why}", node.lie)));
    let saved = fs::read(target.join(path));
    match (node.lie, saved) {
        (Lie::IsGone, Err(_)) => Ok(()),
        (_, Err(_)) => failed(Harm::Silent, "neither saved nor named"),
        (Lie::OpenFails | Lie::LookFails | Lie::ReadFails, Ok(_)) => failed(Harm::Wrong, "saved, though unreadable"),
        (Lie::Changes | Lie::ChangesQuietly, Ok(saved)) => {
            let was_so = (0..=node.reads).any(|read| node.content_at(read) == saved);
            if was_so { Ok(()) } else { failed(Harm::Wrong, "saved with bytes of several moments, and not named") }
        }
        (_, Ok(saved)) if saved == node.content => Ok(()),
        (_, Ok(saved)) => {
            let zeros = saved.iter().all(|byte| *byte == 0);
            let why = format!("{} bytes, {}", saved.len(), if zeros { "all zero" } else { "others" });
            failed(Harm::Wrong, &why)
        }
    }
}
