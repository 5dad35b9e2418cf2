//! What a client does, how it is judged afterwards, and what is promised by it.

use crate::failure::{Failure, Harm};
use crate::program::{Call, Program, Ran};
use crate::scene::{End, Promise, Scene};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use vellum_testkit::lock;
use vellum_testkit::trees::Manifest;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// Back up the source.
    Backup,
    /// The same, reading every file.
    FullBackup,
    /// Verify every byte.
    Check,
    /// Restore one snapshot.
    Restore,
    /// List the snapshots.
    List,
    /// Add a key file.
    AddKey,
    /// Remove one that was added.
    RemoveKey,
    /// Make another repository.
    Init,
    /// Forget some snapshots by their ids.
    Forget,
    /// Forget all but some of the newest.
    ForgetByRule,
    /// Remove what nothing needs, without grace.
    Prune,
    /// Make the index, the packs or the snapshots whole again.
    Repair(&'static str),
}

impl Action {
    /// Everything that a program can do, each as often as it is to be drawn.
    pub(crate) fn weighted(program: &Program) -> Vec<Self> {
        let mut actions = vec![(Self::Backup, 12), (Self::FullBackup, 2), (Self::Check, 1), (Self::Restore, 1)];
        actions.extend([(Self::AddKey, 2), (Self::RemoveKey, 1), (Self::Init, 1)]);
        if program.has("forget") {
            actions.extend([(Self::Forget, 2), (Self::ForgetByRule, 1)]);
        }
        if program.has("prune") {
            actions.push((Self::Prune, 8));
        }
        if program.has("repair") {
            actions.extend(["index", "packs", "snapshots"].map(|what| (Self::Repair(what), 1)));
        }
        actions.into_iter().flat_map(|(action, weight)| vec![action; weight]).collect()
    }

    /// Everything that a program can do, once.
    pub(crate) fn each(program: &Program) -> Vec<Self> {
        let mut actions = Self::weighted(program);
        actions.push(Self::List);
        actions.sort();
        actions.dedup();
        actions
    }

    /// A name for lists and closing lines.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Repair(what) => format!("repair {what}"),
            other => format!("{other:?}").to_lowercase(),
        }
    }
}

/// An action with everything that it takes to judge it.
pub(crate) struct Prepared {
    call: Option<Call>,
    kind: Kind,
}

enum Kind {
    Backup {
        source: Arc<Manifest>,
    },
    Restore {
        target: PathBuf,
        promise: Box<Promise>,
    },
    AddKey {
        file: PathBuf,
    },
    RemoveKey {
        file: PathBuf,
    },
    Init {
        folder: PathBuf,
    },
    Forget {
        ids: Vec<String>,
    },
    /// Also a rule, which may keep more than it is asked to, such as what is dated before what was made earlier.
    Other,
}

impl Prepared {
    /// Prepares an action; what it may take away is promised no more. An action that has nothing to work on becomes
    /// a backup.
    pub(crate) fn new(scene: &mut Scene, action: Action) -> Result<Self, Failure> {
        let prepared = match action {
            Action::Backup => backup(scene, scene.backup()),
            Action::FullBackup => backup(scene, scene.backup().arg("--force")),
            Action::Check => other(scene.call("check").arg("--read-data")),
            Action::List => other(scene.call("snapshots")),
            Action::Prune => other(scene.call("prune").args(["--grace", "0"])),
            Action::Repair(what) => other(scene.call("repair").arg(what)),
            Action::Restore => restore(scene),
            Action::Forget => forget(scene),
            Action::ForgetByRule => forget_by_rule(scene)?,
            Action::AddKey => add_key(scene),
            Action::RemoveKey => remove_key(scene)?,
            Action::Init => init(scene)?,
        };
        Ok(prepared)
    }

    /// The run; it can be had once.
    pub(crate) fn call(&mut self) -> Call {
        self.call.take().expect("an action is run once")
    }

    /// Judges the run.
    pub(crate) fn settle(self, scene: &mut Scene, ran: &Ran) -> Result<End, Failure> {
        if let Kind::Backup { source } = self.kind {
            return scene.settle(ran, source);
        }
        ran.expect_clean_end()?;
        let is_done = ran.code == Some(0);
        match self.kind {
            Kind::Restore { target, promise } => settle_restore(scene, ran, &target, &promise)?,
            Kind::AddKey { file } if is_done => scene.keys.push(file),
            Kind::RemoveKey { file } if is_done => expect_locked_out(scene, &file)?,
            Kind::Forget { ids } if is_done => expect_forgotten(scene, ran, &ids)?,
            Kind::Init { folder } => expect_usable(scene, is_done, &folder)?,
            _ => {}
        }
        Ok(match ran.code {
            Some(0) => End::Acknowledged(String::new()),
            Some(_) => End::Refused,
            None => End::Killed,
        })
    }
}

fn other(call: Call) -> Prepared {
    Prepared { call: Some(call), kind: Kind::Other }
}

