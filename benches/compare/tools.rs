//! The programs, each as a user would run it with its own defaults, encrypted and compressed where it can.

use crate::figures::ToolNote;
use crate::process::{Desk, first_line, quoted};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// An empty repository.
    Init,
    /// The first version.
    First,
    /// The same again.
    Unchanged,
    /// The second version, at the same path.
    Next,
    /// The second version, into an empty folder.
    Restore,
    /// Every byte of the repository.
    Check,
    /// Forget all but the last, and give the space back.
    Prune,
}

impl Step {
    pub(crate) const ALL: [Self; 7] =
        [Self::Init, Self::First, Self::Unchanged, Self::Next, Self::Restore, Self::Check, Self::Prune];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::First => "first",
            Self::Unchanged => "unchanged",
            Self::Next => "next",
            Self::Restore => "restore",
            Self::Check => "check",
            Self::Prune => "prune",
        }
    }
}

/// Where one program's run lies.
pub(crate) struct Places<'a> {
    /// A folder of its own, with `repository` below it.
    pub(crate) own: &'a Path,
    pub(crate) source: &'a Path,
    pub(crate) target: &'a Path,
}

/// One program.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// What is looked for on the path, or a path.
    pub(crate) program: String,
    version_option: &'static str,
    variables: fn(&Path) -> Vec<(&'static str, OsString)>,
    /// A line of shell words for each step that it knows, with `$SOURCE`, `$TARGET` and `$OWN`.
    lines: fn(Step) -> Option<&'static str>,
    /// Whether the source's whole path comes back below the target, or only what is in it.
    restores_whole_path: bool,
}

/// All of them; Vellum first, then the floor.
pub(crate) fn all(vellum: &str) -> Vec<Tool> {
    let tool = |name, variables, lines, restores_whole_path| Tool {
        name,
        program: name.to_owned(),
        version_option: "--version",
        variables,
        lines,
        restores_whole_path,
    };
    vec![
        Tool { program: vellum.to_owned(), ..tool("vellum", vellum_variables, vellum_line, true) },
        Tool { program: "zstd".to_owned(), ..tool("tar+zstd", |_| Vec::new(), tar_line, true) },
        Tool { version_option: "version", ..tool("restic", restic_variables, restic_line, true) },
        tool("rustic", rustic_variables, rustic_line, true),
        tool("borg", borg_variables, borg_line, true),
        tool("bupstash", bupstash_variables, bupstash_line, false),
    ]
}

impl Tool {
    /// What it says of itself, and the commands of all steps.
    pub(crate) fn note(&self) -> ToolNote {
        let commands =
            Step::ALL.into_iter().filter_map(|step| Some((step.name().to_owned(), (self.lines)(step)?.to_owned())));
        ToolNote {
            name: self.name.to_owned(),
            version: first_line(&self.program, self.version_option),
            commands: commands.collect(),
        }
    }

    /// Its environment in a folder of its own.
    pub(crate) fn desk(&self, own: &Path) -> Desk {
        let mut variables = (self.variables)(own);
        variables.push(("VELLUM", self.program.clone().into()));
        Desk::new(own, variables)
    }

    /// The line for a step, if it knows it.
    pub(crate) fn line(&self, step: Step, places: &Places<'_>) -> Option<String> {
        Some(filled((self.lines)(step)?, places))
    }

    /// Where the source comes back.
    pub(crate) fn restored(&self, places: &Places<'_>) -> PathBuf {
        match self.restores_whole_path {
            true => places.target.join(places.source.strip_prefix("/").unwrap_or(places.source)),
            false => places.target.to_owned(),
        }
    }
}

/// The line with its places.
pub(crate) fn filled(line: &str, places: &Places<'_>) -> String {
    let words = [("$SOURCE", places.source), ("$TARGET", places.target), ("$OWN", places.own)];
    words.into_iter().fold(line.to_owned(), |line, (word, path)| line.replace(word, &quoted(path)))
}

pub(crate) fn vellum_variables(own: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("VELLUM_REPOSITORY", own.join("repository").into()),
        ("VELLUM_CACHE_DIR", own.join("cache").into()),
        ("VELLUM_PASSWORD", "x".into()),
    ]
}

/// The password is for `init`; a key file, which unattended runs use, opens the repository then.
fn vellum_line(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Init => r#""$VELLUM" init --quiet && "$VELLUM" key add --quiet --key-file $OWN/key"#,
        Step::First | Step::Unchanged | Step::Next => r#""$VELLUM" backup --quiet --key-file $OWN/key $SOURCE"#,
        Step::Restore => r#""$VELLUM" restore --quiet --key-file $OWN/key latest $TARGET"#,
        Step::Check => r#""$VELLUM" check --quiet --key-file $OWN/key --read-data"#,
        Step::Prune => r#""$VELLUM" forget --quiet --key-file $OWN/key --keep-last 1 --prune --grace 0"#,
    })
}

