//! `vellum ls`

use crate::args::LsArgs;
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::output::Output;
use crate::paths::printable;
use crate::render::human;
use crate::render::json::{EntryLine, Line};
use crate::report::Failure;
use crate::selection;
use vellum::format::tree::{Entry, Node};
use vellum::{FrameCache, TreeWalk, open_path};

/// Lists a folder of a snapshot, or everything below it.
pub(super) fn run(invocation: &Invocation, args: &LsArgs) -> Result<ExitCode, Failure> {
    let filter = selection::filter(&args.filter)?;
    let repository = invocation.open()?;
    let output = &invocation.output;
    let chosen = selection::choose(&repository, &args.snapshot.snapshot, &filter, output)?;
    repository.refresh()?;
    let cache = FrameCache::new(16);
    let path = args.snapshot.path_or_root();
    let content = match open_path(&repository, &cache, &chosen.snapshot, path)? {
        None => selection::root_content(&chosen.snapshot)?,
        Some(Entry { node: Node::Folder { content }, .. }) => content,
        Some(entry) => {
            show(output, path, &entry, args.long);
            return Ok(chosen.exit_code());
        }
    };
    let prefix = path.strip_suffix(b"/").unwrap_or(path);
    let mut exit_code = chosen.exit_code();
    let mut walk = TreeWalk::new(&repository, &cache, &content);
    while let Some(step) = walk.next() {
        if output.is_closed() {
            break;
        }
        match step {
            Ok(step) => {
                show(output, &[prefix, b"/", &step.path].concat(), &step.entry, args.long);
                if !args.recursive {
                    walk.skip_folder();
                }
            }
            Err((below, error)) => {
                exit_code = ExitCode::Damage;
                let folder = [prefix, b"/", &below].concat();
                output.warn(&format!("cannot read the folder {}: {error}", printable(&folder)));
            }
        }
    }
    selection::warn_of_healed(&repository, output);
    Ok(exit_code)
}

fn show(output: &Output, path: &[u8], entry: &Entry, is_long: bool) {
    match output.is_json {
        true => output.json(&Line::Entry(EntryLine::new(path, entry))),
        false => output.result(&human::entry(path, entry, is_long)),
    }
}
