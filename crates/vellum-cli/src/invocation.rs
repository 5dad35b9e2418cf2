//! One run of the command: its settings and output, and how it gets at the repository.

use crate::exit_code::ExitCode;
use crate::output::Output;
use crate::passphrase::{self, Password};
use crate::paths::printable_path;
use crate::report::Failure;
use crate::settings::{CredentialSources, Settings};
use crate::signals::Signals;
use std::cell::Cell;
use std::sync::Arc;
use vellum::storage::{Location, Storage};
use vellum::{
    Context, Credential, KeyFile, LocalState, Locked, Persistence, PersistenceWatch, RecoveryKey, Repository,
    RepositoryError,
};

/// One run of the command.
pub(crate) struct Invocation {
    /// What it goes by.
    pub(crate) settings: Settings,
    /// Where it tells.
    pub(crate) output: Arc<Output>,
    /// Tells whether local state is kept, once a repository is open; empty again after a warning.
    watch: Cell<Option<PersistenceWatch>>,
}

/// What a user has shown to unlock.
pub(crate) enum OwnedCredential {
    /// A password, or a recovery key in its place.
    Password(Password),
    /// A key file.
    KeyFile(KeyFile),
    /// A recovery key.
    RecoveryKey(RecoveryKey),
}

impl OwnedCredential {
    /// Gets what the user has chosen, asking for a password where nothing else was given.
    pub(crate) fn obtain(sources: &CredentialSources) -> Result<Self, Failure> {
        match (&sources.key_file, &sources.password) {
            (Some(path), _) => passphrase::read_key_file(path).map(Self::KeyFile),
            (None, Some(source)) => passphrase::read(source).map(Self::Password),
            (None, None) => unreachable!("settings name at least one way to unlock"),
        }
    }

    /// As the engine takes it.
    pub(crate) fn as_credential(&self) -> Credential<'_> {
        match self {
            Self::Password(password) => Credential::Password(password),
            Self::KeyFile(key) => Credential::KeyFile(key),
            Self::RecoveryKey(key) => Credential::RecoveryKey(key),
        }
    }
}

impl Invocation {
    /// A run that has opened nothing yet.
    pub(crate) fn new(settings: Settings, output: Arc<Output>) -> Self {
        Self { settings, output, watch: Cell::new(None) }
    }

    /// Warns once that this run keeps no local state, though nobody asked for that: the run is slower by it, and the
    /// next one can tell less of history.
    pub(crate) fn warn_of_local_state(&self) {
        let Some(watch) = self.watch.take() else { return };
        let reason = match (&self.settings.local_state, watch.now()) {
            (LocalState::None, _) if self.settings.has_no_cache_folder => {
                "neither HOME nor XDG_CACHE_HOME is set".to_owned()
            }
            (LocalState::At(folder), Persistence::Unwritable) => {
                format!("{} cannot be made or written, for want of room or of the right to", printable_path(folder))
            }
            _ => return self.watch.set(Some(watch)),
        };
        self.output.warn(&format!(
            "this run keeps no cache, because {reason}; it is slower, and notices less of what a repository has lost; \
             name a folder with --cache-dir, or give --no-cache"
        ));
    }

    /// Opens and unlocks the repository for something short.
    pub(crate) fn open(&self) -> Result<Repository, Failure> {
        let storage = self.open_storage()?;
        let credential = OwnedCredential::obtain(&self.settings.credentials)?;
        Ok(self.as_this_machine(unlock(&storage, &credential, &self.settings.local_state)?))
    }

    /// Opens and unlocks the repository for an operation that can be stopped; the context hears of signals.
    pub(crate) fn open_for_operation(&self) -> Result<(Repository, Context), Failure> {
        let storage = self.open_storage()?;
        let credential = OwnedCredential::obtain(&self.settings.credentials)?;
        let signals = install_signals()?;
        let repository = unlock(&storage, &credential, &self.settings.local_state)?;
        Ok((self.as_this_machine(repository), self.context(&signals)))
    }

    fn as_this_machine(&self, repository: Repository) -> Repository {
        self.watch.set(Some(repository.local_state_watch()));
        self.warn_of_local_state();
        repository.with_device_name(&self.settings.device_name)
    }

    /// What an operation goes by; from now on a signal asks it to stop.
    pub(crate) fn context(&self, signals: &Signals) -> Context {
        Context { cancel: signals.begin(), threads: self.settings.threads, ..Context::default() }
    }

    /// Opens the storage of a repository and sees that there is one, before any password is asked for.
    pub(crate) fn open_storage(&self) -> Result<Arc<dyn Storage>, Failure> {
        let storage = open(&self.settings.location()?)?;
        Locked::open(Arc::clone(&storage))?;
        Ok(storage)
    }
}

/// Handles signals from now on.
pub(crate) fn install_signals() -> Result<Signals, Failure> {
    Signals::install().map_err(|error| {
        Failure::new(
            ExitCode::Failed,
            "system",
            format!("signals cannot be handled: {error}"),
            "Ctrl-C could not stop this run cleanly, so nothing was done",
            "try again, and look into the system's log if it stays so",
        )
    })
}

fn open(location: &Location) -> Result<Arc<dyn Storage>, Failure> {
    Ok(Arc::from(location.open()?))
}

/// Unlocks; what no password slot takes is tried as a recovery key, if it is one to the last symbol.
pub(crate) fn unlock(
    storage: &Arc<dyn Storage>,
    credential: &OwnedCredential,
    local_state: &LocalState,
) -> Result<Repository, Failure> {
    let unlock = |credential: Credential<'_>| Locked::open(Arc::clone(storage))?.unlock(&credential, local_state);
    let result = unlock(credential.as_credential());
    let is_refused =
        matches!(result, Err(RepositoryError::WrongCredential { .. } | RepositoryError::NoSuchSlot { .. }));
    if let OwnedCredential::Password(password) = credential
        && is_refused
        && let Some(key) = passphrase::as_recovery_key(password)
    {
        return Ok(unlock(Credential::RecoveryKey(&key))?);
    }
    Ok(result?)
}
