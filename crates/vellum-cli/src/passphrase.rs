//! Passwords, key files and recovery keys: read from where the user keeps them, asked only on a terminal.

use crate::exit_code::ExitCode;
use crate::paths::printable_path;
use crate::report::Failure;
use crate::settings::{PASSWORD_VARIABLE, PasswordSource};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use vellum::{KeyFile, RecoveryKey};
use zeroize::Zeroizing;

/// Bytes that are read for a secret; more is not a first line that somebody typed.
const SECRET_LEN_BYTES_MAX: usize = 64 << 10;

/// A password as bytes, wiped when it is dropped.
pub(crate) type Password = Zeroizing<Vec<u8>>;

/// Gets the password that unlocks.
pub(crate) fn read(source: &PasswordSource) -> Result<Password, Failure> {
    match source {
        PasswordSource::File(path) => read_file(path),
        PasswordSource::Command(command) => read_command(command),
        PasswordSource::Value(password) => not_empty(password.clone(), PASSWORD_VARIABLE),
        PasswordSource::Prompt => prompt("password: "),
    }
}

/// Gets the password for a new slot: from where it will be found later, or typed twice.
pub(crate) fn read_new(source: &PasswordSource) -> Result<Password, Failure> {
    match source {
        PasswordSource::Prompt => prompt_twice(),
        source => read(source),
    }
}

fn prompt_twice() -> Result<Password, Failure> {
    let password = prompt("new password: ")?;
    match prompt("new password again: ")? == password {
        true => Ok(password),
        false => Err(Failure::usage(
            "the two passwords differ",
            "one of them was mistyped; nothing was changed",
            "run it again",
        )),
    }
}

fn prompt(text: &str) -> Result<Password, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "no password was given",
            "a password is asked for only on a terminal, and standard input is none",
            "set VELLUM_PASSWORD_FILE, VELLUM_PASSWORD_COMMAND or VELLUM_KEY_FILE, or use the flags of these names",
        ));
    }
    let typed = rpassword::prompt_password(text).map_err(|error| {
        let message = format!("the terminal gave no password: {error}");
        Failure::usage(message, "nothing was done", "use --password-file or --key-file")
    })?;
    not_empty(Zeroizing::new(typed.into_bytes()), "the terminal")
}

fn read_file(path: &Path) -> Result<Password, Failure> {
    let read = File::open(path).and_then(read_start);
    let content = read.map_err(|error| Failure::file("read the password file", path, &error))?;
    first_line(&content, &format!("the password file {}", printable_path(path)))
}

fn read_command(command: &OsStr) -> Result<Password, Failure> {
    let failed = |what: String| {
        Failure::new(
            ExitCode::Failed,
            "password_command",
            format!("the password command {what}"),
            "there is no password, so nothing was done",
            "run the command of --password-command by hand and see what it says",
        )
    };
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .env_remove(PASSWORD_VARIABLE)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let output = child.stdout.take().map_or_else(|| Ok(Zeroizing::default()), read_start);
    let status = child.wait().map_err(|error| failed(format!("was lost: {error}")))?;
    if !status.success() {
        return Err(failed(format!("failed ({status})")));
    }
    first_line(&output.map_err(|error| failed(format!("cannot be read: {error}")))?, "the password command's output")
}

fn read_start(source: impl Read) -> io::Result<Password> {
    let mut content = Zeroizing::new(Vec::with_capacity(SECRET_LEN_BYTES_MAX));
    source.take(SECRET_LEN_BYTES_MAX as u64).read_to_end(&mut content)?;
    Ok(content)
}

fn first_line(content: &[u8], origin: &str) -> Result<Password, Failure> {
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    not_empty(Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec()), origin)
}

fn not_empty(password: Password, origin: &str) -> Result<Password, Failure> {
    match password.is_empty() {
        false => Ok(password),
        true => Err(Failure::usage(
            format!("the password from {origin} is empty"),
            "an empty password protects nothing and is never accepted",
            "check where the password comes from; only its first line counts",
        )),
    }
}

