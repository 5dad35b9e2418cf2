//! `vellum forget`

use super::prune;
use crate::args::ForgetArgs;
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::output::Output;
use crate::paths::printable;
use crate::render::forget::{self as render, ForgetLine, GroupLine, NamedLine};
use crate::render::json::Line;
use crate::report::Failure;
use crate::selection;
use crate::units::count;
use crate::{rules, time};
use std::collections::BTreeMap;
use vellum::format::ObjectId;
use vellum::format::snapshot::Timestamp;
use vellum::retention::{GroupKey, TimeZone};
use vellum::{Error, ForgetOptions, ForgetPlan, ForgetTarget, Rules};

/// Removes snapshots that are named, or that no rule keeps.
pub(super) fn run(invocation: &Invocation, args: &ForgetArgs) -> Result<ExitCode, Failure> {
    let zone = zone(args)?;
    let options = options(invocation, args, &zone)?;
    let (repository, context) = invocation.open_for_operation()?;
    let output = &invocation.output;
    let report = vellum::forget(&repository, &options, &context).map_err(|error| as_typed(error, args))?;
    selection::warn_of_damaged(&report.damaged, output);
    crate::history::warn_of(&report.findings, output);
    tell(output, &report.plan, args, &zone);
    let dry_run = options.dry_run;
    match output.is_json {
        true => output.json(&Line::Forget(ForgetLine::new(&report.plan, report.tombstone, dry_run))),
        false => output.summary(&render::summary(&report.plan, dry_run)),
    }
    if args.prune {
        prune::prune(invocation, &repository, &context, &args.prune_limits, dry_run.then(|| report.plan.removed()))?;
    }
    Ok(if report.damaged.is_empty() { ExitCode::Complete } else { ExitCode::Damage })
}

/// Refuses names beside rules, rules that keep nothing, and time zones that nobody knows.
pub(super) fn look_over(args: &ForgetArgs) -> Result<(), Failure> {
    zone(args)?;
    let is_named = !args.snapshots.is_empty();
    if is_named && rules::are_given(&args.keep) {
        return Err(Failure::usage(
            "snapshots are named, and rules are given",
            "what is named goes whatever rules say, so one of them may be a mistake; nothing was forgotten",
            "name snapshots or give rules, one after the other if both are meant",
        ));
    }
    match !is_named && rules::policy(&args.keep).is_empty() {
        true => Err(Error::NoRetentionRule.into()),
        false => Ok(()),
    }
}

fn zone(args: &ForgetArgs) -> Result<TimeZone, Failure> {
    time::zone(args.timezone.as_deref()).map_err(|reason| {
        let meaning = "no days, weeks and months can be told without it; nothing was forgotten";
        let hint = "give a name such as Europe/Berlin or UTC; names come from the system's package tzdata";
        Failure::usage(format!("the time zone cannot be used: {reason}"), meaning, hint)
    })
}

fn options(invocation: &Invocation, args: &ForgetArgs, zone: &TimeZone) -> Result<ForgetOptions, Failure> {
    let target = match !args.snapshots.is_empty() {
        true => ForgetTarget::Named(args.snapshots.iter().map(|named| named.snapshot.clone()).collect()),
        false => {
            let mut rules = Rules::new(rules::policy(&args.keep), zone.clone());
            rules.grouping = args.group_by;
            rules.grouping.across_devices = args.across_devices;
            rules.allow_empty = args.allow_empty;
            ForgetTarget::Rules(rules)
        }
    };
    let mut options = ForgetOptions::new(target, time::now());
    options.filter = selection::filter(&args.filter)?;
    options.dry_run = args.dry_run;
    options.host = invocation.settings.host.clone();
    options.user = invocation.settings.user.clone();
    Ok(options)
}

/// The engine names a reference by what it means; people know it by what they typed.
fn as_typed(error: Error, args: &ForgetArgs) -> Failure {
    let typed = |reference: String| {
        let named = args.snapshots.iter().find(|named| named.snapshot.to_string() == reference);
        named.map_or(reference, |named| named.text.clone())
    };
    match error {
        Error::NoSnapshot { reference } => Error::NoSnapshot { reference: typed(reference) }.into(),
        Error::DoubtfulSnapshot { reference, damaged } => {
            Error::DoubtfulSnapshot { reference: typed(reference), damaged }.into()
        }
        Error::NotOneSnapshot { reference, count, candidates } => not_one(&typed(reference), count, &candidates),
        other => other.into(),
    }
}

/// A time that names no snapshot, or several, with what could be meant.
fn not_one(reference: &str, found: usize, candidates: &[(ObjectId, Timestamp)]) -> Failure {
    const TOLD_MAX: usize = 5;
    let one = |(id, time): &(ObjectId, Timestamp)| format!("{} of {}", id.short(), time::local(*time));
    let mut told: Vec<String> = candidates.iter().take(TOLD_MAX).map(one).collect();
    told.extend((candidates.len() > TOLD_MAX).then(|| format!("{} more", candidates.len() - TOLD_MAX)));
    let hint = match told.is_empty() {
        true => "`vellum snapshots` lists them all".to_owned(),
        false => format!("name one by its id, such as {}", told.join(", ")),
    };
    let found = count(found as u64, "snapshot");
    let meaning = "what shall go has to be the only snapshot of the time that names it; nothing was forgotten";
    Failure::usage(format!("{found} dated {reference}, not one"), meaning, hint)
}

fn tell(output: &Output, plan: &ForgetPlan, args: &ForgetArgs, zone: &TimeZone) {
    for set in &plan.unknown_tags {
        output.warn(&format!("no snapshot has the tags to keep: {}", set.join(",")));
    }
    plan.groups.iter().flat_map(render::warnings).for_each(|warning| output.warn(&warning));
    if output.is_json {
        plan.groups.iter().for_each(|group| output.json(&Line::Group(GroupLine::new(group))));
        plan.named.iter().for_each(|named| output.json(&Line::Remove(NamedLine::new(named))));
        return;
    }
    if args.explain && plan.named.is_empty() {
        output.summary(&format!("days, weeks and months are those of {}\n", time::zone_name(zone)));
    }
    plan.groups.iter().for_each(|group| output.summary(&render::group(group, zone, args.explain)));
    if !plan.named.is_empty() {
        output.summary(&render::named(&plan.named, zone));
    }
    tell_of_devices(output, plan);
}

/// One machine may be several devices, when it has another name each time: then rules keep more than people expect.
fn tell_of_devices(output: &Output, plan: &ForgetPlan) {
    let mut devices: BTreeMap<GroupKey, usize> = BTreeMap::new();
    for group in &plan.groups {
        *devices.entry(GroupKey { device: None, ..group.key.clone() }).or_default() += 1;
    }
    for (key, count) in devices.into_iter().filter(|(_, count)| *count > 1) {
        let key = key.to_string();
        output.note(&format!(
            "note: {}: made by {count} devices, and rules count for each device by itself; if all of them are one \
             machine, --across-devices counts them together",
            printable(key.as_bytes())
        ));
    }
}
