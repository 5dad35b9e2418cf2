//! `vellum recovery`

use crate::args::RecoveryVerb;
use crate::exit_code::ExitCode;
use crate::invocation::{Invocation, OwnedCredential, unlock};
use crate::passphrase;
use crate::render::json::Line;
use crate::report::Failure;
use crate::time::{local, now, rfc3339};
use vellum::{Credential, LocalState, NewSlot, RecoveryKey, Repository, SlotSummary};

/// Tells of the recovery key, replaces it, or tests one.
pub(super) fn run(invocation: &Invocation, verb: &RecoveryVerb) -> Result<ExitCode, Failure> {
    match verb {
        RecoveryVerb::Show { new: false } => show(invocation),
        RecoveryVerb::Show { new: true } => replace(invocation),
        RecoveryVerb::Check => check(invocation),
    }?;
    Ok(ExitCode::Complete)
}

fn slots(repository: &Repository) -> Vec<SlotSummary> {
    repository.slots().into_iter().filter(|slot| slot.kind == "recovery").collect()
}

fn show(invocation: &Invocation) -> Result<(), Failure> {
    let slots = slots(&invocation.open()?);
    let output = &invocation.output;
    let slot = slots.last();
    if output.is_json {
        let created = slot.and_then(|slot| slot.created).map(rfc3339);
        let slot = slot.map(|slot| slot.id.as_str());
        output.json(&Line::Recovery { exists: slot.is_some(), created, slot, recovery_key: None });
        return Ok(());
    }
    match slot {
        Some(slot) => output.result(&format!(
            "a recovery key exists since {} (slot {})\n\
             The key itself is stored nowhere, so it cannot be shown. `vellum recovery check` tests the one that you\n\
             wrote down; `vellum recovery show --new` makes a new one and ends the old.\n",
            slot.created.map(local).unwrap_or_default(),
            slot.id
        )),
        None => output.result("there is no recovery key; `vellum recovery show --new` makes one\n"),
    }
    Ok(())
}

/// The new key is told before the old slot goes: whatever fails on the way, one of them opens.
fn replace(invocation: &Invocation) -> Result<(), Failure> {
    let mut repository = invocation.open()?;
    let old = slots(&repository);
    let key = RecoveryKey::generate().map_err(|error| {
        let meaning = "the operating system gave no random numbers; nothing was changed";
        Failure::new(ExitCode::Failed, "system", error.to_string(), meaning, "try again")
    })?;
    let slot = NewSlot { credential: Credential::RecoveryKey(&key), label: "recovery key", argon2id: None, now: now() };
    let created = slot.now;
    let added = repository.add_slot(&slot)?;
    let text = key.format();
    let output = &invocation.output;
    match output.is_json {
        true => output.json_event(&Line::Recovery {
            exists: true,
            created: Some(rfc3339(created)),
            slot: Some(&added),
            recovery_key: Some(&text),
        }),
        false => output.result(&format!(
            "recovery key      {}\n\n\
             Write it down and keep it apart from this machine; it is not shown again. The old one opens nothing from\n\
             now on.\n",
            *text
        )),
    }
    output.finish()?;
    for slot in &old {
        repository.remove_slot(&slot.id)?;
    }
    Ok(())
}

fn check(invocation: &Invocation) -> Result<(), Failure> {
    let storage = invocation.open_storage()?;
    let key = OwnedCredential::RecoveryKey(passphrase::read_recovery_key()?);
    let repository = unlock(&storage, &key, &LocalState::None)?;
    let output = &invocation.output;
    match output.is_json {
        true => output.json(&Line::RecoveryCheck { opens: true, id: repository.id().to_string() }),
        false => output.result(&format!("this recovery key opens repository {}", repository.id())),
    }
    Ok(())
}
