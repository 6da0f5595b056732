//! Judges one machine by itself: keep, update, replace or adopt. Pure.

use meshvm_provider_api::labels::{Hash, Ownership};
use meshvm_provider_api::{Difference, Kind, Mutability, Power};

use super::{Options, Reason};
use crate::desired::{Boot, DesiredFleet};
use crate::observed::ObservedMachine;

/// The attribute that stands for all that a machine boots with.
pub(crate) const USER_DATA: &str = "userData";

/// What becomes of one machine, judged by itself.
pub(super) enum Verdict {
    Keep,
    Adopt {
        differences: Vec<Difference>,
    },
    Update {
        reason: Reason,
        differences: Vec<Difference>,
        start: bool,
    },
    Replace {
        reason: Reason,
        differences: Vec<Difference>,
    },
}

impl Verdict {
    /// Returns how much the machine is worth keeping; less is removed first.
    pub(super) fn worth(&self) -> u8 {
        match self {
            Self::Replace { .. } => 0,
            Self::Update { start: true, .. } => 1,
            Self::Update { start: false, .. } => 2,
            Self::Keep => 3,
            // Somebody wants just this one.
            Self::Adopt { .. } => 4,
        }
    }

    /// Returns whether the machine is there after the plan.
    pub(super) fn stays(&self) -> bool {
        match self {
            Self::Keep | Self::Adopt { .. } | Self::Update { .. } => true,
            Self::Replace { .. } => false,
        }
    }

    /// Returns whether the file asks for another machine in its place.
    pub(super) fn is_superseded(&self) -> bool {
        matches!(
            self,
            Self::Replace {
                reason: Reason::FileChanged,
                ..
            }
        )
    }

    /// Returns whether doing it waits until the machine is ready.
    pub(super) fn waits(&self) -> bool {
        match self {
            Self::Keep => false,
            Self::Replace { .. } => true,
            Self::Adopt { differences } => needs_restart(differences),
            Self::Update {
                differences, start, ..
            } => *start || needs_restart(differences),
        }
    }

    /// Returns why something is done to the machine, and what differs.
    pub(super) fn cause(&self) -> Option<(&Reason, &[Difference])> {
        match self {
            Self::Keep | Self::Adopt { .. } => None,
            Self::Update {
                reason,
                differences,
                ..
            }
            | Self::Replace {
                reason,
                differences,
            } => Some((reason, differences)),
        }
    }
}

fn needs_restart(differences: &[Difference]) -> bool {
    differences
        .iter()
        .any(|difference| difference.mutability == Mutability::Restart)
}

/// Judges a machine that the fleet takes over.
pub(super) fn judge_adoption(
    desired: &DesiredFleet,
    kind: &dyn Kind,
    observed: &ObservedMachine,
) -> Verdict {
    Verdict::Adopt {
        differences: differences(desired, kind, observed, None, Renewal::None(None)),
    }
}

/// Judges one machine by itself.
pub(super) fn judge(
    options: &Options,
    desired: &DesiredFleet,
    kind: &dyn Kind,
    observed: &ObservedMachine,
    was: Option<&Boot>,
) -> Verdict {
    let machine = &observed.machine;
    let owned = observed.ownership();
    let boot = match options.is_bootstrapped(machine) {
        true => Renewal::InPlace,
        false => Renewal::None(was),
    };
    let differences = differences(desired, kind, observed, owned.as_ref(), boot);
    let asked = &options.replace;
    if asked.contains(&machine.name) || asked.contains(&machine.id.0) {
        return Verdict::Replace {
            reason: Reason::Requested,
            differences,
        };
    }
    if let Some(detail) = machine.failure()
        && machine.power != Power::Stopped
    {
        return Verdict::Replace {
            reason: Reason::Failed { detail },
            differences,
        };
    }
    // Of what is not known as a whole, what the file changed is.
    let reboots = boot_differences(desired, owned.as_ref(), boot);
    let current = owned.is_some_and(|owned| desired.is_made_from_this(&owned))
        && (desired.knows_boot() || reboots.is_empty());
    let reason = if current {
        Reason::Drifted
    } else {
        Reason::FileChanged
    };
    let hardest = differences.iter().map(|d| d.mutability).max();
    // Restarting takes a machine away for a while: where the rollout allows none
    // to be away, only a replacement keeps the promise.
    let replace = match hardest {
        Some(Mutability::Replace) => true,
        Some(Mutability::Restart) => {
            observed.is_available() && desired.rollout.max_unavailable == 0
        }
        Some(Mutability::InPlace) | None => false,
    };
    let stopped = machine.power == Power::Stopped;
    if replace {
        Verdict::Replace {
            reason,
            differences,
        }
    } else if stopped {
        Verdict::Update {
            reason: Reason::Stopped,
            differences,
            start: true,
        }
    } else if differences.is_empty() && (current || !desired.knows_boot()) {
        Verdict::Keep
    } else {
        Verdict::Update {
            reason,
            differences,
            start: false,
        }
    }
}

