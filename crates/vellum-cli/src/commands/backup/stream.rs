//! Backing up what a program writes.

use super::stream_failure;
use crate::report::Failure;
use crate::settings::PASSWORD_VARIABLE;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use vellum::format::tree::EntryName;
use vellum::{BackupOptions, BackupReport, CancelToken, Context, Repository, backup_stream};

/// The name of the stream's file: one plain name in the root.
pub(super) fn name(text: &OsStr) -> Result<EntryName, Failure> {
    let bytes = text.as_bytes();
    EntryName::new(bytes.strip_prefix(b"/").unwrap_or(bytes).to_vec()).map_err(|_| {
        Failure::usage(
            format!("--stdin-filename {} is no plain name", text.display()),
            "the stream is saved as one file in the root of the snapshot; nothing was done",
            "give a name without `/`, such as dump.sql",
        )
    })
}

/// Backs up standard input.
pub(super) fn back_up_stdin(
    repository: &Repository,
    name: &EntryName,
    options: &BackupOptions,
    context: &Context,
) -> Result<BackupReport, Failure> {
    let stream = Watched { stream: io::stdin().lock(), cancel: context.cancel.clone() };
    backup_stream(repository, name, stream, options, context).map_err(|error| stream_failure(error, context))
}

/// Backs up what a command prints. When it fails there is no snapshot.
pub(super) fn back_up_command(
    repository: &Repository,
    name: &EntryName,
    command: &[OsString],
    options: &BackupOptions,
    context: &Context,
) -> Result<BackupReport, Failure> {
    let output = CommandOutput::start(command).map_err(|error| {
        let program = command.first().map(|program| program.display().to_string()).unwrap_or_default();
        stream_failure(vellum::Error::Input(io::Error::new(error.kind(), format!("{program}: {error}"))), context)
    })?;
    let stream = Watched { stream: output, cancel: context.cancel.clone() };
    backup_stream(repository, name, stream, options, context).map_err(|error| stream_failure(error, context))
}

/// A stream whose end counts only if nobody has asked to stop: the signal that stops us may have ended its writer.
struct Watched<R> {
    stream: R,
    cancel: CancelToken,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer)? {
            0 if self.cancel.is_cancelled() => Err(io::Error::other("cancelled")),
            len => Ok(len),
        }
    }
}

/// A command's standard output, which ends well only if the command does.
struct CommandOutput {
    child: Child,
    stdout: ChildStdout,
    has_ended: bool,
}

impl CommandOutput {
    fn start(command: &[OsString]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_remove(PASSWORD_VARIABLE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, stdout, has_ended: false })
    }
}

impl Read for CommandOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.stdout.read(buffer)?;
        if len == 0 && !buffer.is_empty() && !self.has_ended {
            self.has_ended = true;
            let status = self.child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("the command failed ({status})")));
            }
        }
        Ok(len)
    }
}

impl Drop for CommandOutput {
    fn drop(&mut self) {
        if !self.has_ended {
            // Nobody reads on, so the command must not either.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> io::Result<Vec<u8>> {
        let command = ["/bin/sh", "-c", script].map(OsString::from);
        let mut bytes = Vec::new();
        CommandOutput::start(&command)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn a_command_that_fails_gives_no_end_of_stream() {
        assert_eq!(run("echo a; echo b").unwrap(), b"a\nb\n");
        assert!(run("echo a; exit 3").unwrap_err().to_string().contains("exit status: 3"));
        assert!(CommandOutput::start(&["/does/not/exist".into()]).is_err());
    }

    #[test]
    fn an_end_after_a_signal_does_not_count() {
        let cancel = CancelToken::default();
        let mut stream = Watched { stream: io::empty(), cancel: cancel.clone() };
        assert_eq!(stream.read(&mut [0; 4]).unwrap(), 0);
        cancel.cancel();
        assert!(stream.read(&mut [0; 4]).is_err());
    }

    #[test]
    fn a_stream_has_a_plain_name() {
        assert_eq!(name(OsStr::new("/dump.sql")).unwrap().as_bytes(), b"dump.sql");
        for text in ["", "/", "a/b", "..", "."] {
            assert!(name(OsStr::new(text)).is_err(), "{text}");
        }
    }
}
