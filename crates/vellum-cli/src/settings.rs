//! What a run goes by: flags, then variables, then defaults. The only module that reads the environment's variables.

use crate::args::{GlobalArgs, KeyVerb, Verb, parse_threads};
use crate::report::Failure;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use vellum::LocalState;
use vellum::storage::Location;
use zeroize::Zeroizing;

/// The environment's variables as they were at the start; empty ones count as not set.
#[derive(Default)]
pub(crate) struct Variables {
    repository: Option<OsString>,
    password_file: Option<OsString>,
    password_command: Option<OsString>,
    password: Option<Zeroizing<Vec<u8>>>,
    key_file: Option<OsString>,
    cache_dir: Option<OsString>,
    profile: Option<OsString>,
    json: Option<OsString>,
    threads: Option<OsString>,
    no_color: Option<OsString>,
    xdg_cache_home: Option<OsString>,
    home: Option<OsString>,
    user: Option<OsString>,
}

impl Variables {
    /// Reads them.
    pub(crate) fn read() -> Self {
        Self::from(any_variable)
    }

    /// Those of any environment.
    pub(crate) fn from(any_variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let variable = |name: &str| any_variable(name).filter(|value| !value.is_empty());
        Self {
            repository: variable("VELLUM_REPOSITORY"),
            password_file: variable("VELLUM_PASSWORD_FILE"),
            password_command: variable("VELLUM_PASSWORD_COMMAND"),
            // An empty password is not the same as none: it is refused later.
            password: any_variable(PASSWORD_VARIABLE).map(|password| Zeroizing::new(password.into_vec())),
            key_file: variable("VELLUM_KEY_FILE"),
            cache_dir: variable("VELLUM_CACHE_DIR"),
            profile: variable("VELLUM_PROFILE"),
            json: variable("VELLUM_JSON"),
            threads: variable("VELLUM_THREADS"),
            no_color: variable("NO_COLOR"),
            xdg_cache_home: variable("XDG_CACHE_HOME"),
            home: variable("HOME"),
            user: variable("USER").or_else(|| variable("LOGNAME")),
        }
    }

    /// Whether `VELLUM_JSON` asks for JSON: set to anything but a no.
    pub(crate) fn wants_json(&self) -> bool {
        let no = ["0", "f", "false", "n", "no", "off"];
        self.json.as_ref().is_some_and(|value| !no.iter().any(|no| value.eq_ignore_ascii_case(no)))
    }

    /// Whether `NO_COLOR` forbids colours.
    pub(crate) fn forbids_colour(&self) -> bool {
        self.no_color.is_some()
    }
}

/// The variable that holds a password; commands that are run do not get it.
pub(crate) const PASSWORD_VARIABLE: &str = "VELLUM_PASSWORD";

#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
fn any_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Where a password comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PasswordSource {
    /// The first line of a file.
    File(PathBuf),
    /// The first output line of a shell command.
    Command(OsString),
    /// A variable's value.
    Value(Zeroizing<Vec<u8>>),
    /// A person at a terminal.
    Prompt,
}

impl std::fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Command(_) => f.write_str("Command"),
            Self::Value(_) => f.write_str("Value"),
            Self::Prompt => f.write_str("Prompt"),
        }
    }
}

/// Ways to unlock that the user has chosen. At least one is there; both only for `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CredentialSources {
    /// A key file that exists.
    pub(crate) key_file: Option<PathBuf>,
    /// A password.
    pub(crate) password: Option<PasswordSource>,
    /// The key file that `key add` shall make.
    pub(crate) new_key_file: Option<PathBuf>,
}

/// What a run goes by.
#[derive(Debug)]
pub(crate) struct Settings {
    address: Option<OsString>,
    /// How to unlock.
    pub(crate) credentials: CredentialSources,
    /// Where local state is kept.
    pub(crate) local_state: LocalState,
    /// Whether none is kept for want of a place, and not because that was asked for.
    pub(crate) has_no_cache_folder: bool,
    /// Worker threads; `None` is one a core.
    pub(crate) threads: Option<usize>,
    /// The user's name.
    pub(crate) user: String,
    /// The machine's name.
    pub(crate) host: Vec<u8>,
    /// What stays the same for this user of this machine, whatever becomes of local state.
    pub(crate) device_name: Vec<u8>,
}

impl Settings {
    /// Puts flags, variables and defaults together.
    pub(crate) fn resolve(global: &GlobalArgs, verb: &Verb, variables: &Variables) -> Result<Self, Failure> {
        if global.profile.as_ref().or(variables.profile.as_ref()).is_some() {
            let hint = "leave -P and VELLUM_PROFILE out; every flag has a variable meanwhile";
            return Err(Failure::comes_later("the configuration file with its profiles", hint));
        }
        let threads = match (global.threads, &variables.threads) {
            (Some(threads), _) => Some(threads),
            (None, Some(text)) => Some(threads_variable(text)?),
            (None, None) => None,
        };
        let local_state = local_state(global, variables);
        let host = rustix::system::uname().nodename().to_bytes().to_vec();
        let machine_id = std::fs::read("/etc/machine-id").unwrap_or_default();
        Ok(Self {
            address: global.repository.clone().or_else(|| variables.repository.clone()),
            credentials: credential_sources(global, verb, variables)?,
            has_no_cache_folder: !global.no_cache && matches!(local_state, LocalState::None),
            local_state,
            threads,
            user: user_name(variables),
            device_name: device_name(&machine_id, &host, rustix::process::geteuid().as_raw()),
            host,
        })
    }

