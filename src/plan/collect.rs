//! Collects the changes of a fleet, putting machines together to which the same happens. Pure.

use std::collections::BTreeMap;

use meshvm_provider_api::{Difference, Scope};

use super::{Action, MachineChange, MachineRef, Reason};
use crate::mesh::objects;
use crate::observed::ObservedMachine;

/// Collects changes, putting machines together to which the same happens.
#[derive(Default)]
pub(super) struct Changes(BTreeMap<(Action, Reason, Scope, Vec<Difference>, bool), MachineChange>);

impl Changes {
    fn entry(
        &mut self,
        action: Action,
        reason: &Reason,
        scope: &Scope,
        differences: &[Difference],
        start: bool,
    ) -> &mut MachineChange {
        let key = (
            action,
            reason.clone(),
            scope.clone(),
            differences.to_vec(),
            start,
        );
        self.0.entry(key).or_insert_with(|| MachineChange {
            action,
            reason: reason.clone(),
            scope: scope.clone(),
            machines: Vec::new(),
            zones: BTreeMap::new(),
            differences: differences.to_vec(),
            start,
        })
    }

    pub(super) fn add(
        &mut self,
        action: Action,
        reason: Reason,
        observed: &ObservedMachine,
        differences: Vec<Difference>,
        start: bool,
    ) {
        self.entry(action, &reason, &observed.scope, &differences, start)
            .machines
            .push(reference(observed));
    }

    /// Adds a machine to be replaced, and the zone of the new one; `None` when no new one is wanted.
    pub(super) fn replace(
        &mut self,
        reason: Reason,
        observed: &ObservedMachine,
        differences: Vec<Difference>,
        zone: Option<String>,
    ) {
        let change = self.entry(
            Action::Replace,
            &reason,
            &observed.scope,
            &differences,
            false,
        );
        change.machines.push(reference(observed));
        if let Some(zone) = zone {
            *change.zones.entry(zone).or_default() += 1;
        }
    }

    /// Adds the machines that are wanting, those that went missing apart from those `asked` for.
    pub(super) fn create(
        &mut self,
        scope: &Scope,
        room: BTreeMap<String, u32>,
        mut missing: u32,
        asked: &Reason,
    ) {
        for (zone, wanting) in room {
            let gone = wanting.min(missing);
            missing -= gone;
            for (reason, count) in [(&Reason::Missing, gone), (asked, wanting - gone)] {
                if count > 0 {
                    let change = self.entry(Action::Create, reason, scope, &[], false);
                    change.zones.insert(zone.clone(), count);
                }
            }
        }
    }

    pub(super) fn finish(self) -> Vec<MachineChange> {
        let mut changes: Vec<_> = self.0.into_values().collect();
        for change in &mut changes {
            change.machines.sort();
        }
        changes
    }
}

pub(super) fn reference(observed: &ObservedMachine) -> MachineRef {
    let machine = &observed.machine;
    MachineRef {
        name: machine.name.clone(),
        id: machine.id.clone(),
        zone: machine.zone.clone(),
        available: observed.is_available(),
        protected: observed.protected,
        token_of: objects::token_of(machine),
    }
}
