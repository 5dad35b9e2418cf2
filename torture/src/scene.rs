//! A repository, a source, and what was promised about them.

use crate::failure::{Failure, Harm};
use crate::local_state::LocalState;
use crate::program::{Call, Program, Ran};
use crate::suite::Series;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use vellum_testkit::trees::{self, Manifest, TreeOptions, differences, manifest};
use vellum_testkit::{Random, lock};

/// Where things lie.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) repository: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) source: PathBuf,
    pub(crate) key: PathBuf,
    /// What the suite itself writes: never on the file system that suffers.
    pub(crate) work: PathBuf,
}

impl Places {
    /// All in one folder.
    pub(crate) fn below(folder: &Path) -> Self {
        let [repository, cache, source, key] = ["repository", "cache", "source", "key"].map(|name| folder.join(name));
        Self { repository, cache, source, key, work: folder.to_owned() }
    }
}

/// What an acknowledged snapshot holds.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    pub(crate) manifest: Arc<Manifest>,
    /// Paths that the backup said it could not read; with everything below them.
    pub(crate) excused: BTreeSet<Vec<u8>>,
}

impl Promise {
    fn differences(&self, found: &Manifest) -> Vec<String> {
        if self.excused.is_empty() {
            return differences(&self.manifest, found);
        }
        let excused = self.with_other_names();
        let is_excused = |path: &[u8]| {
            let below = |folder: &Vec<u8>| folder.is_empty() || path.starts_with(&[folder, &b"/"[..]].concat());
            excused.iter().any(|excused| path == &excused[..] || below(excused))
        };
        // Of a file with several names the first may be the one that could not be read.
        let kept = |manifest: &Manifest| -> Manifest {
            let rest = manifest.iter().filter(|(path, _)| !is_excused(path));
            rest.map(|(path, text)| (path.clone(), text.split(" group=").next().unwrap_or_default().to_owned()))
                .collect()
        };
        differences(&kept(&self.manifest), &kept(found))
    }

    /// What is excused under one name is under all others of the same file.
    fn with_other_names(&self) -> BTreeSet<Vec<u8>> {
        let group = |path: &Vec<u8>| self.manifest.get(path)?.split_once(" group=").map(|(_, first)| first.to_owned());
        let groups: BTreeSet<String> = self.excused.iter().filter_map(group).collect();
        let others = self.manifest.keys().filter(|path| group(path).is_some_and(|first| groups.contains(&first)));
        self.excused.iter().chain(others).cloned().collect()
    }
}

/// How a backup ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Exit code 0 or 3, with this snapshot.
    Acknowledged(String),
    /// Any other exit code.
    Refused,
    /// It was killed.
    Killed,
}

/// How a restore ended that is allowed to fail.
#[derive(Debug)]
pub(crate) enum Restored {
    /// It was told that everything is there, and it is.
    Whole,
    /// It was told that it is not.
    Incomplete(Ran),
}

/// A repository with one source and one local state.
pub(crate) struct Scene {
    pub(crate) places: Places,
    pub(crate) program: Program,
    /// Snapshots that were acknowledged and not forgotten.
    pub(crate) promises: Arc<Mutex<BTreeMap<String, Promise>>>,
    /// Key files besides the first one, which have to unlock.
    pub(crate) keys: Vec<PathBuf>,
    /// What the source was in the last backup that was not acknowledged; none if anything may have come of it.
    attempt: Option<Arc<Manifest>>,
    /// Snapshots that are there though nobody was told so.
    unasked: BTreeMap<String, Option<Arc<Manifest>>>,
    local_state: LocalState,
    pub(crate) random: Random,
    /// What every run is started through, such as a program that fakes the clock.
    pub(crate) wrapper: Vec<OsString>,
}

