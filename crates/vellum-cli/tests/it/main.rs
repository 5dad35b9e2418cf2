//! The command as scripts and people meet it: verbs, exit codes, output. It stands here and not with the other
//! integration tests because only here does cargo build the binary for them.

mod bench;
mod check;
mod configuration;
mod contract;
mod damage;
mod forget;
mod history;
mod hostile;
mod keys;
mod kill;
mod restore;
mod scene;
mod source;