fn backup(scene: &mut Scene, call: Call) -> Prepared {
    let source = scene.source();
    scene.attempt(Some(Arc::clone(&source)));
    Prepared { call: Some(call), kind: Kind::Backup { source } }
}

fn restore(scene: &mut Scene) -> Prepared {
    let promised = scene.promised();
    let id = scene.random.pick(&promised).clone();
    let promise = lock(&scene.promises)[&id].clone();
    let target = scene.places.work.join("target-of-action");
    Prepared {
        call: Some(scene.restore_call(&id, &target)),
        kind: Kind::Restore { target, promise: Box::new(promise) },
    }
}

/// What was restored is right as far as nothing else was said; who is killed says nothing.
fn settle_restore(scene: &Scene, ran: &Ran, target: &PathBuf, promise: &Promise) -> Result<(), Failure> {
    if ran.code.is_some() {
        scene.judge_restore(ran, target, promise)?;
    }
    if target.exists() {
        fs::remove_dir_all(target)?;
    }
    Ok(())
}

fn forget(scene: &mut Scene) -> Prepared {
    let mut promised = scene.promised();
    if promised.len() < 2 {
        return backup(scene, scene.backup());
    }
    let count = 1 + scene.random.below(promised.len() - 1);
    let ids: Vec<String> = (0..count).map(|_| promised.swap_remove(scene.random.below(promised.len()))).collect();
    scene.release(&ids);
    let call = scene.call("forget").args(&ids);
    let call = if scene.program.has("prune") && scene.random.one_in(3) { call.args(["--prune"]) } else { call };
    Prepared { call: Some(call), kind: Kind::Forget { ids } }
}

fn forget_by_rule(scene: &mut Scene) -> Result<Prepared, Failure> {
    let mut listed = scene.listed()?;
    let kept = 1 + scene.random.below(4);
    listed.truncate(listed.len().saturating_sub(kept));
    scene.release(&listed);
    let call = scene.call("forget").args(["--across-devices", "--keep-last", &kept.to_string()]);
    Ok(other(call))
}

fn expect_forgotten(scene: &Scene, ran: &Ran, ids: &[String]) -> Result<(), Failure> {
    let listed = scene.listed()?;
    match ids.iter().find(|id| listed.contains(id)) {
        Some(id) => Err(ran.failure(Harm::Silent, &format!("snapshot {id} is still listed"))),
        None => Ok(()),
    }
}

fn add_key(scene: &mut Scene) -> Prepared {
    // Beside the first key, which lies where keys suffer what the suite does.
    let file = scene.places.key.with_file_name(format!("key-{:08x}", scene.random.below(1 << 32)));
    let call = scene.call("key").args(["add".as_ref(), "--key-file".as_ref(), file.as_os_str()]);
    Prepared { call: Some(call), kind: Kind::AddKey { file } }
}

/// The slot is found as the one in use when the key unlocks.
fn remove_key(scene: &mut Scene) -> Result<Prepared, Failure> {
    let Some(file) = scene.keys.pop() else { return Ok(add_key(scene)) };
    let ran = scene.run(scene.call("key").arg("list").variable("VELLUM_KEY_FILE", &file))?;
    ran.expect_code(0, Harm::Lost)?;
    let slot = ran.lines_of("slot").into_iter().find(|slot| slot["current"] == true);
    let id = slot.and_then(|slot| slot["id"].as_str().map(str::to_owned));
    let id = id.ok_or_else(|| ran.failure(Harm::Unfit, "no slot is marked as the one in use"))?;
    let call = scene.call("key").args(["remove", &id]);
    Ok(Prepared { call: Some(call), kind: Kind::RemoveKey { file } })
}

fn expect_locked_out(scene: &Scene, file: &PathBuf) -> Result<(), Failure> {
    let ran = scene.run(scene.call("snapshots").variable("VELLUM_KEY_FILE", file))?;
    ran.expect_code(12, Harm::Silent).map(drop)
}

/// Where [`Action::Init`] makes a repository.
pub(crate) fn another(scene: &Scene) -> PathBuf {
    scene.places.repository.with_file_name("another")
}

fn init(scene: &mut Scene) -> Result<Prepared, Failure> {
    let folder = another(scene);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let call = scene.call("init").variable("VELLUM_REPOSITORY", &folder);
    Ok(Prepared { call: Some(call), kind: Kind::Init { folder } })
}

/// Half a repository can be made again; a whole one opens.
fn expect_usable(scene: &Scene, is_done: bool, folder: &PathBuf) -> Result<(), Failure> {
    let call = |verb: &str| scene.call(verb).variable("VELLUM_REPOSITORY", folder);
    let opened = scene.run(call("snapshots"))?;
    if is_done || opened.code == Some(0) {
        return opened.expect_code(0, Harm::Lost).map(drop);
    }
    scene.run(call("init"))?.expect_code(0, Harm::Stuck)?;
    scene.run(call("snapshots"))?.expect_code(0, Harm::Lost).map(drop)
}
