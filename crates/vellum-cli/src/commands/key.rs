//! `vellum key`

use crate::args::{KeyVerb, NewKeyArgs};
use crate::exit_code::ExitCode;
use crate::invocation::{Invocation, OwnedCredential};
use crate::passphrase;
use crate::paths::printable_path;
use crate::render::human;
use crate::render::json::{Line, SlotLine};
use crate::report::Failure;
use crate::settings::PasswordSource;
use crate::time::now;
use std::path::Path;
use vellum::{NewSlot, Repository, SlotSummary};

/// Lists, adds, removes or replaces ways to unlock.
pub(super) fn run(invocation: &Invocation, verb: &KeyVerb) -> Result<ExitCode, Failure> {
    let mut repository = invocation.open()?;
    match verb {
        KeyVerb::List => list(invocation, &repository),
        KeyVerb::Add(args) => add(invocation, &mut repository, args),
        KeyVerb::Remove { id } => remove(invocation, &mut repository, id),
        KeyVerb::Passwd(args) => replace_password(invocation, &mut repository, args),
    }?;
    Ok(ExitCode::Complete)
}

fn list(invocation: &Invocation, repository: &Repository) -> Result<(), Failure> {
    let slots = repository.slots();
    let output = &invocation.output;
    match output.is_json {
        true => slots.iter().for_each(|slot| output.json(&Line::Slot(SlotLine::new(slot)))),
        false => output.result(&human::slots(&slots)),
    }
    Ok(())
}

fn add(invocation: &Invocation, repository: &mut Repository, args: &NewKeyArgs) -> Result<(), Failure> {
    let key_file = invocation.settings.credentials.new_key_file.as_deref();
    if let (Some(_), Some(_)) = (key_file, &args.new_password_file) {
        return Err(Failure::usage(
            "--key-file and --new-password-file were both given",
            "one slot is added at a time; nothing was changed",
            "run `vellum key add` once for each",
        ));
    }
    let credential = match key_file {
        Some(path) => OwnedCredential::KeyFile(passphrase::make_key_file(path)?),
        None => new_password(args)?,
    };
    let label = args.label.clone().unwrap_or_else(|| invocation.settings.default_label());
    let added = repository.add_slot(&new_slot(&credential, &label));
    if let (Err(_), Some(path)) = (&added, key_file) {
        // It was made a moment ago and opens nothing.
        drop(std::fs::remove_file(path));
    }
    tell_added(invocation, &added?, credential.as_credential().slot_kind(), &label, key_file);
    Ok(())
}

fn tell_added(invocation: &Invocation, id: &str, kind: &str, label: &str, key_file: Option<&Path>) {
    let key_file = key_file.map(|path| printable_path(path).into_owned());
    if invocation.output.is_json {
        return invocation.output.json(&Line::SlotAdded { id, kind, label, key_file });
    }
    let made = key_file.map(|path| format!("; the key file is {path}, keep it secret")).unwrap_or_default();
    invocation.output.summary(&format!("added {kind} slot {id}{made}"));
}

fn new_password(args: &NewKeyArgs) -> Result<OwnedCredential, Failure> {
    let source = args.new_password_file.clone().map_or(PasswordSource::Prompt, PasswordSource::File);
    passphrase::read_new(&source).map(OwnedCredential::Password)
}

fn new_slot<'a>(credential: &'a OwnedCredential, label: &'a str) -> NewSlot<'a> {
    NewSlot { credential: credential.as_credential(), label, argon2id: None, now: now() }
}

fn remove(invocation: &Invocation, repository: &mut Repository, id: &str) -> Result<(), Failure> {
    let slots = repository.slots();
    let id = id.to_ascii_lowercase();
    let id = match &slots.iter().filter(|slot| slot.id.starts_with(&id)).collect::<Vec<_>>()[..] {
        [current] if current.is_current => return Err(in_use(&current.id)),
        [only] => only.id.clone(),
        _ => id,
    };
    repository.remove_slot(&id)?;
    match invocation.output.is_json {
        true => invocation.output.json(&Line::SlotRemoved { id: &id }),
        false => invocation.output.summary(&format!("removed slot {id}")),
    }
    Ok(())
}

fn in_use(id: &str) -> Failure {
    Failure::new(
        ExitCode::Failed,
        "slot_in_use",
        format!("slot {id} unlocked this very run"),
        "a slot cannot remove itself, so that no mistake locks you out; nothing was changed",
        "unlock in another way, then remove it; `vellum key passwd` changes a password",
    )
}

/// Replaces the password in use, or the only one: who lost it and unlocked in another way gets a new one.
fn replace_password(invocation: &Invocation, repository: &mut Repository, args: &NewKeyArgs) -> Result<(), Failure> {
    let passwords: Vec<SlotSummary> = repository.slots().into_iter().filter(|slot| slot.kind == "password").collect();
    let replaced = match (passwords.iter().find(|slot| slot.is_current), &passwords[..]) {
        (Some(current), _) => Some(current),
        (None, []) => None,
        (None, [only]) => Some(only),
        (None, several) => {
            return Err(Failure::new(
                ExitCode::Failed,
                "ambiguous_slot",
                format!("this repository has {} passwords and none of them is in use", several.len()),
                "it is not clear which of them to replace; nothing was changed",
                "run `vellum key add`, then `vellum key remove` with the id of the old one",
            ));
        }
    };
    let label = args.label.clone().or_else(|| replaced.map(|slot| slot.label.clone()));
    let label = label.unwrap_or_else(|| invocation.settings.default_label());
    let credential = new_password(args)?;
    let slot = new_slot(&credential, &label);
    let id = match replaced {
        Some(old) => repository.replace_slot(&old.id, &slot)?,
        None => repository.add_slot(&slot)?,
    };
    let replaced = replaced.map(|slot| slot.id.as_str());
    match invocation.output.is_json {
        true => invocation.output.json(&Line::SlotReplaced { id: &id, replaced }),
        false => invocation.output.summary(&format!("the password is changed; its slot is now {id}")),
    }
    Ok(())
}