/// Reads a key file that exists.
pub(crate) fn read_key_file(path: &Path) -> Result<KeyFile, Failure> {
    let content = File::open(path).and_then(read_start).map_err(|error| {
        let message = format!("cannot read the key file {}: {error}", printable_path(path));
        let hint = "check its name; `vellum key add --key-file F` makes a key file for a repository that exists";
        Failure::usage(message, "without it this repository cannot be unlocked that way", hint)
    })?;
    KeyFile::parse(&content).map_err(|error| {
        Failure::new(
            ExitCode::WrongCredential,
            "wrong_credential",
            format!("{} is no key file: {error}", printable_path(path)),
            "nothing was unlocked",
            "check its name, or bring the file back from a copy",
        )
    })
}

/// Makes a new key file that only its owner may read; one that exists is never touched.
pub(crate) fn make_key_file(path: &Path) -> Result<KeyFile, Failure> {
    let failed = |error: io::Error| {
        let message = format!("cannot make the key file {}: {error}", printable_path(path));
        let hint = "name a file that is not there yet, in a folder where you may write";
        Failure::new(ExitCode::Failed, "key_file", message, "no slot was added; nothing was changed", hint)
    };
    let key = KeyFile::generate().map_err(|error| failed(io::Error::other(error.to_string())))?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = file.write_all(&key.encode()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        drop(std::fs::remove_file(path));
        failed(error)
    })?;
    Ok(key)
}

/// Reads a recovery key: typed, or the first line of standard input.
pub(crate) fn read_recovery_key() -> Result<RecoveryKey, Failure> {
    let text = match io::stdin().is_terminal() {
        true => prompt("recovery key: ")?,
        false => {
            let content = read_start(io::stdin().lock())
                .map_err(|error| Failure::file("read", Path::new("standard input"), &error))?;
            first_line(&content, "standard input")?
        }
    };
    let text = Zeroizing::new(String::from_utf8_lossy(&text).into_owned());
    RecoveryKey::parse(&text).map_err(|error| {
        Failure::new(
            ExitCode::WrongCredential,
            "wrong_recovery_key",
            error.to_string(),
            "what was typed is no recovery key; the repository was not asked",
            "compare it with what you wrote down; it has 28 symbols in 7 groups, and I, L and O stand for 1, 1 and 0",
        )
    })
}

/// The recovery key that stands in a password's place, if it is one to the last symbol.
pub(crate) fn as_recovery_key(password: &[u8]) -> Option<RecoveryKey> {
    std::str::from_utf8(password).ok().and_then(|text| RecoveryKey::parse(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_line_counts() {
        for (content, password) in [
            (&b"secret"[..], &b"secret"[..]),
            (b"secret\n", b"secret"),
            (b"secret\r\nmore\n", b"secret"),
            (b" two words \nmore", b" two words "),
            (b"\xff\n", b"\xff"),
        ] {
            assert_eq!(first_line(content, "x").unwrap().as_slice(), password);
        }
        for content in [&b""[..], b"\n", b"\r\n", b"\nsecret"] {
            assert_eq!(first_line(content, "x").unwrap_err().exit_code, ExitCode::Usage);
        }
    }

    #[test]
    fn a_command_gives_its_first_line_or_fails() {
        let read = |command: &str| read_command(OsStr::new(command));
        assert_eq!(read("printf 'a b\\nc\\n'").unwrap().as_slice(), b"a b");
        assert_eq!(read("exit 3").unwrap_err().exit_code, ExitCode::Failed);
        assert_eq!(read("true").unwrap_err().exit_code, ExitCode::Usage);
    }

    #[test]
    fn key_files_are_made_once_and_read_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = make_key_file(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(read_key_file(&path).unwrap() == key);
        assert_eq!(make_key_file(&path).err().unwrap().exit_code, ExitCode::Failed);
        std::fs::write(&path, "no key").unwrap();
        assert_eq!(read_key_file(&path).err().unwrap().exit_code, ExitCode::WrongCredential);
    }
}
