//! `vellum init`

use crate::args::{ChunkerChoice, InitArgs};
use crate::exit_code::ExitCode;
use crate::invocation::{Invocation, OwnedCredential};
use crate::passphrase;
use crate::render::{human, json::Line};
use crate::report::Failure;
use crate::settings::CredentialSources;
use crate::time::now;
use std::sync::Arc;
use vellum::{CreateOptions, Created, NewSlot, Repository};

/// Makes a repository and prints its recovery key once.
pub(super) fn run(invocation: &Invocation, args: &InitArgs) -> Result<ExitCode, Failure> {
    let options = options(args)?;
    let location = invocation.settings.location()?;
    let credentials = credentials(&invocation.settings.credentials)?;
    let label = args.label.clone().unwrap_or_else(|| invocation.settings.default_label());
    let slots: Vec<NewSlot<'_>> = credentials
        .iter()
        .map(|credential| NewSlot {
            credential: credential.as_credential(),
            label: &label,
            argon2id: None,
            now: options.now,
        })
        .collect();
    let storage = Arc::from(location.create()?);
    let created = Repository::create(storage, &options, &slots, &invocation.settings.local_state)?;
    tell(invocation, &created)?;
    invocation.output.finish().map_err(|lost| Failure {
        hint: "`vellum recovery show --new` makes another recovery key and shows it".into(),
        ..lost.after("the repository is made, but its recovery key was told to nobody, and is stored nowhere")
    })?;
    Ok(ExitCode::Complete)
}

fn options(args: &InitArgs) -> Result<CreateOptions, Failure> {
    let mut options = CreateOptions::new(now());
    options.compression_level = args.level;
    options.parity = args.parity.parity();
    options.chunker.algorithm = match args.chunker {
        ChunkerChoice::Phte128 => "phte128",
        ChunkerChoice::Gear => "gear",
        ChunkerChoice::Window => "window",
    }
    .to_owned();
    Ok(options)
}

fn credentials(sources: &CredentialSources) -> Result<Vec<OwnedCredential>, Failure> {
    let mut credentials = Vec::new();
    if let Some(path) = &sources.key_file {
        credentials.push(OwnedCredential::KeyFile(passphrase::read_key_file(path)?));
    }
    if let Some(source) = &sources.password {
        credentials.push(OwnedCredential::Password(passphrase::read_new(source)?));
    }
    Ok(credentials)
}

fn tell(invocation: &Invocation, created: &Created) -> Result<(), Failure> {
    let Created { repository, recovery_key } = created;
    let recovery_key = recovery_key.format();
    let output = &invocation.output;
    if !output.is_json {
        output.result(&human::initialized(repository, &recovery_key));
        return Ok(());
    }
    output.json(&Line::Initialized {
        id: repository.id().to_string(),
        location: repository.storage().location(),
        owner_fingerprint: repository.owner_fingerprint(),
        recovery_key: &recovery_key,
        slots: repository.slots().into_iter().map(|slot| slot.kind).collect(),
    });
    Ok(())
}
