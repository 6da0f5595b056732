//! Machines that nobody could tell now how to join the mesh. Pure.

use std::collections::BTreeSet;

use super::verdict::USER_DATA;
use super::{MachineChange, Plan};
use crate::desired::DesiredFleet;
use crate::mesh::{ObjectRef, objects};

impl Plan {
    /// Returns the fleets of which it makes machines that could not be told how to join, or has some
    /// that are said to have run what nobody knows.
    pub fn unjoinable(&self) -> BTreeSet<String> {
        let is_kept = |(fleet, change): &(&str, &MachineChange)| {
            let Some(desired) = self.desired.fleets.get(*fleet) else {
                return true;
            };
            let is_making = makes(change);
            if is_making && desired.lacks_account {
                return false;
            }
            let mut differences = change.differences.iter();
            let is_renewed = differences.any(|difference| difference.attribute == USER_DATA);
            desired.lacks.is_none() || (!is_making && (desired.knows_boot() || !is_renewed))
        };
        let stuck = self.changes().filter(|change| !is_kept(change));
        stuck.map(|(fleet, _)| fleet.to_owned()).collect()
    }

    /// Returns the fleets that it looks at and of which no machine can be made now.
    pub fn lacking(&self) -> impl Iterator<Item = (&str, &DesiredFleet)> {
        let fleets = self.desired.fleets.iter();
        let fleets =
            fleets.filter(|(fleet, _)| !self.options.destroy && self.options.covers(fleet));
        let lacking =
            fleets.filter(|(_, desired)| desired.lacks.is_some() || desired.lacks_account);
        lacking.map(|(fleet, desired)| (fleet.as_str(), desired))
    }

    /// Names the service accounts that machines which it makes get their tokens from, and that no
    /// fleet makes.
    pub fn used_accounts(&self) -> BTreeSet<ObjectRef> {
        let growing = self.changes().filter(|(_, change)| makes(change));
        let growing: BTreeSet<&str> = growing.map(|(fleet, _)| fleet).collect();
        let fleets = self.desired.fleets.iter();
        let sides: Vec<_> = fleets
            .filter_map(|(fleet, desired)| Some((fleet.as_str(), desired.side()?)))
            .collect();
        let made: BTreeSet<ObjectRef> = objects::made_accounts(sides.iter().map(|(_, side)| *side));
        let used = sides.iter().filter(|(fleet, _)| growing.contains(fleet));
        let used = used.filter_map(|(_, side)| objects::used_account(*side));
        used.filter(|account| !made.contains(account)).collect()
    }

    /// Returns the fleets of which it is not known what machines boot with: those that are there
    /// are not compared with it.
    pub fn uncompared(&self) -> Vec<&str> {
        let unknown = self.lacking().filter(|(_, desired)| !desired.knows_boot());
        unknown.map(|(fleet, _)| fleet).collect()
    }
}

/// Returns whether a change makes machines.
fn makes(change: &MachineChange) -> bool {
    change.zones.values().any(|count| *count > 0)
}
