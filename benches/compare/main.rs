//! Vellum beside other backup programs, on the same data in the same minutes, and beside itself on more and more data.
//!
//! `measure` and `growth` write raw figures into a file of JSON; `page` makes `docs/BENCHMARKS.md` and its plots of it,
//! and can do so again without measuring. Everything is real commands as a user would type them: nothing here knows
//! how any of the programs works inside, and every restore is compared with its source byte for byte.

#![forbid(unsafe_code)]

mod arguments;
mod figures;
mod growth;
mod machine;
mod page;
mod plots;
mod process;
mod rounds;
mod sources;
mod tools;
mod trees;

use arguments::Arguments;

/// Whatever ends the program; its text names what went wrong.
type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "\
usage: compare measure --work FOLDER --figures FILE [--rounds N] [--tools NAME,...] [--vellum PROGRAM]
                       [--set NAME=ONE,TWO]... [--tiny FILES] [--at-most RUNS]
       compare growth  --work FOLDER --figures FILE [--rounds N] [--vellum PROGRAM]
                       [--files N] [--bytes N] [--doublings N] [--at-most RUNS]
       compare page    --figures FILE --docs FOLDER

measure: two versions of a folder or file a set, copied into FOLDER first, which must have room for both versions, a
         repository and a restored copy; --tiny makes a set of its own of so many files of up to 4 KiB
growth:  sources of N, 2N, 4N, ... files, and of one file of so many bytes

What FILE has already is not measured again, so that a long measurement can be made in pieces: --at-most 0 only makes
the sources, --at-most 1 measures one program's steps. Name another FILE for another Vellum.";

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let verb = words.next().unwrap_or_default();
    let mut arguments = Arguments::parse(words)?;
    match verb.as_str() {
        "measure" => rounds::measure(&mut arguments),
        "growth" => growth::measure(&mut arguments),
        "page" => page::write(&mut arguments),
        _ => Err(USAGE.into()),
    }
}
