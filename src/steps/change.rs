//! What is asked of a provider for machines that exist. Pure.

use meshvm_provider_api::{MachineId, Mutability, Update, labels};

use super::ownership;
use crate::desired::DesiredFleet;
use crate::plan::verdict::USER_DATA;
use crate::plan::{Action, MachineChange, MachineRef, Plan};

/// Returns whether existing machines restart for a change.
pub(super) fn restarts(change: &MachineChange) -> bool {
    let in_place = match change.action {
        Action::Update | Action::Adopt => true,
        Action::Create | Action::Replace | Action::Delete | Action::Forget => false,
    };
    let mut differences = change.differences.iter();
    in_place && differences.any(|difference| difference.mutability == Mutability::Restart)
}

/// Returns a change of some of its machines; those of a fleet that is not in the file are let go.
pub(super) fn update(
    plan: &Plan,
    fleet: &str,
    desired: Option<&DesiredFleet>,
    change: &MachineChange,
    machines: &[&MachineRef],
) -> Update {
    let machines: Vec<MachineId> = machines.iter().map(|machine| machine.id.clone()).collect();
    let mut update = Update {
        machines,
        template: None,
        attributes: Vec::new(),
        start: change.start,
        set_labels: labels::Labels::new(),
        remove_labels: Vec::new(),
    };
    match (change.action, desired) {
        (Action::Forget, _) | (_, None) => {
            update.remove_labels = labels::ALL.iter().map(|&l| l.to_owned()).collect();
        }
        (_, Some(desired)) => {
            let changed = change.differences.iter().map(|it| it.attribute.as_str());
            update.attributes = changed
                .clone()
                .filter(|name| !is_engines(name))
                .map(str::to_owned)
                .collect();
            update.template = Some(desired.template.clone());
            update.set_labels = desired.labels.clone();
            let owner = ownership(&plan.desired.stack, fleet, desired, None);
            update.set_labels.extend(owner.labels());
            // Nobody but its user can say so: it ran the bootstrap of now.
            if changed.into_iter().any(|name| name == USER_DATA) {
                let hash = desired.boot.user_data.to_string();
                update.set_labels.insert(labels::USER_DATA.to_owned(), hash);
            }
        }
    }
    update
}

/// Returns whether an attribute is the engine's own, and no provider's.
fn is_engines(attribute: &str) -> bool {
    attribute.starts_with("labels.") || attribute == USER_DATA
}