/// Whether a machine has another bootstrap than it booted with.
#[derive(Clone, Copy)]
pub(super) enum Renewal<'a> {
    /// It ran its fleet's of now in place.
    InPlace,
    /// No; what the fleet's was made from when it booted, where that is known.
    None(Option<&'a Boot>),
}

/// Returns all in which a machine is not what the file asks for.
pub(super) fn differences(
    desired: &DesiredFleet,
    kind: &dyn Kind,
    observed: &ObservedMachine,
    owned: Option<&Ownership>,
    boot: Renewal<'_>,
) -> Vec<Difference> {
    let machine = &observed.machine;
    let mut all = kind.compare(&desired.template, machine);
    if observed.scope != desired.template.scope {
        all.push(Difference {
            attribute: "scope".to_owned(),
            before: Some(json(observed.scope.to_string())),
            after: Some(json(desired.template.scope.to_string())),
            mutability: Mutability::Replace,
        });
    }
    all.extend(boot_differences(desired, owned, boot));
    for (key, wanted) in &desired.labels {
        let has = machine.labels.get(key);
        if has != Some(wanted) {
            all.push(Difference {
                attribute: format!("labels.{key}"),
                before: has.map(|has| json(has.as_str())),
                after: Some(json(wanted.as_str())),
                mutability: Mutability::InPlace,
            });
        }
    }
    all
}

/// Returns in what a machine booted otherwise than one that is made now.
fn boot_differences(
    desired: &DesiredFleet,
    owned: Option<&Ownership>,
    boot: Renewal<'_>,
) -> Vec<Difference> {
    // A machine without the label was adopted: what it booted with is unknown,
    // and adopting is no reason to replace.
    let Some(before) = owned.and_then(|owned| owned.user_data.as_ref()) else {
        return Vec::new();
    };
    let after = &desired.boot.user_data;
    let whole = |mutability| Difference {
        attribute: USER_DATA.to_owned(),
        before: Some(json(before.as_str())),
        after: Some(json(after.as_str())),
        mutability,
    };
    match boot {
        _ if before == after => Vec::new(),
        Renewal::InPlace => vec![whole(Mutability::InPlace)],
        Renewal::None(was) => {
            let mut all = boot_changes(was, before, desired);
            if all.is_empty() && desired.knows_boot() {
                all.push(whole(Mutability::Replace));
            }
            all
        }
    }
}

/// Returns what of the settings changed that user-data is made from, where it is known what the
/// machine's was made from.
fn boot_changes(was: Option<&Boot>, before: &Hash, desired: &DesiredFleet) -> Vec<Difference> {
    let Some(was) = was.filter(|was| was.user_data == *before) else {
        return Vec::new();
    };
    desired
        .boot_changes(was)
        .map(|(setting, before, after)| Difference {
            attribute: setting.clone(),
            before: before.cloned(),
            after: after.cloned(),
            mutability: Mutability::Replace,
        })
        .collect()
}

/// Returns text as a difference holds it.
fn json(text: impl Into<serde_json::Value>) -> String {
    text.into().to_string()
}
