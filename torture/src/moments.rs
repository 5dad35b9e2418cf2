//! When in a run something is to happen.

use crate::actions::Action;
use crate::program::Ran;
use crate::suite::Series;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a run of an action is, in time and in calls, from those before it.
#[derive(Default)]
pub(crate) struct Moments {
    times: BTreeMap<Action, Duration>,
    calls: BTreeMap<Action, u64>,
}

impl Moments {
    /// A moment a little longer than the last run of this action that was seen to its end.
    pub(crate) fn time(&self, series: &mut Series<'_>, action: Action) -> Duration {
        let whole = self.times.get(&action).copied().unwrap_or(Duration::from_millis(30));
        whole * u32::try_from(series.below(1_100)).expect("a small number") / 1_000
    }

    /// A number of a call that the last run of this action had, or a little later.
    pub(crate) fn call(&self, series: &mut Series<'_>, action: Action) -> u64 {
        let whole = self.calls.get(&action).copied().unwrap_or(150);
        1 + series.below(whole + whole / 20 + 1)
    }

    /// Remembers a run.
    pub(crate) fn learn(&mut self, action: Action, ran: &Ran) {
        if ran.code.is_none() {
            return;
        }
        if ran.report.total() > 0 {
            self.calls.insert(action, ran.report.total());
        } else {
            self.times.insert(action, ran.took);
        }
    }
}