/// No deduplication, no encryption, nothing but reading, compressing and writing.
fn tar_line(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Init => "mkdir $OWN/repository",
        Step::First => "tar -cPf - $SOURCE | zstd -q -3 -T2 -o $OWN/repository/first.tar.zst",
        Step::Unchanged => "tar -cPf - $SOURCE | zstd -q -3 -T2 -o $OWN/repository/unchanged.tar.zst",
        Step::Next => "tar -cPf - $SOURCE | zstd -q -3 -T2 -o $OWN/repository/next.tar.zst",
        Step::Restore => "zstd -q -dc $OWN/repository/next.tar.zst | tar -xf - -C $TARGET",
        // One version: the others are the same bytes again, which a program that deduplicates has once.
        Step::Check => "zstd -q -t $OWN/repository/next.tar.zst",
        Step::Prune => "rm $OWN/repository/first.tar.zst $OWN/repository/unchanged.tar.zst",
    })
}

fn restic_variables(own: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("RESTIC_REPOSITORY", own.join("repository").into()),
        ("RESTIC_CACHE_DIR", own.join("cache").into()),
        ("RESTIC_PASSWORD", "x".into()),
    ]
}

fn restic_line(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Init => "restic init -q --repository-version 2",
        Step::First | Step::Unchanged | Step::Next => "restic backup -q $SOURCE",
        Step::Restore => "restic restore -q latest --target $TARGET",
        Step::Check => "restic check -q --read-data",
        Step::Prune => "restic forget -q --keep-last 1 --prune",
    })
}

fn rustic_variables(own: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("RUSTIC_REPOSITORY", own.join("repository").into()),
        ("RUSTIC_CACHE_DIR", own.join("cache").into()),
        ("RUSTIC_PASSWORD", "x".into()),
        ("RUSTIC_NO_PROGRESS", "true".into()),
        ("RUSTIC_LOG_LEVEL", "error".into()),
    ]
}

fn rustic_line(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Init => "rustic init",
        Step::First | Step::Unchanged | Step::Next => "rustic backup $SOURCE",
        Step::Restore => "rustic restore latest $TARGET",
        Step::Check => "rustic check --read-data",
        Step::Prune => "rustic forget --keep-last 1 --prune --instant-delete --keep-delete 0d --keep-pack 0d",
    })
}

fn borg_variables(own: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("BORG_REPO", own.join("repository").into()),
        ("BORG_BASE_DIR", own.join("base").into()),
        ("BORG_PASSPHRASE", "x".into()),
    ]
}

fn borg_line(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Init => "borg init -e repokey-blake2",
        Step::First => "borg create -C zstd,3 ::first $SOURCE",
        Step::Unchanged => "borg create -C zstd,3 ::unchanged $SOURCE",
        Step::Next => "borg create -C zstd,3 ::next $SOURCE",
        Step::Restore => "cd $TARGET && borg extract ::next",
        Step::Check => "borg check --verify-data",
        Step::Prune => "borg prune --keep-last 1 && borg compact",
    })
}

fn bupstash_variables(own: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("BUPSTASH_REPOSITORY", own.join("repository").into()),
        ("BUPSTASH_KEY", own.join("key").into()),
        ("BUPSTASH_SEND_LOG", own.join("send.log").into()),
        ("BUPSTASH_QUERY_CACHE", own.join("query.cache").into()),
    ]
}

/// It has no check.
fn bupstash_line(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Init => "bupstash init && bupstash new-key -o $OWN/key",
        Step::First => "bupstash put -q name=first $SOURCE",
        Step::Unchanged => "bupstash put -q name=unchanged $SOURCE",
        Step::Next => "bupstash put -q name=next $SOURCE",
        Step::Restore => "bupstash restore -q --into $TARGET name=next",
        Step::Check => return None,
        Step::Prune => "bupstash rm -q name=first && bupstash rm -q name=unchanged && bupstash gc -q",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_knows_every_step_but_one() {
        let places = Places { own: Path::new("/o"), source: Path::new("/s"), target: Path::new("/t") };
        for tool in all("vellum") {
            let unknown: Vec<Step> = Step::ALL.into_iter().filter(|step| tool.line(*step, &places).is_none()).collect();
            assert!(unknown.is_empty() || tool.name == "bupstash" && unknown == [Step::Check], "{}", tool.name);
            let restore = tool.line(Step::Restore, &places).unwrap();
            assert!(restore.contains("'/t'") && !restore.contains('$') || restore.contains("\"$VELLUM\""), "{restore}");
        }
        let whole = &all("vellum")[0];
        assert_eq!(whole.restored(&places), Path::new("/t/s"));
    }
}