    /// The repository's place.
    pub(crate) fn location(&self) -> Result<Location, Failure> {
        let address = self.address.as_ref().ok_or_else(|| {
            Failure::usage(
                "no repository was named",
                "this command works on a repository and does not know which",
                "give its path with -r PATH, or set VELLUM_REPOSITORY",
            )
        })?;
        Ok(Location::parse(address)?)
    }

    /// The repository's place, if one was named.
    pub(crate) fn optional_location(&self) -> Result<Option<Location>, Failure> {
        self.address.is_some().then(|| self.location()).transpose()
    }

    /// The repository's folder, if it is a local one.
    pub(crate) fn repository_folder(&self) -> Option<PathBuf> {
        match self.location() {
            Ok(Location::Local(path)) => crate::paths::absolute(&path).ok(),
            _ => None,
        }
    }

    /// A slot's name when none was given: `user@host`.
    pub(crate) fn default_label(&self) -> String {
        format!("{}@{}", self.user, String::from_utf8_lossy(&self.host))
    }
}

fn threads_variable(text: &OsStr) -> Result<usize, Failure> {
    let threads = text.to_str().ok_or_else(|| "it must be a number from 1".to_owned()).and_then(parse_threads);
    threads.map_err(|reason| {
        let message = format!("VELLUM_THREADS cannot be used: {reason}");
        Failure::usage(
            message,
            "the number of worker threads is not known",
            "set it to a number such as 4, or unset it",
        )
    })
}

fn credential_sources(global: &GlobalArgs, verb: &Verb, variables: &Variables) -> Result<CredentialSources, Failure> {
    let is_init = matches!(verb, Verb::Init(_));
    let (key_flag, new_key_file) = match verb {
        Verb::Key(KeyVerb::Add(_)) => (None, global.key_file.clone()),
        _ => (global.key_file.clone(), None),
    };
    let password_flag = match (&global.password_file, &global.password_command) {
        (Some(_), Some(_)) => return Err(conflict("--password-file and --password-command")),
        (Some(path), None) => Some(PasswordSource::File(path.clone())),
        (None, Some(command)) => Some(PasswordSource::Command(command.clone())),
        (None, None) => None,
    };
    if key_flag.is_some() && password_flag.is_some() && !is_init {
        return Err(conflict("--key-file and a password"));
    }
    let key_variable =
        variables.key_file.as_ref().map(PathBuf::from).filter(|path| Some(path) != new_key_file.as_ref());
    let key_file = key_flag.clone().or(key_variable.filter(|_| password_flag.is_none()));
    let password = password_flag.or_else(|| password_variable(variables));
    let password = match &key_file {
        None => Some(password.unwrap_or(PasswordSource::Prompt)),
        Some(_) => password.filter(|_| is_init),
    };
    Ok(CredentialSources { key_file, password, new_key_file })
}

fn conflict(what: &str) -> Failure {
    Failure::usage(
        format!("{what} were both given"),
        "there must be one way to unlock, and it is not clear which",
        "leave one of them out",
    )
}

fn password_variable(variables: &Variables) -> Option<PasswordSource> {
    if let Some(path) = &variables.password_file {
        return Some(PasswordSource::File(path.into()));
    }
    if let Some(command) = &variables.password_command {
        return Some(PasswordSource::Command(command.clone()));
    }
    variables.password.clone().map(PasswordSource::Value)
}

fn local_state(global: &GlobalArgs, variables: &Variables) -> LocalState {
    if global.no_cache {
        return LocalState::None;
    }
    let named = global.cache_dir.clone().or_else(|| variables.cache_dir.as_ref().map(PathBuf::from));
    // A relative XDG_CACHE_HOME is to be ignored, says the specification.
    let xdg = || variables.xdg_cache_home.as_ref().map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || variables.home.as_ref().map(|home| PathBuf::from(home).join(".cache"));
    named.or_else(|| xdg().or_else(home).map(|cache| cache.join("vellum"))).map_or(LocalState::None, LocalState::At)
}

fn user_name(variables: &Variables) -> String {
    let name = variables.user.as_ref().map(|user| String::from_utf8_lossy(user.as_bytes()).into_owned());
    name.unwrap_or_else(|| {
        let number = rustix::process::geteuid().as_raw().to_string();
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        account_name(&accounts, &number).map_or(number, str::to_owned)
    })
}

/// Machine and user, by the number that the system gives each machine once, or else by the host's name.
fn device_name(machine_id: &[u8], host: &[u8], user: u32) -> Vec<u8> {
    let machine_id = machine_id.trim_ascii();
    let is_set = machine_id.len() == 32 && machine_id.iter().all(u8::is_ascii_hexdigit);
    let (kind, name) = if is_set { ("machine", machine_id) } else { ("host", host) };
    [format!("user {user} of {kind} ").as_bytes(), name].concat()
}

