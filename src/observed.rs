//! Observed: what clouds and mesh report about a stack, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use meshvm_provider_api::labels::{self, BatchKey, Labels, Ownership};
use meshvm_provider_api::{Machine, MachineId, Power, Scope, Update};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mesh::{Members, Seen};

/// Everything that was seen of a stack.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The stack's machines.
    pub machines: Vec<ObservedMachine>,
    /// Machines that were asked for by id, to be adopted.
    pub adoptable: Vec<ObservedMachine>,
    /// The stack's objects in the mesh, without those that are being deleted.
    pub objects: Vec<Seen>,
    /// Those that are being deleted.
    pub ending: Vec<Seen>,
    /// What the mesh says of machines that register by themselves, by fleet.
    pub registered: BTreeMap<String, Members>,
    /// Namespaces of fleets that do not exist, and that a write makes.
    pub new_namespaces: BTreeSet<String>,
    /// Batches that an interrupted run may have sent, whose machines are not listed.
    pub unsettled: Vec<UnsettledBatch>,
    /// What recent runs did and was still so. Later listings may show it, and then again not: one
    /// that is late may show a machine as it was before, and as it is now.
    pub recent: BTreeMap<Scope, Expected>,
}

/// A machine and where it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedMachine {
    /// The scope that lists it.
    pub scope: Scope,
    /// The machine.
    pub machine: Machine,
    /// What keeps traffic from it though it is up, as its entry says.
    pub unhealthy: Option<String>,
    /// Whether its entry is being deleted: it is on its way out already, or is to be entered anew.
    pub leaving: bool,
    /// Whether its cloud refuses to delete it.
    pub protected: bool,
}

impl ObservedMachine {
    /// Returns what its ownership labels say.
    pub fn ownership(&self) -> Option<Ownership> {
        Ownership::from_labels(&self.machine.labels)
    }

    /// Returns which of the fleet's zones it counts for: its own, or the one that had no room for it.
    pub fn home<'a>(&'a self, zones: &[String]) -> &'a str {
        let has = |zone: &String| zones.contains(zone);
        let home = self.machine.labels.get(labels::ZONE);
        home.filter(|home| has(home) && has(&self.machine.zone))
            .unwrap_or(&self.machine.zone)
    }

    /// Returns whether it is up, and the mesh lets traffic to it.
    pub fn is_available(&self) -> bool {
        self.machine.is_available() && self.unhealthy.is_none()
    }
}

/// A batch whose creation was begun and never ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnsettledBatch {
    /// The fleet.
    pub fleet: String,
    /// The zone.
    pub zone: String,
    /// The batch's key.
    pub key: BatchKey,
    /// The machines of it that are not listed.
    pub missing: u32,
}

/// What recent runs did to a scope, that a listing may not show yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// Machines that exist, and what is seen of them when the listing is not late.
    pub present: BTreeMap<MachineId, Expectation>,
    /// Machines that are not the stack's any more, and since when. A listing may not show yet
    /// that they were made, so that it shows none of them says nothing.
    pub absent: BTreeMap<MachineId, Timestamp>,
}

/// What is expected of a machine that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// What is seen of it.
    pub look: Look,
    /// When that was brought about, so that it is known when every listing shows it.
    pub since: Timestamp,
}

impl Expected {
    /// Expects something of a machine, whatever was expected of it before.
    pub fn expect(&mut self, machine: &MachineId, expectation: Expectation) {
        self.absent.remove(machine);
        self.present.insert(machine.clone(), expectation);
    }

    /// Expects that a machine is available, beside what is expected of it already.
    pub fn expect_available(&mut self, machine: &MachineId, since: Timestamp) {
        self.absent.remove(machine);
        let expectation = self.present.entry(machine.clone());
        let Expectation { look, since: last } = expectation.or_insert_with(|| Expectation {
            look: Look::default(),
            since,
        });
        look.available = true;
        *last = since;
    }

    /// Expects that a machine is not the stack's any more.
    pub fn expect_gone(&mut self, machine: &MachineId, since: Timestamp) {
        self.present.remove(machine);
        self.absent.insert(machine.clone(), since);
    }

