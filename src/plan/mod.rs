//! The plan: the computed difference between desired and observed, as data.
//!
//! A plan holds every choice and everything that `apply` needs but credentials.
//! [`Action`] decides; [`Reason`] only explains, and nothing branches on it.
//!
//! Invariants:
//! 1. A machine is in at most one change.
//! 2. No change names a machine that the stack does not own, but `adopt`.
//! 3. Order everywhere is by name, so the same inputs give the same bytes.
//! 4. There is no secret in it.

mod collect;
pub mod fleet;
mod joining;
pub mod last;
mod mesh;
pub mod objects;
mod parts;
pub mod planner;
pub mod policy;
mod reason;
mod registered;
mod spread;
mod strangers;
pub mod tokens;
mod unlabelled;
pub mod unready;
pub(crate) mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use meshvm_provider_api::labels::Hash;
use meshvm_provider_api::{Difference, Machine, MachineId, Scope};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::desired::Desired;
use crate::mesh::{HeldField, Object, ObjectRef, Target};
use crate::observed::UnsettledBatch;
use crate::spec::model::KubernetesMesh;

pub use last::Applied;
pub use parts::Parts;
pub use planner::{Input, PlanError, plan};

/// The version of the plan's format; a saved plan of another is refused.
pub const FORMAT: u32 = 1;

/// The computed difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// The version of this format.
    pub format: u32,
    /// The version of meshvm that made it.
    pub made_by: String,
    /// What tells it from all other plans; idempotency keys derive from it.
    pub id: Uuid,
    /// When it was made.
    pub made_at: Timestamp,
    /// Where it is applied.
    pub context: Context,
    /// What was asked for on the command line.
    pub options: Options,
    /// What the fleet file asks for.
    pub desired: Desired,
    /// What changes, by fleet; fleets without change are left out.
    pub fleets: BTreeMap<String, FleetPlan>,
    /// What changes in the mesh, beside the entries of machines that do not exist yet.
    pub objects: Vec<ObjectChange>,
    /// What tokens are bound to whose machines are gone, and that nothing else names: it goes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub revoked: BTreeSet<ObjectRef>,
    /// Namespaces that are made for them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub namespaces: BTreeSet<String>,
    /// What fleets have of their own beside machines once it is applied, such as firewall rules.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub parts: Parts,
    /// What of that fleets may have left that go, and whose machines went by themselves: it goes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub leftovers: Parts,
    /// What changed outside meshvm since the last run.
    pub drift: Vec<Drift>,
    /// What it would delete that no run of this ledger has made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<String>,
    /// What it waits for, and why it does nothing about it.
    pub waiting: Vec<Waiting>,
    /// How many machines the stack had when the plan was made.
    pub observed_machines: u32,
}

impl Plan {
    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.fleets.is_empty()
            && self.objects.is_empty()
            && self.revoked.is_empty()
            && self.leftovers.is_empty()
            && self.waiting.is_empty()
    }

    /// Returns all changes of machines, with their fleets.
    pub fn changes(&self) -> impl Iterator<Item = (&str, &MachineChange)> {
        self.fleets.iter().flat_map(|(fleet, plan)| {
            plan.changes
                .iter()
                .map(move |change| (fleet.as_str(), change))
        })
    }

    /// Returns how many machines an action touches or makes.
    pub fn count(&self, action: Action) -> u32 {
        self.changes()
            .filter(|(_, change)| change.action == action)
            .map(|(_, change)| change.count())
            .sum()
    }
}

/// Where a plan is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Context {
    /// The ledger's URL, absolute.
    pub ledger: String,
    /// Where membership is written.
    pub mesh: Option<Target>,
    /// The same in the file's words, which are the same wherever the file lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_name: Option<String>,
    /// What tells the mesh from others of the same name; known once it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_identity: Option<String>,
    /// What machines are told of the mesh, where it was read from a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_read: Option<MeshReading>,
    /// Whether the clouds are simulated.
    pub simulate: bool,
    /// The folder of the simulated cloud.
    pub sim_cloud: PathBuf,
}

