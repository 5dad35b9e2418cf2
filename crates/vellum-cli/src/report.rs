//! From an error to three lines for people (what happened, what it means, what to try) and an exit code.

use crate::exit_code::ExitCode;
use std::borrow::Cow;
use std::io;
use vellum::format::ObjectKind;
use vellum::storage::StorageError;
use vellum::{Error, RepositoryError};

/// Why a command failed, in words.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process exits with.
    pub(crate) exit_code: ExitCode,
    /// A stable name for programs.
    pub(crate) code: &'static str,
    /// What happened, naming the object or file.
    pub(crate) message: String,
    /// What it means.
    pub(crate) meaning: Cow<'static, str>,
    /// What to try.
    pub(crate) hint: Cow<'static, str>,
}

/// A failure's constant part.
type Words = (ExitCode, &'static str, &'static str, &'static str);

/// The name of a failure of standard output.
const OUTPUT: &str = "output";
/// The name of a stop that a signal asked for.
const INTERRUPTED: &str = "interrupted";

const DEFECT: Words = (
    ExitCode::Failed,
    "internal",
    "this is a defect of Vellum, not of your data; nothing was acknowledged",
    "please report it with this message and what you ran",
);
const DAMAGED: Words = (
    ExitCode::Damage,
    "damaged",
    "a stored object is missing or its bytes changed; everything that does not need it can still be restored",
    "run `vellum check --read-data` to see what it costs, and bring the object back from a copy if there is one",
);
const NO_SPACE: Words = (
    ExitCode::Failed,
    "no_space",
    "the disk or quota is used up; this run acknowledged nothing, and earlier snapshots are untouched",
    "free some space, or inodes where `df -i` shows none, then run the same command again: what was stored is used",
);

impl Failure {
    /// A failure with words of its own.
    pub(crate) fn new(
        exit_code: ExitCode,
        code: &'static str,
        message: impl Into<String>,
        meaning: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { exit_code, code, message: message.into(), meaning: meaning.into(), hint: hint.into() }
    }

    /// The command line, a variable or a file that they name cannot be used.
    pub(crate) fn usage(
        message: impl Into<String>,
        meaning: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(ExitCode::Usage, "usage", message, meaning, hint)
    }

    /// Something of the contract that a later version brings.
    pub(crate) fn comes_later(what: &str, hint: impl Into<Cow<'static, str>>) -> Self {
        let message = format!("{what} comes with a later version");
        Self::new(ExitCode::Usage, "comes_later", message, "this version does not have it yet; nothing was done", hint)
    }

    /// An operation on a file named by the user failed.
    pub(crate) fn file(doing: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let message = format!("cannot {doing} {}: {error}", crate::paths::printable_path(path));
        Self::usage(message, "a file that was named cannot be used; nothing was done", "check its name and permissions")
    }

    /// Standard output cannot be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        let message = format!("cannot write to standard output: {error}");
        let meaning = "the result could not be told, whatever was done";
        Self::new(ExitCode::Failed, OUTPUT, message, meaning, "check what standard output is redirected to")
    }

    /// The same, where what was done is known.
    pub(crate) fn after(self, meaning: impl Into<Cow<'static, str>>) -> Self {
        Self { meaning: meaning.into(), ..self }
    }

    /// Whether it is about standard output itself.
    pub(crate) fn is_about_output(&self) -> bool {
        self.code == OUTPUT
    }

    /// Whether a signal asked for it: each verb has its own words for what that means.
    pub(crate) fn is_interruption(&self) -> bool {
        self.code == INTERRUPTED
    }

    fn of_words(message: String, (exit_code, code, meaning, hint): Words) -> Self {
        Self::new(exit_code, code, message, meaning, hint)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let words = match &error {
            Error::Repository(_) => {
                let Error::Repository(error) = error else { unreachable!("it was just matched") };
                return error.into();
            }
            error => engine_words(error),
        };
        let message = match &error {
            Error::SourceMissing { path, source } => format!("cannot back up {}: {source}", path.display()),
            Error::Target { path, source } | Error::TargetFailed { path, source } => {
                format!("cannot restore into {}: {source}", crate::paths::printable_path(path))
            }
            Error::Cancelled => "stopped by a signal".to_owned(),
            other => told(other),
        };
        Self::of_words(message, words)
    }
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        if let RepositoryError::Unacknowledged { snapshot, is_there, source } = error {
            let failure = Self::from(*source);
            let was = if is_there { "was stored and is listed" } else { "may have been stored" };
            let meaning = format!("{}; but snapshot {} {was}", failure.meaning, snapshot.short());
            return Self { meaning: meaning.into(), ..failure };
        }
        let words = match &error {
            RepositoryError::Storage(error) => storage_words(error),
            error => repository_words(error),
        };
        Self::of_words(told(&error), words)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::of_words(told(&error), storage_words(&error))
    }
}

