//! Real processes at the same time: writers without end, pruners, a forgetter, a reader, and somebody who stops and
//! continues whom he likes.

use crate::failure::{Failure, Harm};
use crate::program::{Call, Ran};
use crate::scene::{End, Places, Promise, Restored, Scene};
use crate::suite::{Bench, Series};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vellum_testkit::trees::TreeOptions;
use vellum_testkit::{Random, lock};

/// The whole crowd in front of one repository.
struct Crowd<'a> {
    bench: &'a Bench,
    writers: Vec<Writer>,
    /// Processes that may be stopped.
    running: Mutex<BTreeSet<i32>>,
    is_over: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

/// What the others see of a writer.
struct Writer {
    source: PathBuf,
    promises: Arc<Mutex<BTreeMap<String, Promise>>>,
}

/// One crowd for as long as was asked for.
pub(crate) fn run(series: &mut Series<'_>) -> Result<(), Failure> {
    let arguments = &series.bench.arguments;
    let (writer_count, pruner_count, minutes) = (arguments.writers, arguments.pruners, arguments.minutes);
    let program = &series.bench.program;
    let first = Scene::new(series, Places::below(&series.folder))?;
    let mut clients = |name: &str, count: usize| -> Result<Vec<Scene>, Failure> {
        (0..count).map(|number| client(&first, &format!("{name}-{number}"), series.random.next())).collect()
    };
    let mut writers = clients("writer", writer_count)?;
    let mut readers = clients("reader", 1)?;
    let mut forgetters = clients("forgetter", usize::from(program.has("forget")))?;
    let mut pruners = clients("pruner", if program.has("prune") { pruner_count } else { 0 })?;
    let seen = |scene: &Scene| Writer { source: scene.places.source.clone(), promises: Arc::clone(&scene.promises) };
    let crowd = Crowd {
        bench: series.bench,
        writers: writers.iter().map(seen).collect(),
        running: Mutex::default(),
        is_over: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        let crowd = &crowd;
        for scene in &mut writers {
            scope.spawn(move || crowd.again(scene, Crowd::write));
        }
        for scene in &mut readers {
            scope.spawn(move || crowd.again(scene, Crowd::read));
        }
        for scene in &mut forgetters {
            scope.spawn(move || crowd.again(scene, Crowd::forget));
        }
        for scene in &mut pruners {
            scope.spawn(move || crowd.again(scene, Crowd::prune));
        }
        crowd.disturb(&mut Random::new(series.random.next()), minutes);
    });
    let failure = lock(&crowd.failure).take();
    match failure {
        Some(failure) if failure.harm != Harm::Damaged => Err(failure),
        failure => settle(series, &mut writers).and(failure.map_or(Ok(()), Err)),
    }
}

/// A client with a folder of its own.
fn client(first: &Scene, name: &str, seed: u64) -> Result<Scene, Failure> {
    let folder = first.places.work.join(name);
    fs::create_dir(&folder)?;
    let Places { repository, key, .. } = first.places.clone();
    let mut scene = first.at(Places { repository, key, ..Places::below(&folder) }, seed);
    scene.build(TreeOptions { file_count: 5, len_bytes_max: 50_000 })?;
    Ok(scene)
}