impl Scene {
    /// A new repository, without a source.
    pub(crate) fn new(series: &mut Series<'_>, places: Places) -> Result<Self, Failure> {
        let random = Random::new(series.random.next());
        let scene = Self {
            places,
            program: series.bench.program.clone(),
            promises: Arc::default(),
            keys: Vec::new(),
            attempt: None,
            unasked: BTreeMap::new(),
            local_state: series.bench.arguments.local_state,
            random,
            wrapper: Vec::new(),
        };
        let digits: String = (0..4).map(|_| format!("{:016x}", series.random.next())).collect();
        fs::write(&scene.places.key, format!("vellum-key-1 {digits}\n"))?;
        scene.run(scene.call("init"))?.expect_code(0, Harm::Unfit)?;
        Ok(scene)
    }

    /// A scene of its own: another client, or a copy of the repository. Nothing was promised to it yet.
    pub(crate) fn at(&self, places: Places, seed: u64) -> Self {
        Self {
            places,
            program: self.program.clone(),
            promises: Arc::default(),
            keys: Vec::new(),
            attempt: None,
            unasked: BTreeMap::new(),
            local_state: self.local_state,
            random: Random::new(seed),
            wrapper: self.wrapper.clone(),
        }
    }

    /// Fills the source.
    pub(crate) fn build(&mut self, options: TreeOptions) -> Result<(), Failure> {
        fs::create_dir_all(&self.places.source)?;
        trees::build(&self.places.source, self.random.next(), options);
        Ok(())
    }

    /// Changes the source.
    pub(crate) fn mutate(&mut self, change_count: usize) {
        trees::mutate(&self.places.source, self.random.next(), change_count);
    }

    /// What the source is.
    pub(crate) fn source(&self) -> Arc<Manifest> {
        Arc::new(manifest(&self.places.source))
    }

