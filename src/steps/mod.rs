//! Steps: a plan as single remote actions with the order between them, as data.
//!
//! Invariants:
//! 1. A step needs only steps before it, so the list is an order that works.
//! 2. What a rollout allows is in the edges; whoever follows them cannot break it.
//! 3. The same plan lowers to the same steps with the same keys.

mod change;
mod leave;
pub mod lower;
mod objects;
pub mod rollout;
pub mod routing;

use std::collections::BTreeSet;
use std::time::Duration;

use meshvm_provider_api::labels::{BatchKey, Ownership};
use meshvm_provider_api::{Batch, MachineId, Scope};
use serde::{Deserialize, Serialize};

use crate::desired::DesiredFleet;
use crate::mesh::{Object, ObjectRef, secret_ref};
use crate::plan::{MachineRef, Plan};

pub use lower::lower;

/// Steps in an order that works.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepGraph {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One remote action.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Names it, in its plan.
    pub id: String,
    /// What it does.
    pub op: Op,
    /// The steps that must have succeeded before, by position.
    pub needs: Vec<usize>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Makes ready what creating machines of a fleet needs.
    Prepare {
        /// The fleet.
        fleet: String,
    },
    /// Creates a batch of machines.
    Create(NewBatch),
    /// Waits until machines are ready.
    Await {
        /// The fleet.
        fleet: String,
        /// The steps that create machines to wait for.
        created: Vec<usize>,
        /// Machines that exist already, to wait for.
        machines: Vec<MachineRef>,
        /// Where those are.
        scope: Scope,
        /// How long they must stay ready.
        min_ready: Duration,
        /// How long they may take.
        timeout: Duration,
    },
    /// Writes the entries of machines, as soon as these have addresses.
    Enter {
        /// The fleet.
        fleet: String,
        /// The steps that made the machines or waited for them.
        of: Vec<usize>,
        /// Where they are.
        scope: Scope,
        /// How long the addresses may take.
        timeout: Duration,
    },
    /// Changes machines in place, or their labels.
    Change {
        /// Their fleet.
        fleet: String,
        /// Where they are.
        scope: Scope,
        /// What is done to them.
        update: meshvm_provider_api::Update,
    },
    /// Deletes machines.
    Delete {
        /// Their fleet.
        fleet: String,
        /// Where they are.
        scope: Scope,
        /// Which.
        machines: Vec<MachineId>,
    },
    /// Writes objects of the mesh.
    Write {
        /// The fleets that need them; none where nobody can tell.
        fleets: BTreeSet<String>,
        /// The objects, whole.
        objects: Vec<Object>,
    },
    /// Deletes objects of the mesh.
    Prune {
        /// The fleets that needed them; none where nobody can tell.
        fleets: BTreeSet<String>,
        /// Which.
        objects: Vec<ObjectRef>,
        /// How long to wait then, for connections to end.
        drain: Duration,
    },
}

/// A batch to create, without what its fleet's plan says already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewBatch {
    /// The fleet.
    pub fleet: String,
    /// The zone.
    pub zone: String,
    /// How many machines.
    pub count: u32,
    /// The idempotency key.
    pub key: BatchKey,
}

impl NewBatch {
    /// Makes the request that this means in its plan; the same again for the same plan.
    pub fn request(&self, plan: &Plan) -> Option<Batch> {
        let desired = plan.desired.fleets.get(&self.fleet)?;
        Some(Batch {
            key: self.key,
            ownership: ownership(&plan.desired.stack, &self.fleet, desired, Some(self.key)),
            labels: desired.labels.clone(),
            zone: self.zone.clone(),
            count: self.count,
            template: desired.template.clone(),
            user_data: desired.user_data.clone(),
            media: desired.media.clone(),
        })
    }

    /// Returns what the tokens of its machines are bound to, by the names that they are made for;
    /// nothing where machines get none.
    pub fn secrets(&self, plan: &Plan) -> Vec<(String, ObjectRef)> {
        let fleet = plan.desired.fleets.get(&self.fleet);
        let membership = fleet.and_then(|fleet| fleet.membership.as_ref());
        let (Some(_), Some(membership)) = (plan.desired.tokens, membership) else {
            return Vec::new();
        };
        let names = (0..self.count).map(|index| self.key.machine_name(&self.fleet, index));
        let bound = |name: String| {
            let secret = secret_ref(membership.namespace.as_str(), &name);
            (name, secret)
        };
        names.map(bound).collect()
    }
}

/// Returns the ownership of a fleet's machines as they shall be.
pub fn ownership(
    stack: &str,
    fleet: &str,
    desired: &DesiredFleet,
    batch: Option<BatchKey>,
) -> Ownership {
    Ownership {
        stack: stack.to_owned(),
        fleet: fleet.to_owned(),
        batch,
        spec: desired.spec.clone(),
        user_data: batch.map(|_| desired.boot.user_data.clone()),
    }
}