/// The name of the account with this number.
fn account_name<'a>(accounts: &'a str, number: &str) -> Option<&'a str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1) == Some(number)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser as _;

    fn resolve(line: &str, variables: &Variables) -> Result<Settings, Failure> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        Settings::resolve(&cli.global, &cli.verb, variables)
    }

    fn some(text: &str) -> Option<OsString> {
        Some(text.into())
    }

    #[test]
    fn a_flag_beats_a_variable() {
        let variables = Variables {
            repository: some("/variable"),
            password_file: some("/variable-password"),
            key_file: some("/variable-key"),
            threads: some("7"),
            cache_dir: some("/variable-cache"),
            ..Variables::default()
        };
        let settings = resolve("vellum snapshots", &variables).unwrap();
        assert_eq!(settings.location().unwrap(), Location::Local("/variable".into()));
        assert_eq!(settings.credentials.key_file, Some("/variable-key".into()));
        assert_eq!((settings.threads, settings.credentials.password), (Some(7), None));
        let line = "vellum snapshots -r /flag --password-command cmd --threads 2 --no-cache";
        let settings = resolve(line, &variables).unwrap();
        assert_eq!(settings.location().unwrap(), Location::Local("/flag".into()));
        assert_eq!(settings.credentials.key_file, None);
        assert_eq!(settings.credentials.password, Some(PasswordSource::Command("cmd".into())));
        assert_eq!(settings.threads, Some(2));
        assert!(matches!(settings.local_state, LocalState::None));
    }

    #[test]
    fn contradicting_flags_are_refused() {
        for line in [
            "vellum snapshots --password-file a --password-command b",
            "vellum snapshots --password-file a --key-file b",
            "vellum snapshots -P work",
        ] {
            let failure = resolve(line, &Variables::default()).unwrap_err();
            assert_eq!(failure.exit_code, crate::exit_code::ExitCode::Usage, "{line}");
        }
        assert!(resolve("vellum init --password-file a --key-file b", &Variables::default()).is_ok());
        let settings = resolve("vellum snapshots -r s3://bucket", &Variables::default()).unwrap();
        assert_eq!(settings.location().unwrap_err().exit_code, crate::exit_code::ExitCode::Usage);
        let variables = Variables { threads: some("many"), ..Variables::default() };
        assert!(resolve("vellum snapshots", &variables).is_err());
    }

    #[test]
    fn key_add_makes_the_key_file_of_its_flag() {
        let variables = Variables { key_file: some("/new"), ..Variables::default() };
        let sources = resolve("vellum key add --key-file /new", &variables).unwrap().credentials;
        assert_eq!(sources.new_key_file, Some("/new".into()));
        assert_eq!((sources.key_file, sources.password), (None, Some(PasswordSource::Prompt)));
        let sources = resolve("vellum key add --key-file /newer", &variables).unwrap().credentials;
        assert_eq!(sources.key_file, Some("/new".into()));
    }

    #[test]
    fn the_cache_lies_where_xdg_says() {
        let at = |line: &str, variables: &Variables| match resolve(line, variables).unwrap().local_state {
            LocalState::At(path) => Some(path),
            LocalState::None => None,
        };
        let home = Variables { home: some("/home/me"), ..Variables::default() };
        assert_eq!(at("vellum snapshots", &home), Some("/home/me/.cache/vellum".into()));
        assert_eq!(at("vellum snapshots --cache-dir /c", &home), Some("/c".into()));
        assert_eq!(at("vellum snapshots", &Variables::default()), None);
        let xdg = Variables { xdg_cache_home: some("/xdg"), ..home };
        assert_eq!(at("vellum snapshots", &xdg), Some("/xdg/vellum".into()));
        let relative = Variables { xdg_cache_home: some("xdg"), ..Variables::default() };
        assert_eq!(at("vellum snapshots", &relative), None);
    }

    #[test]
    fn accounts_are_found_by_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(account_name(accounts, "1000"), Some("me"));
        assert_eq!(account_name(accounts, "0"), Some("root"));
        assert_eq!(account_name(accounts, "7"), None);
    }

    #[test]
    fn a_device_is_named_by_the_machine_and_the_user() {
        let id = b"0123456789abcdef0123456789ABCDEF";
        assert_eq!(device_name(&[id, &b"\n"[..]].concat(), b"host", 7), [b"user 7 of machine ", &id[..]].concat());
        for unset in [&b""[..], b"uninitialized\n", &id[1..]] {
            assert_eq!(device_name(unset, b"ho\xffst", 0), b"user 0 of host ho\xffst");
        }
    }

    #[test]
    fn json_can_be_switched_by_a_variable() {
        for (value, expected) in [("1", true), ("yes", true), ("0", false), ("False", false)] {
            let variables = Variables { json: some(value), ..Variables::default() };
            assert_eq!(variables.wants_json(), expected, "{value}");
        }
        assert!(!Variables::default().wants_json());
    }
}