/// How a mesh was read, and what was read, so that whoever applies later can tell whether that is
/// still so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeshReading {
    /// The file's settings.
    pub settings: KubernetesMesh,
    /// The namespaces of the stack's fleets.
    pub namespaces: BTreeSet<String>,
    /// What was read, by name, as hashes.
    pub facts: BTreeMap<String, Hash>,
}

/// What was asked for on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// Only these fleets; all when empty.
    pub targets: BTreeSet<String>,
    /// Machines to replace, by name or id.
    pub replace: BTreeSet<String>,
    /// Machines that ran their fleet's bootstrap of now in place, by name or id: they are kept.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub bootstrapped: BTreeSet<String>,
    /// Machines to take over: by id, into a fleet.
    pub adopt: BTreeMap<MachineId, String>,
    /// Machines to let go, by name or id.
    pub forget: BTreeSet<String>,
    /// Delete everything instead of making it so.
    pub destroy: bool,
    /// Only look for drift.
    pub refresh_only: bool,
    /// Go on in another cluster than the one that has the stack's objects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub another_cluster: bool,
    /// Take fields of objects in the mesh that others have set; known to whoever applies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force_conflicts: bool,
}

impl Options {
    /// Returns whether a machine says that it has the bootstrap of before, and has that of now.
    pub fn is_bootstrapped(&self, machine: &Machine) -> bool {
        let Machine { id, name, .. } = machine;
        self.bootstrapped.contains(name) || self.bootstrapped.contains(&id.0)
    }

    /// Returns whether a fleet is looked at.
    pub fn covers(&self, fleet: &str) -> bool {
        self.targets.is_empty() || self.targets.contains(fleet)
    }
}

/// What changes in one fleet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetPlan {
    /// The changes.
    pub changes: Vec<MachineChange>,
    /// Machines that are right and available.
    pub available: u32,
    /// Machines that are right and not available yet.
    pub coming: Vec<MachineRef>,
    /// The most machines that one call of the fleet's provider may name.
    pub max_batch: u32,
    /// Whether each new machine is a batch by itself, since its user-data is for it alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_by_one: bool,
}

/// What is done to machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// New machines.
    Create,
    /// The same machines, changed.
    Update,
    /// New machines, then the old ones go.
    Replace,
    /// The machines go.
    Delete,
    /// Existing machines become the stack's.
    Adopt,
    /// The machines stay, and are the stack's no more.
    Forget,
}

/// Why something is done. For people: nothing branches on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "why")]
pub enum Reason {
    /// The fleet has no machine yet.
    NewFleet,
    /// The file asks for more machines.
    ScaledUp,
    /// The file asks for fewer machines.
    ScaledDown,
    /// The file asks for other machines.
    FileChanged,
    /// The file has no such fleet any more.
    FleetRemoved,
    /// Machines that were there are gone.
    Missing,
    /// The object is there, without the label by which it is the stack's.
    Unlabelled,
    /// There are more machines than were asked for.
    Surplus,
    /// There are more machines than were asked for, and a run was interrupted that made some.
    Interrupted,
    /// The machine was changed outside meshvm.
    Drifted,
    /// The machine stopped.
    Stopped,
    /// The machine is broken, or its bootstrap failed.
    Failed {
        /// What is wrong with it.
        detail: String,
    },
    /// The machine is up, and the mesh lets no traffic to it.
    Unhealthy {
        /// What its sidecar reports.
        detail: String,
    },
    /// The machine stands in a zone that has too many, or is not the fleet's.
    Moved,
    /// The command line asks for it.
    Requested,
    /// `destroy` deletes everything.
    Destroyed,
    /// The file uses the object, and says that somebody else has it.
    NotMade,
    /// The object's machine does not exist.
    Stale,
    /// The object's machine goes.
    MachineGoes,
    /// The object is not in the mesh.
    Absent,
    /// The object is being deleted: it is waited for, or written anew when it is gone.
    Ending {
        /// The finalizers that keep it.
        kept_by: Vec<String>,
    },
    /// Others added fields to the object, which an apply leaves to them.
    Extended {
        /// The field manager, in the API server's words.
        by: String,
    },
    /// The control plane made the entry before its WorkloadGroup was as it is now, or somebody
    /// changed it since: it stays so.
    Registered,
    /// The control plane made the entry, and no machine has its address.
    Left,
}

