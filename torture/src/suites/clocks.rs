//! Clocks that are ten years off, run backwards, or jump with every look. Nothing but times may differ (P14).

use crate::actions::{Action, Prepared};
use crate::failure::{Failure, Harm};
use crate::scene::{End, Places, Scene};
use crate::suite::Series;
use std::ffi::OsString;
use vellum_testkit::trees::TreeOptions;

/// As `faketime -f` takes them.
const CLOCKS: [&str; 9] =
    ["+0", "-10y", "+10y", "+10y x1000", "-10y x1000", "-1d x-1000", "+0 i3600", "+10y i-86400", "-10y i86400"];

/// A repository whose clients never agree about the time.
pub(crate) fn run(series: &mut Series<'_>) -> Result<(), Failure> {
    let mut scene = Scene::new(series, Places::below(&series.folder))?;
    scene.build(TreeOptions { file_count: 15, len_bytes_max: 70_000 })?;
    prove(&mut scene)?;
    let mut actions = Action::weighted(&scene.program);
    actions.extend([Action::Check, Action::Restore, Action::List]);
    for _ in series.cases.clone() {
        if !series.goes_on() {
            break;
        }
        scene.mutate(8);
        scene.wrapper = wrapper(series.random.pick::<&str>(&CLOCKS));
        let action = *series.random.pick(&actions);
        let mut prepared = Prepared::new(&mut scene, action)?;
        scene.disturb()?;
        let ran = scene.run(prepared.call())?;
        if prepared.settle(&mut scene, &ran)? == End::Refused {
            return Err(ran.failure(Harm::Stuck, "it failed because of a clock"));
        }
        series.add("cases");
        series.add(format!("of {}", action.name()));
        scene.wrapper = wrapper(series.random.pick::<&str>(&CLOCKS));
        scene.verify()?;
    }
    Ok(())
}

fn wrapper(clock: &str) -> Vec<OsString> {
    // Times of files come from the kernel, and stay as they are.
    ["env", "NO_FAKE_STAT=1", "faketime", "-f", clock].map(OsString::from).into()
}

/// Refuses to go on when the binary's clock cannot be faked.
fn prove(scene: &mut Scene) -> Result<(), Failure> {
    let mut years = Vec::new();
    for clock in [wrapper("-10y"), Vec::new()] {
        scene.wrapper = clock;
        let source = scene.source();
        let ran = scene.run(scene.backup());
        let ran = ran.map_err(|failure| Failure::unfit(format!("Debian's `faketime` is needed: {}", failure.what)))?;
        let start = ran.lines_of("summary").pop().and_then(|line| line["backup_start"].as_str().map(str::to_owned));
        let year = start.and_then(|start| start.get(..4)?.parse::<i32>().ok());
        years.push(year.ok_or_else(|| ran.failure(Harm::Unfit, "Debian's `faketime` is needed"))?);
        scene.settle(&ran, source)?;
    }
    match years[1] - years[0] {
        9..=11 => Ok(()),
        _ => Err(Failure::unfit(format!("`faketime` does not change this binary's clock: {years:?}"))),
    }
}
