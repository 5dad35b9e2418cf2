//! Telling what went wrong with single entries.

use crate::output::Output;
use crate::render::human;
use crate::render::json::{Line, ProblemLine};
use vellum::Problem;

/// Names the first few for people, and how many more there are; all that are known to programs.
pub(super) fn tell<'a>(
    output: &Output,
    problems: &'a [Problem],
    count: u64,
    told_max: usize,
    line: impl Fn(ProblemLine<'a>) -> Line<'a>,
) {
    if output.is_json {
        problems.iter().for_each(|problem| output.json(&line(ProblemLine::new(problem))));
        return;
    }
    for problem in problems.iter().take(told_max) {
        output.warn(&human::problem(problem));
    }
    let told = problems.len().min(told_max) as u64;
    if count > told {
        output.warn(&format!("{} more like these", count - told));
    }
}