    /// Adds what is expected later; the later wins.
    pub fn extend(&mut self, later: &Self) {
        for (machine, expectation) in &later.present {
            self.expect(machine, expectation.clone());
        }
        for (machine, since) in &later.absent {
            self.expect_gone(machine, *since);
        }
    }

    /// Keeps what was brought about at a time that is asked for.
    pub fn retain_since(&mut self, is_kept: impl Fn(Timestamp) -> bool) {
        self.present
            .retain(|_, expectation| is_kept(expectation.since));
        self.absent.retain(|_, since| is_kept(*since));
    }

    /// Returns whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty() && self.absent.is_empty()
    }
}

/// What is seen of a machine after something was done to it, and not before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Look {
    /// Labels that it has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Attributes that it has; `None` for those that it has no more.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Option<Value>>,
    /// Whether it was started, so that it is not stopped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub started: bool,
    /// Whether it was seen available.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub available: bool,
}

impl Look {
    /// Returns the look of a machine made from something with this hash.
    pub fn made_from(spec: &str) -> Self {
        Self {
            labels: Labels::from([(labels::SPEC.to_owned(), spec.to_owned())]),
            ..Self::default()
        }
    }

    /// Returns the look of machines after an update; `None` when it lets them go.
    pub fn after(update: &Update) -> Option<Self> {
        let Update {
            machines: _,
            template,
            attributes,
            start,
            set_labels,
            remove_labels,
        } = update;
        if remove_labels.iter().any(|label| label == labels::STACK) {
            return None;
        }
        let value = |name: &String| template.as_ref()?.attributes.get(name).cloned();
        Some(Self {
            labels: set_labels.clone(),
            attributes: attributes.iter().map(|n| (n.clone(), value(n))).collect(),
            started: *start,
            available: false,
        })
    }

    /// Returns whether a machine looks so.
    pub fn is_of(&self, machine: &Machine) -> bool {
        let Self {
            labels,
            attributes,
            started,
            available,
        } = self;
        labels.iter().all(|(k, v)| machine.labels.get(k) == Some(v))
            && attributes
                .iter()
                .all(|(k, v)| machine.attributes.get(k) == v.as_ref())
            && !(*started && machine.power == Power::Stopped)
            && (!*available || machine.is_available())
    }
}

#[cfg(test)]
mod tests {
    use meshvm_provider_api::Readiness;
    use serde_json::json;

    use super::*;

    fn machine() -> Machine {
        Machine {
            id: "m".into(),
            name: "m".into(),
            zone: "a".into(),
            power: Power::Running,
            readiness: Readiness::Ready,
            address: None,
            labels: Labels::from([(labels::SPEC.to_owned(), "new".to_owned())]),
            attributes: BTreeMap::from([("size".to_owned(), json!("large"))]),
        }
    }

    fn update() -> Update {
        Update {
            machines: vec!["m".into()],
            template: None,
            attributes: vec!["color".to_owned()],
            start: true,
            set_labels: machine().labels,
            remove_labels: Vec::new(),
        }
    }

    #[test]
    fn a_look_is_told_from_the_one_before() {
        let look = Look::after(&update()).unwrap();
        assert!(look.is_of(&machine()));
        let mut others = [machine(), machine(), machine()];
        others[0].labels.clear();
        others[1].power = Power::Stopped;
        let color = ("color".to_owned(), json!("of before"));
        others[2].attributes.extend([color]);
        for other in &others {
            assert!(!look.is_of(other), "{other:?}");
        }

        let mut waiting = machine();
        waiting.readiness = Readiness::Waiting;
        assert!(look.is_of(&waiting));
        let mut expected = Expected::default();
        let (changed, came_up) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let since = changed;
        expected.expect(&waiting.id, Expectation { look, since });
        expected.expect_available(&waiting.id, came_up);
        let Expectation { look, since } = &expected.present[&waiting.id];
        assert!(!look.is_of(&waiting));
        assert!(look.is_of(&machine()));
        assert_eq!(*since, came_up);
    }

    #[test]
    fn what_is_let_go_has_no_look() {
        let update = Update {
            remove_labels: vec![labels::STACK.to_owned()],
            ..update()
        };
        assert_eq!(Look::after(&update), None);
    }
}
