//! `key` and `recovery`: the ways to unlock.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `vellum key`
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// List the ways to unlock
    List,
    /// Add a password, or with --key-file F a key file that is made at F
    Add(NewKeyArgs),
    /// Remove a way to unlock
    Remove {
        /// Its id, as `key list` shows it, or the start of it
        id: String,
    },
    /// Change the password
    Passwd(NewKeyArgs),
}

/// A way to unlock that is about to be made.
#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// File whose first line is the new password; without it a terminal is asked
    #[arg(long, value_name = "F")]
    pub(crate) new_password_file: Option<PathBuf>,
    /// Its name, for `key list`; default: user@host
    #[arg(long)]
    pub(crate) label: Option<String>,
}

/// `vellum recovery`
#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryVerb {
    /// Tell since when there is a recovery key; the key itself is stored nowhere
    Show {
        /// Make a new recovery key, print it once, and remove the old one
        #[arg(long)]
        new: bool,
    },
    /// Test whether a recovery key that you type, or pipe in, opens this repository
    Check,
}