impl Crowd<'_> {
    /// Does it again and again until it is over or something fails.
    fn again(&self, scene: &mut Scene, act: impl Fn(&Self, &mut Scene) -> Result<(), Failure>) {
        while !self.is_over.load(Ordering::Relaxed) {
            if let Err(failure) = act(self, scene) {
                self.is_over.store(true, Ordering::Relaxed);
                *lock(&self.failure) = Some(failure);
            }
        }
    }

    /// Runs it where whoever stops processes can see it.
    fn run(&self, scene: &Scene, call: Call) -> Result<Ran, Failure> {
        let running = call.start()?;
        let process = running.id();
        lock(&self.running).insert(process);
        let ran = running.wait();
        lock(&self.running).remove(&process);
        let ran = ran?;
        scene.note(&ran.told())?;
        Ok(ran)
    }

    fn write(&self, scene: &mut Scene) -> Result<(), Failure> {
        scene.mutate(4);
        scene.disturb()?;
        let source = scene.source();
        let ran = self.run(scene, scene.backup())?;
        let End::Acknowledged(_) = scene.settle(&ran, source)? else {
            return Err(ran.failure(Harm::Stuck, "a backup was refused"));
        };
        self.bench.tally.add("cases");
        Ok(())
    }

    /// Somebody's promise.
    fn draw(&self, random: &mut Random) -> Option<(&Writer, String)> {
        let writer = random.pick(&self.writers);
        let ids: Vec<String> = lock(&writer.promises).keys().cloned().collect();
        (!ids.is_empty()).then(|| (writer, random.pick(&ids).clone()))
    }

    /// What is promised can be read at any time. A snapshot may be forgotten meanwhile, and then nothing is owed.
    fn read(&self, scene: &mut Scene) -> Result<(), Failure> {
        pause(&mut scene.random, 200);
        scene.disturb()?;
        if scene.random.one_in(4) {
            return self.check(scene);
        }
        let Some((writer, id)) = self.draw(&mut scene.random) else { return Ok(()) };
        let Some(promise) = lock(&writer.promises).get(&id).cloned() else { return Ok(()) };
        scene.places.source.clone_from(&writer.source);
        let target = scene.places.work.join("target");
        let ran = self.run(scene, scene.restore_call(&id, &target))?;
        let restored = scene.judge_restore(&ran, &target, &promise);
        if target.exists() {
            fs::remove_dir_all(&target)?;
        }
        let is_owed = lock(&writer.promises).contains_key(&id);
        match restored {
            Ok(Restored::Whole) => self.bench.tally.add("read meanwhile"),
            Ok(Restored::Incomplete(ran)) if is_owed => {
                return Err(ran.failure(Harm::Lost, "an acknowledged snapshot cannot be restored meanwhile"));
            }
            // Wrong bytes are wrong whatever was forgotten.
            Err(failure) if is_owed || failure.harm != Harm::Lost => return Err(failure),
            _ => self.bench.tally.add("forgotten while read"),
        }
        Ok(())
    }

    /// What others write, forget and delete meanwhile is no damage.
    fn check(&self, scene: &mut Scene) -> Result<(), Failure> {
        let call = scene.call("check");
        let call = if scene.random.one_in(2) { call.arg("--read-data") } else { call };
        match self.run(scene, call)?.expect_code(0, Harm::Damaged) {
            Ok(_) => self.bench.tally.add("checked meanwhile"),
            // Nobody else is hindered by it, so all go on.
            Err(failure) => {
                lock(&self.failure).get_or_insert(failure);
                self.bench.tally.add("wrongly called damaged");
            }
        }
        Ok(())
    }

    /// Leaves every writer some.
    fn forget(&self, scene: &mut Scene) -> Result<(), Failure> {
        pause(&mut scene.random, 500);
        scene.disturb()?;
        let writer = scene.random.pick(&self.writers);
        let ids = {
            let mut promises = lock(&writer.promises);
            let excess = promises.len().saturating_sub(1 + scene.random.below(6));
            let ids: Vec<String> = promises.keys().take(excess).cloned().collect();
            promises.retain(|id, _| !ids.contains(id));
            ids
        };
        if ids.is_empty() {
            return Ok(());
        }
        self.run(scene, scene.call("forget").args(&ids))?.expect_code(0, Harm::Stuck)?;
        ids.iter().for_each(|_| self.bench.tally.add("forgotten"));
        Ok(())
    }

    fn prune(&self, scene: &mut Scene) -> Result<(), Failure> {
        pause(&mut scene.random, 300);
        scene.disturb()?;
        let unused = if scene.random.one_in(2) { "0" } else { "5%" };
        self.run(scene, scene.call("prune").args(["--grace", "0", "--max-unused", unused]))?
            .expect_code(0, Harm::Stuck)?;
        self.bench.tally.add("prunes");
        Ok(())
    }

    /// Keeps up to two processes stopped, each for a while, until time is over; in the end all go on.
    fn disturb(&self, random: &mut Random, minutes: f64) {
        let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
        let mut stopped: VecDeque<i32> = VecDeque::new();
        let signal = |process: i32, signal: Signal| {
            // Who ended meanwhile does not mind.
            Pid::from_raw(process).and_then(|process| kill_process(process, signal).ok());
        };
        while Instant::now() < end && !self.is_over.load(Ordering::Relaxed) {
            pause(random, 700);
            let running: Vec<i32> = lock(&self.running).iter().copied().collect();
            if !running.is_empty() {
                let process = *random.pick(&running);
                signal(process, Signal::STOP);
                stopped.push_back(process);
                self.bench.tally.add("stopped");
            }
            if stopped.len() > 2 {
                stopped.drain(..1).for_each(|process| signal(process, Signal::CONT));
            }
            if self.bench.is_stopped.load(Ordering::Relaxed) {
                break;
            }
        }
        self.is_over.store(true, Ordering::Relaxed);
        // One may be starting in this moment.
        while !lock(&self.running).is_empty() {
            stopped.extend(lock(&self.running).iter());
            stopped.drain(..).for_each(|process| signal(process, Signal::CONT));
            pause(random, 50);
        }
    }
}

fn pause(random: &mut Random, milliseconds_max: usize) {
    std::thread::sleep(Duration::from_millis(random.below(milliseconds_max) as u64));
}

/// All of it is quiet now: everything promised is there.
fn settle(series: &Series<'_>, writers: &mut [Scene]) -> Result<(), Failure> {
    writers[0].check()?;
    let listed = writers[0].listed()?;
    for scene in writers.iter_mut() {
        for (id, promise) in lock(&scene.promises).clone() {
            if !listed.contains(&id) {
                return Err(Failure::new(Harm::Lost, format!("snapshot {id} is not listed any more")));
            }
            scene.expect_restored(&id, &promise)?;
            series.add("restored at the end");
        }
        let source = scene.source();
        let ran = scene.run(scene.backup())?;
        ran.expect_code(0, Harm::Stuck)?;
        scene.settle(&ran, source)?;
    }
    writers[0].check()
}
