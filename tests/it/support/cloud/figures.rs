//! What a command costs: calls by name, processor time and memory of the program.

use std::collections::BTreeMap;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::Cloud;

/// What a command cost.
pub struct Measured {
    pub calls: BTreeMap<String, u64>,
}

impl Measured {
    /// Returns how many calls it took.
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Returns how many calls of a name it took.
    pub fn of(&self, name: &str) -> u64 {
        self.calls.get(name).copied().unwrap_or_default()
    }
}

/// Runs a command, and prints what it cost; alone in its process, as what children cost is
/// counted for all of them.
pub fn measured<C: Cloud>(
    ground: &C,
    line: &str,
    calls: impl Fn(&C) -> BTreeMap<String, u64>,
) -> Measured {
    let usage = || getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let seconds = || {
        let of = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        of(usage().user_time()) + of(usage().system_time())
    };
    calls(ground);
    let before = seconds();
    ground.meshvm(line).exits(0);
    let measured = Measured {
        calls: calls(ground),
    };
    println!(
        "{line}: {} calls, {:.1} s, at most {} MiB so far: {:?}",
        measured.total(),
        seconds() - before,
        usage().max_rss() / 1024,
        measured.calls
    );
    measured
}