impl Reason {
    /// Returns whether the reason is a change made outside meshvm.
    pub fn is_drift(&self) -> bool {
        match self {
            Self::Missing
            | Self::Unlabelled
            | Self::Surplus
            | Self::Drifted
            | Self::Stopped
            | Self::Failed { .. }
            | Self::Unhealthy { .. }
            | Self::Ending { .. }
            | Self::Stale
            | Self::Extended { .. }
            | Self::Registered
            | Self::Left => true,
            Self::NewFleet
            | Self::ScaledUp
            | Self::ScaledDown
            | Self::FileChanged
            | Self::FleetRemoved
            | Self::Interrupted
            | Self::Moved
            | Self::Requested
            | Self::Destroyed
            | Self::NotMade
            | Self::MachineGoes
            | Self::Absent => false,
        }
    }
}

/// Machines to which the same happens for the same reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineChange {
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// Where the machines in `machines` are.
    pub scope: Scope,
    /// The existing machines that it touches; none for `create`.
    pub machines: Vec<MachineRef>,
    /// How many machines it makes in each zone; for `create` and `replace`.
    pub zones: BTreeMap<String, u32>,
    /// What changes.
    pub differences: Vec<Difference>,
    /// Whether the machines are started.
    pub start: bool,
}

impl MachineChange {
    /// Returns how many machines it touches or makes.
    pub fn count(&self) -> u32 {
        if self.action == Action::Create {
            self.zones.values().sum()
        } else {
            u32::try_from(self.machines.len()).unwrap_or(u32::MAX)
        }
    }
}

/// An existing machine in a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineRef {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: MachineId,
    /// Its zone.
    pub zone: String,
    /// Whether it was up and healthy when the plan was made.
    pub available: bool,
    /// Whether its cloud refuses to delete it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// Whom its token was made for, where that is not its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_of: Option<String>,
}

impl MachineRef {
    /// Returns the name that its token was made for.
    pub fn token_of(&self) -> &str {
        self.token_of.as_deref().unwrap_or(&self.name)
    }
}

/// What is done to an object of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectChange {
    /// What is done.
    pub action: ObjectAction,
    /// Why.
    pub reason: Reason,
    /// Which object.
    pub reference: ObjectRef,
    /// What it becomes; absent when it is deleted.
    pub object: Option<Object>,
    /// The fleet that it is of; accounts are of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<String>,
    /// The machine that it stands for, by name.
    pub machine: Option<String>,
    /// Whom that machine's token was made for, where that is not its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_of: Option<String>,
    /// What changes, for an update.
    pub differences: Vec<FieldChange>,
    /// What of it others hold: it is written only where that is forced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<HeldField>,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ObjectAction {
    /// A new object.
    Create,
    /// The same object, changed.
    Update,
    /// The object goes.
    Delete,
    /// The object stays, and is the stack's no more.
    Release,
}

/// A field of an object that changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldChange {
    /// The field, as a dotted path.
    pub field: String,
    /// What it is, as JSON text.
    pub before: Option<String>,
    /// What it becomes, as JSON text.
    pub after: Option<String>,
}

/// Something that changed outside meshvm since the last run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drift {
    /// The fleet, or the object's namespace, kind and name.
    pub subject: String,
    /// What happened.
    pub reason: Reason,
    /// How many machines or objects.
    pub count: u32,
    /// The machines, by name, where they are known.
    pub machines: Vec<String>,
    /// What changed in them.
    pub differences: Vec<FieldChange>,
}

/// Something that a plan waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "what")]
pub enum Waiting {
    /// Machines are still starting; apply waits for them.
    Readiness {
        /// The fleet.
        fleet: String,
        /// The machines, by name.
        machines: Vec<String>,
    },
    /// An interrupted run may have created machines; apply settles that first.
    Unsettled {
        /// The batch.
        batch: UnsettledBatch,
    },
}