/// The message with its causes, each once.
fn told(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}

fn engine_words(error: &Error) -> Words {
    use ExitCode::{Failed, Interrupted, Usage};
    match error {
        Error::Cancelled => (Interrupted, INTERRUPTED, "you asked to stop", "run the same command again"),
        Error::SourceMissing { .. } => (
            Failed,
            "source_missing",
            "nothing to back up is there, or can be reached; no snapshot was made",
            "check its spelling, its permissions, and whether its disk is mounted",
        ),
        Error::NothingToBackUp => {
            (Usage, "usage", "no path was given", "name files or folders, such as `vellum backup /home/me`")
        }
        Error::RepositoryInsideSource { .. } => (
            Failed,
            "repository_inside_source",
            "the backup would contain itself and grow with each run; nothing was done",
            "leave the repository out with --exclude, or keep it elsewhere",
        ),
        Error::TargetInsideRepository { .. } => (
            Failed,
            "target_inside_repository",
            "restoring there could overwrite the repository; nothing was done",
            "restore into another folder",
        ),
        Error::UnusableRoot { .. } => {
            (Failed, "unusable_path", "this path cannot be backed up as it was named", "name its real path")
        }
        Error::Target { .. } => (
            Failed,
            "target",
            "the folder to restore into cannot be made or entered; nothing was restored",
            "check its name, its permissions, and whether its disk is mounted",
        ),
        Error::TargetFailed { .. } => (
            Failed,
            "target_failed",
            "the disk restored into is full or failed; what was restored until then is there, and is not complete",
            "free some space there or see what ails it, then run the same command again",
        ),
        Error::NoSnapshot { .. } => {
            (Failed, "no_snapshot", "no snapshot is meant by this name and filter", "`vellum snapshots` lists them all")
        }
        Error::AmbiguousSnapshot { .. } => {
            (Failed, "ambiguous_snapshot", "it could mean any of them", "give more digits of the id")
        }
        Error::DoubtfulSnapshot { .. } => (
            ExitCode::Damage,
            "doubtful_snapshot",
            "another snapshot might have been meant, had it not been damaged; nothing was forgotten",
            "name it by its id; `vellum check` tells more of the damage",
        ),
        Error::NoRetentionRule => (
            Usage,
            "no_retention_rule",
            "every snapshot would go; nothing was forgotten",
            "give rules such as --keep-daily 7 --keep-weekly 5, or name the snapshots that shall go",
        ),
        Error::UnknownKeepTag { .. } => (
            Failed,
            "unknown_keep_tag",
            "a tag may be misspelt, and every snapshot would go; nothing was forgotten",
            "`vellum snapshots` lists the tags there are; snapshots that shall go can be named",
        ),
        Error::GroupsEmptied { .. } => (
            Failed,
            "group_emptied",
            "these rules would leave no snapshot there; nothing was forgotten, elsewhere neither",
            "add a rule such as --keep-last 1, choose other snapshots, or give --allow-empty if it is meant",
        ),
        Error::DeleteByIncomplete { .. } => (
            Failed,
            "incomplete_snapshot",
            "--delete would also remove what could not be read then and is in the target; nothing was changed",
            "restore without --delete, or make a snapshot without errors and restore that",
        ),
        Error::NoSuchPath { .. } => (
            Failed,
            "no_such_path",
            "the snapshot has nothing at this path",
            "`vellum ls SNAPSHOT --recursive` lists what it has",
        ),
        Error::Input(_) => (
            Failed,
            "input",
            "the stream to back up did not come to a good end; no snapshot was made",
            "check the program that feeds it, then run it again",
        ),
        _ => DEFECT,
    }
}