    /// A run of a verb on this repository, with results as JSON.
    pub(crate) fn call(&self, verb: &str) -> Call {
        let places = &self.places;
        let variables: [(&str, OsString); 5] = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("VELLUM_REPOSITORY", places.repository.clone().into()),
            ("VELLUM_KEY_FILE", places.key.clone().into()),
            ("VELLUM_CACHE_DIR", places.cache.clone().into()),
            ("TMPDIR", places.work.clone().into()),
        ];
        Call::new(&self.program, variables.into(), &places.work).args(["--json", verb]).through(&self.wrapper)
    }

    /// Runs it and writes down what it said.
    pub(crate) fn run(&self, call: Call) -> Result<Ran, Failure> {
        let ran = call.run()?;
        self.note(&ran.told())?;
        Ok(ran)
    }

    /// Writes something into the journal of this scene.
    pub(crate) fn note(&self, text: &str) -> Result<(), Failure> {
        let mut journal = fs::OpenOptions::new().create(true).append(true).open(self.places.work.join("journal"))?;
        Ok(writeln!(journal, "{text}")?)
    }

    /// What is done to the local state between any two runs.
    pub(crate) fn disturb(&mut self) -> Result<(), Failure> {
        let history = self.places.work.join("cache-history");
        self.local_state.disturb(&self.places.cache, &history, &mut self.random)
    }

    /// A backup of the source.
    pub(crate) fn backup(&self) -> Call {
        self.call("backup").arg(&self.places.source)
    }

    /// From here on, a snapshot may appear that holds this and was not acknowledged; of none it is not known what.
    pub(crate) fn attempt(&mut self, source: Option<Arc<Manifest>>) {
        self.attempt = source;
    }

    /// Judges a backup that has ended, and remembers what it promised.
    pub(crate) fn settle(&mut self, ran: &Ran, source: Arc<Manifest>) -> Result<End, Failure> {
        ran.expect_clean_end()?;
        match ran.code {
            Some(code @ (0 | 3)) => {
                let summary = ran.lines_of("summary").pop();
                let id = summary.and_then(|line| line["snapshot_id"].as_str().map(str::to_owned));
                let id = id.ok_or_else(|| ran.failure(Harm::Silent, "a success without a snapshot"))?;
                let excused = self.problems(ran);
                if (code == 3) == excused.is_empty() {
                    return Err(ran.failure(Harm::Silent, "exit code 3 means problems, and they are named"));
                }
                lock(&self.promises).insert(id.clone(), Promise { manifest: source, excused });
                Ok(End::Acknowledged(id))
            }
            Some(_) => Ok(End::Refused),
            None => Ok(End::Killed),
        }
    }

    /// The paths that a run had problems with, from the source.
    fn problems(&self, ran: &Ran) -> BTreeSet<Vec<u8>> {
        let source = [self.places.source.as_os_str().as_bytes(), b"/"].concat();
        let relative = |line: serde_json::Value| {
            let path = path_bytes(&line);
            path.strip_prefix(&source[..]).map(<[u8]>::to_vec).unwrap_or_default()
        };
        ran.lines_of("problem").into_iter().map(relative).collect()
    }

    /// Everything that has to be true when nothing fails any more: check is clean, the next backup works, and
    /// everything acknowledged comes back exactly.
    pub(crate) fn verify(&mut self) -> Result<(), Failure> {
        self.disturb()?;
        self.check()?;
        self.disturb()?;
        let source = self.source();
        let ran = self.run(self.backup())?;
        ran.expect_code(0, Harm::Stuck)?;
        self.settle(&ran, source)?;
        self.disturb()?;
        self.verify_promises()?;
        self.verify_keys()
    }

    /// `check --read-data` finds nothing.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.run(self.call("check").arg("--read-data"))?.expect_code(0, Harm::Damaged).map(drop)
    }

    /// Every snapshot that was promised is listed and comes back exactly; every other one that is listed as well.
    pub(crate) fn verify_promises(&mut self) -> Result<(), Failure> {
        let listed = self.listed()?;
        let promises = lock(&self.promises).clone();
        for (id, promise) in &promises {
            if !listed.contains(id) {
                return Err(Failure::new(Harm::Lost, format!("snapshot {id} is not listed any more: {listed:?}")));
            }
            self.expect_restored(id, promise)?;
        }
        let attempt = self.attempt.take();
        for id in listed.into_iter().filter(|id| !promises.contains_key(id)) {
            let manifest = self.unasked.entry(id.clone()).or_insert_with(|| attempt.clone());
            let manifest = manifest.clone();
            self.verify_unasked(&id, manifest)?;
        }
        Ok(())
    }

    /// A snapshot that nobody was told of has to be whole as well, because it is listed.
    fn verify_unasked(&self, id: &str, manifest: Option<Arc<Manifest>>) -> Result<(), Failure> {
        if let Some(manifest) = manifest {
            return self.expect_restored(id, &Promise { manifest, excused: BTreeSet::new() });
        }
        let (ran, target) = self.restore(id)?;
        ran.expect_code(0, Harm::Damaged)?;
        Ok(fs::remove_dir_all(target)?)
    }

    /// The ids of all snapshots, oldest first.
    pub(crate) fn listed(&self) -> Result<Vec<String>, Failure> {
        let ran = self.run(self.call("snapshots"))?;
        ran.expect_code(0, Harm::Damaged)?;
        let id = |line: serde_json::Value| line["id"].as_str().map(str::to_owned);
        Ok(ran.lines_of("snapshot").into_iter().filter_map(id).collect())
    }

    /// The call that restores the source of a snapshot into a new folder.
    pub(crate) fn restore_call(&self, id: &str, target: &Path) -> Call {
        let from: OsString = [id.as_ref(), ":".as_ref(), self.places.source.as_os_str()].into_iter().collect();
        self.call("restore").arg(from).arg(target)
    }

    fn restore(&self, id: &str) -> Result<(Ran, PathBuf), Failure> {
        let target = self.places.work.join(format!("target-{id:.8}"));
        let ran = self.run(self.restore_call(id, &target))?;
        Ok((ran, target))
    }

    /// A snapshot comes back exactly.
    pub(crate) fn expect_restored(&self, id: &str, promise: &Promise) -> Result<(), Failure> {
        match self.try_restore(id, promise)? {
            Restored::Whole => Ok(()),
            Restored::Incomplete(ran) => Err(ran.failure(Harm::Lost, "an acknowledged snapshot cannot be restored")),
        }
    }

    /// A snapshot comes back exactly, or what is missing is told.
    pub(crate) fn try_restore(&self, id: &str, promise: &Promise) -> Result<Restored, Failure> {
        let (ran, target) = self.restore(id)?;
        let restored = self.judge_restore(&ran, &target, promise)?;
        if target.exists() {
            fs::remove_dir_all(target)?;
        }
        Ok(restored)
    }

    /// Compares what a restore made with what it should have made.
    pub(crate) fn judge_restore(&self, ran: &Ran, target: &Path, promise: &Promise) -> Result<Restored, Failure> {
        ran.expect_clean_end()?;
        // With an error it ended before its end, and does not say what it left undone.
        if !matches!(ran.code, Some(0 | 4)) || !ran.lines_of("error").is_empty() {
            return Ok(Restored::Incomplete(ran.clone()));
        }
        let mut promise = promise.clone();
        let prefix = [target.as_os_str().as_bytes(), b"/"].concat();
        for line in [ran.lines_of("problem"), ran.lines_of("metadata_problem")].concat() {
            let path = path_bytes(&line);
            let source = [self.places.source.as_os_str().as_bytes(), b"/"].concat();
            let relative = path.strip_prefix(&prefix[..]).or_else(|| path.strip_prefix(&source[..]));
            promise.excused.insert(relative.map(<[u8]>::to_vec).unwrap_or(path.clone()));
        }
        let found = if target.exists() { manifest(target) } else { Manifest::new() };
        let differences = promise.differences(&found);
        match (differences.is_empty(), ran.code) {
            (true, Some(0)) => Ok(Restored::Whole),
            (true, _) => Ok(Restored::Incomplete(ran.clone())),
            (false, _) => {
                let shown = differences[..differences.len().min(10)].join("\n  ");
                Err(ran.failure(Harm::Wrong, &format!("what was restored differs:\n  {shown}")))
            }
        }
    }

    /// Every key that was added unlocks.
    fn verify_keys(&self) -> Result<(), Failure> {
        for key in &self.keys {
            let ran = self.run(self.call("snapshots").variable("VELLUM_KEY_FILE", key))?;
            ran.expect_code(0, Harm::Lost)?;
        }
        Ok(())
    }

    /// Releases from promises, before a forget that may be done and then fail.
    pub(crate) fn release(&self, ids: &[String]) {
        let mut promises = lock(&self.promises);
        ids.iter().for_each(|id| drop(promises.remove(id)));
    }

    /// Snapshots that were promised.
    pub(crate) fn promised(&self) -> Vec<String> {
        lock(&self.promises).keys().cloned().collect()
    }
}