fn repository_words(error: &RepositoryError) -> Words {
    use ExitCode::{Damage, Failed, Usage, WrongCredential};
    match error {
        RepositoryError::Storage(error) => storage_words(error),
        RepositoryError::NoRepository { .. } => NO_REPOSITORY,
        RepositoryError::AlreadyExists { .. } => ALREADY_EXISTS,
        RepositoryError::AmbiguousConfig { .. } => (
            Damage,
            "ambiguous_config",
            "two repositories lie in one place, so neither can be told from the other",
            "move the files of one of them away, starting with its file in `config` and `mirror/config`",
        ),
        RepositoryError::NothingLeft { .. } => (
            Damage,
            "damaged",
            "without it nothing of this repository can be opened; your data itself may be intact",
            "bring the folders `config`, `keys` and `mirror` back from a copy of the repository",
        ),
        RepositoryError::WrongCredential { .. } => (
            WrongCredential,
            "wrong_credential",
            "nothing that unlocks this repository matches what was given",
            "check the keyboard, the password file, and whether this is the right repository; or use the recovery key",
        ),
        RepositoryError::NoSuchSlot { .. } => (
            WrongCredential,
            "no_such_slot",
            "this repository cannot be unlocked that way",
            "unlock it in another way: --password-file, --key-file, or the recovery key in the password's place",
        ),
        RepositoryError::UnusableSlot { .. } => (
            Failed,
            "unusable_slot",
            "this way to unlock is there but cannot be used by this version or on this machine",
            "unlock in another way, free some memory, or use a newer version of Vellum",
        ),
        RepositoryError::KeyChange(_) => (
            Failed,
            "key_change",
            "the key slots are as they were",
            "`vellum key list` shows every slot; use a newer version where it shows an unknown one, or a shorter label",
        ),
        RepositoryError::KeysChanged { .. } => (
            Failed,
            "keys_changed",
            "somebody has changed the keys of this repository since it was unlocked, or shows an older state of them",
            "unlock it anew, with a password, a key file or the recovery key",
        ),
        RepositoryError::KeysContradict { .. } => (
            Damage,
            "keys_contradict",
            "an object was tampered with or comes from another repository; it was not used",
            "compare the folders `config` and `keys` with a copy of the repository that you trust",
        ),
        RepositoryError::KeysMissing { .. } | RepositoryError::UnusableChunker { .. } => (
            Usage,
            "unsupported",
            "the repository was made with something that this version does not have",
            "use a newer version of Vellum",
        ),
        RepositoryError::Damaged { object, .. } if object.kind == ObjectKind::Condemned => (
            ExitCode::Damage,
            "damaged",
            "nobody knows any more which packs a prune is about to delete; restores are not concerned",
            "run `vellum prune` when no backup and no other prune runs: it removes that record, and chooses anew",
        ),
        RepositoryError::Damaged { .. }
        | RepositoryError::ChunkMissing { .. }
        | RepositoryError::ChunkDamaged { .. }
        | RepositoryError::TreeDamaged { .. } => DAMAGED,
        RepositoryError::WriteVerification { .. } => (
            Failed,
            "write_verification",
            "this machine's memory or processor returned wrong bytes; nothing of them was stored",
            "test the memory of this machine before you trust it with backups",
        ),
        RepositoryError::LocalState(_) | RepositoryError::FrameForgotten => (
            Failed,
            "local_state",
            "the cache on this machine cannot be used; the repository is not concerned",
            "remove the cache folder, name another with --cache-dir, or run with --no-cache",
        ),
        RepositoryError::Fenced => (
            Failed,
            "fenced",
            "a prune gave this run up for dead, more than once: it stood still for long, or a clock is wrong",
            "run it again; what it stored is found and not stored twice",
        ),
        RepositoryError::ConcurrentKeyChange => {
            (Failed, "concurrent_key_change", "two changes of keys met, and this one stepped back", "run it again")
        }
        RepositoryError::Slot { .. } => {
            (Failed, "slot", "the key slots are as they were", "`vellum key list` shows every slot with its id")
        }
        RepositoryError::HeadUnknown { .. } => (
            Damage,
            "head_unknown",
            "the storage shows an older state than the one that the code is of, or another repository",
            "compare the code with what the backup printed, and look for a newer state of the storage",
        ),
        RepositoryError::NothingToRemove | RepositoryError::TombstoneRefused { .. } => (
            Failed,
            "not_removed",
            "nothing was removed; every snapshot is as it was",
            "`vellum snapshots` lists what can be removed",
        ),
        RepositoryError::Randomness(_) | RepositoryError::Compression(_) | RepositoryError::NoThread(_) => (
            Failed,
            "system",
            "the operating system did not give what is needed; nothing was acknowledged",
            "try again, and look into the system's log if it stays so",
        ),
        _ => DEFECT,
    }
}