/// The bytes of a line's path.
fn path_bytes(line: &serde_json::Value) -> Vec<u8> {
    let Some(digits) = line["path_bytes"].as_str() else {
        return line["path"].as_str().unwrap_or_default().as_bytes().to_vec();
    };
    let byte = |at: usize| digits.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..digits.len()).step_by(2).filter_map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest_of(entries: &[(&str, &str)]) -> Manifest {
        entries.iter().map(|(path, text)| (path.as_bytes().to_vec(), (*text).to_owned())).collect()
    }

    #[test]
    fn excused_is_what_was_named_with_its_other_names_and_nothing_else() {
        let entries = [("a", "file 1 group=a"), ("b", "file 1 group=a"), ("c/d", "file 2"), ("e", "file 3")];
        let excused = ["a", "c"].map(|path| path.as_bytes().to_vec()).into();
        let promise = Promise { manifest: Arc::new(manifest_of(&entries)), excused };
        assert!(promise.differences(&manifest_of(&[("e", "file 3")])).is_empty());
        assert_eq!(promise.differences(&manifest_of(&[("e", "file 4")])).len(), 1);
        assert_eq!(promise.differences(&manifest_of(&[])).len(), 1);
        let all = Promise { excused: BTreeSet::new(), ..promise };
        assert_eq!(all.differences(&manifest_of(&entries[1..])).len(), 1);
    }
}