const NO_REPOSITORY: Words = (
    ExitCode::NoRepository,
    "no_repository",
    "nothing was read or written: no Vellum repository is at this address",
    "check the address and whether its disk is mounted; `vellum init` makes a new repository",
);
const ALREADY_EXISTS: Words = (
    ExitCode::Failed,
    "already_exists",
    "a repository is never made over another; nothing was changed",
    "use it as it is, or name another place",
);

fn storage_words(error: &StorageError) -> Words {
    use ExitCode::{Failed, Unreachable, Usage};
    const UNREACHABLE: Words = (
        Unreachable,
        "unreachable",
        "the storage does not answer; what was acknowledged before is not concerned",
        "check the network and the mount, then run the same command again",
    );
    match error {
        StorageError::NotFound { .. }
        | StorageError::NameTaken { .. }
        | StorageError::TooLarge { .. }
        | StorageError::ShortRead { .. } => DAMAGED,
        StorageError::FolderMissing { .. } => (
            ExitCode::Damage,
            "damaged",
            "nobody can tell whether anything was in it; some ways to copy a repository leave empty folders out",
            "bring it back from where the repository was copied from; if it was empty there, make it with `mkdir`",
        ),
        StorageError::NoSpace { .. } => NO_SPACE,
        StorageError::PermissionDenied { .. } => (
            Failed,
            "permission_denied",
            "this user may not do that in the repository; nothing was acknowledged",
            "run it as the user who owns the repository, or check whether its disk is mounted read-only",
        ),
        StorageError::Unreachable { .. } => UNREACHABLE,
        StorageError::Io { source, .. } if is_absence(source.kind()) => UNREACHABLE,
        StorageError::Io { .. } | StorageError::Poisoned { .. } => (
            Failed,
            "storage",
            "the storage failed; this run acknowledged nothing, and earlier snapshots are as they were",
            "look into the system's log for disk errors, then run the same command again",
        ),
        StorageError::PathMissing { .. } | StorageError::NotARepository { .. } => NO_REPOSITORY,
        StorageError::RepositoryExists { .. } => ALREADY_EXISTS,
        StorageError::FolderNotEmpty { .. } => (
            Failed,
            "folder_not_empty",
            "a repository is made only in an empty folder; nothing was changed",
            "name an empty folder, or one that is not there yet",
        ),
        StorageError::UnsupportedScheme { .. } => (
            Usage,
            "comes_later",
            "this version stores on local and mounted disks; other storages come later",
            "give a path; write `./` before a path that has a colon in its first part",
        ),
        StorageError::EmptyAddress => {
            (Usage, "usage", "there is no address to open", "give a path with -r or in VELLUM_REPOSITORY")
        }
        _ => DEFECT,
    }
}

/// Whether an answer means that the storage as a whole is gone, as with a network mount.
fn is_absence(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
        NotConnected, StaleNetworkFileHandle, TimedOut,
    };
    matches!(
        kind,
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | StaleNetworkFileHandle
            | TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum::format::{ObjectKind, ObjectName};

    #[test]
    fn errors_exit_as_the_contract_says() {
        let io = |kind: io::ErrorKind| io::Error::from(kind);
        let storage = |kind| StorageError::Io { operation: "read", path: "/r".into(), source: io(kind) };
        let object = ObjectName::of(ObjectKind::Pack, b"x");
        let table: Vec<(Failure, ExitCode, &str)> = vec![
            (Error::Cancelled.into(), ExitCode::Interrupted, "interrupted"),
            (
                Error::SourceMissing { path: "/s".into(), source: io(io::ErrorKind::NotFound) }.into(),
                ExitCode::Failed,
                "source_missing",
            ),
            (Error::NothingToBackUp.into(), ExitCode::Usage, "usage"),
            (
                RepositoryError::WrongCredential { credential: "password" }.into(),
                ExitCode::WrongCredential,
                "wrong_credential",
            ),
            (RepositoryError::NoRepository { location: "/r".into() }.into(), ExitCode::NoRepository, "no_repository"),
            (StorageError::PathMissing { path: "/r".into() }.into(), ExitCode::NoRepository, "no_repository"),
            (RepositoryError::Damaged { object, reason: "x".into() }.into(), ExitCode::Damage, "damaged"),
            (
                Error::Repository(RepositoryError::Storage(storage(io::ErrorKind::StaleNetworkFileHandle))).into(),
                ExitCode::Unreachable,
                "unreachable",
            ),
            (storage(io::ErrorKind::Other).into(), ExitCode::Failed, "storage"),
            (
                StorageError::NoSpace { path: "/r".into(), source: io(io::ErrorKind::StorageFull) }.into(),
                ExitCode::Failed,
                "no_space",
            ),
            (StorageError::UnsupportedScheme { scheme: "s3".into() }.into(), ExitCode::Usage, "comes_later"),
            (Error::NoRetentionRule.into(), ExitCode::Usage, "no_retention_rule"),
            (
                Error::GroupsEmptied { group: "host h".into(), count: 2, others: 1 }.into(),
                ExitCode::Failed,
                "group_emptied",
            ),
            (Error::WorkerPanicked.into(), ExitCode::Failed, "internal"),
        ];
        for (failure, exit_code, code) in table {
            assert_eq!((failure.exit_code, failure.code), (exit_code, code), "{}", failure.message);
            assert!(!failure.message.contains('\n') && !failure.meaning.is_empty() && !failure.hint.is_empty());
        }
    }

    #[test]
    fn a_snapshot_that_was_stored_and_not_acknowledged_is_named() {
        let snapshot = vellum::format::ObjectId::of(b"snapshot");
        let failed = |is_there| {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            let full = RepositoryError::from(StorageError::NoSpace { path: "/r".into(), source: full });
            Failure::from(RepositoryError::Unacknowledged { snapshot, is_there, source: Box::new(full) })
        };
        for (is_there, words) in [(true, "was stored and is listed"), (false, "may have been stored")] {
            let Failure { exit_code, code, meaning, hint, message } = failed(is_there);
            assert_eq!((exit_code, code), (ExitCode::Failed, "no_space"));
            assert!(meaning.contains(&snapshot.short()) && meaning.contains(words), "{meaning}");
            assert!(hint.contains("inodes") && message.matches("no space left").count() == 1, "{hint} {message}");
        }
    }

    #[test]
    fn messages_name_the_object_and_the_cause_once() {
        let object = ObjectName::of(ObjectKind::Pack, b"x");
        let failure = Failure::from(RepositoryError::Damaged { object, reason: "it is missing".into() });
        assert!(failure.message.contains(&object.to_string()), "{}", failure.message);
        let source = io::Error::from_raw_os_error(28);
        let failure = Failure::from(StorageError::NoSpace { path: "/r/packs".into(), source });
        assert_eq!(failure.message, "no space left for /r/packs: No space left on device (os error 28)");
    }
}
