//! The planner: desired and observed to a plan. Pure.
//!
//! Ids and time come in as arguments, and providers only as their pure halves.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use meshvm_provider_api::{Kind, MachineId, Mutability};
use thiserror::Error;
use uuid::Uuid;

use super::fleet::{FleetInput, FleetOutcome, plan_fleet};
use super::mesh::{object_drift, plan_mesh};
use super::{Action, Applied, Context, FORMAT, FleetPlan, MachineChange, Options, Plan};
use super::{parts, registered, strangers, tokens};
use crate::desired::Desired;
use crate::mesh::{ObjectRef, objects};
use crate::observed::{Observed, ObservedMachine, UnsettledBatch};

/// What a plan is made from.
pub struct Input<'a> {
    /// What tells the plan from all others.
    pub id: Uuid,
    /// The time that it is made at.
    pub now: Timestamp,
    /// Where it is applied.
    pub context: Context,
    /// What was asked for on the command line.
    pub options: Options,
    /// What the file asks for.
    pub desired: Desired,
    /// What is there.
    pub observed: &'a Observed,
    /// What the last finished run asked for.
    pub last: &'a Applied,
    /// Whether a run after that one was interrupted.
    pub interrupted: bool,
    /// Whether no run of this ledger has begun to apply anything.
    pub is_first: bool,
    /// Machines that no run has seen ready, and that are not.
    pub unready: &'a BTreeSet<MachineId>,
    /// What tokens are bound to that runs had made and none deleted, by fleet.
    pub tokens: &'a BTreeMap<String, BTreeSet<ObjectRef>>,
    /// The pure halves of the providers, by name.
    pub kinds: &'a BTreeMap<&'static str, &'a dyn Kind>,
}

/// Why no plan can be made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// A named fleet is in neither file nor cloud.
    #[error("there is no fleet `{0}` in the fleet file or in the stack")]
    UnknownFleet(String),
    /// A named machine is not the stack's.
    #[error("the stack has no machine `{0}`")]
    UnknownMachine(String),
    /// A machine to adopt does not exist.
    #[error("there is no machine `{0}` to adopt where fleet `{1}` is")]
    NothingToAdopt(MachineId, String),
    /// No machine to adopt has a tag.
    #[error("there is no machine with the tag `{0}` to adopt where fleet `{1}` is")]
    NothingTagged(String, String),
    /// A machine is to be adopted into two fleets.
    #[error("--adopt takes machine `{0}` into two fleets, `{1}` and `{2}`")]
    TwoFleets(MachineId, String, String),
    /// A machine to adopt belongs to somebody.
    #[error("machine `{0}` belongs to stack `{1}` and cannot be adopted")]
    Owned(MachineId, String),
    /// A machine to adopt could only be replaced.
    #[error("machine `{0}` cannot be adopted into fleet `{1}`: {2} would need another machine")]
    NotAdoptable(MachineId, String, String),
    /// A fleet has too few replicas for all the machines to adopt.
    #[error(
        "machine `{0}` cannot be adopted into fleet `{1}`: the fleet has no replica left for it"
    )]
    NoRoom(MachineId, String),
    /// A machine to adopt has a name that nothing in the mesh can have.
    #[error(
        "machine `{0}` cannot be adopted into fleet `{2}`: no WorkloadEntry can have its name, `{1}`"
    )]
    NoEntryName(MachineId, String, String),
    /// A named machine belongs to a fleet that is not looked at.
    #[error("machine `{0}` belongs to fleet `{1}`, which --target leaves out")]
    NotTargeted(String, String),
    /// One machine cannot be let go and kept.
    #[error(
        "machine `{0}` cannot be let go with --forget and have --replace, --bootstrapped or --adopt as well"
    )]
    Contradiction(String),
    /// One machine cannot be replaced and kept.
    #[error("machine `{0}` cannot be replaced with --replace and kept with --bootstrapped")]
    BothWays(String),
    /// The mesh that has the stack's objects is not in the file any more.
    #[error("the stack's objects are in {was}, and the fleet file has {}", now.as_deref().unwrap_or("no mesh"))]
    MeshLeft {
        /// Where they are, in the words of the file that wrote them.
        was: String,
        /// Where the file has its mesh now.
        now: Option<String>,
    },
    /// The mesh has the name of the one that has the stack's objects, and is another.
    #[error("{name} is another than the one that has the stack's objects")]
    OtherCluster {
        /// The mesh, in the file's words.
        name: String,
    },
    /// The stack has machines of a provider that this build lacks.
    #[error("fleet `{0}` has machines of provider `{1}`, which this build does not have")]
    MissingProvider(String, String),
}

impl PlanError {
    /// Returns what of the stack the error is about; `None` when it is about this build.
    pub fn subject(&self) -> Option<String> {
        match self {
            Self::UnknownFleet(fleet) | Self::NothingTagged(_, fleet) => {
                Some(format!("fleet `{fleet}`"))
            }
            Self::UnknownMachine(machine)
            | Self::Contradiction(machine)
            | Self::BothWays(machine)
            | Self::NotTargeted(machine, _) => Some(format!("machine `{machine}`")),
            Self::NothingToAdopt(id, _)
            | Self::Owned(id, _)
            | Self::TwoFleets(id, _, _)
            | Self::NotAdoptable(id, _, _)
            | Self::NoEntryName(id, ..)
            | Self::NoRoom(id, _) => Some(format!("machine `{id}`")),
            Self::MeshLeft { .. } | Self::OtherCluster { .. } => Some("the mesh".to_owned()),
            Self::MissingProvider(..) => None,
        }
    }
}

/// Computes the difference between desired and observed.
///
/// # Errors
/// Returns the first name on the command line that means nothing, or cannot be done.
pub fn plan(input: Input<'_>) -> Result<Plan, PlanError> {
    check_names(&input)?;
    check_mesh(&input)?;
    let mut by_fleet: BTreeMap<&str, Vec<&ObservedMachine>> = BTreeMap::new();
    for fleet in input.desired.fleets.keys() {
        by_fleet.insert(fleet, Vec::new());
    }
    let owners: Vec<_> = input
        .observed
        .machines
        .iter()
        .filter_map(|observed| Some((observed, observed.ownership()?.fleet)))
        .collect();
    for (observed, fleet) in &owners {
        by_fleet.entry(fleet).or_default().push(observed);
    }

    let mut outcomes: BTreeMap<&str, FleetOutcome> = BTreeMap::new();
    for (&fleet, machines) in &by_fleet {
        if input.options.covers(fleet) {
            outcomes.insert(fleet, plan_one(&input, fleet, machines)?);
        }
    }
    let mut mesh = plan_mesh(&input, &by_fleet, &outcomes);
    let revoked = tokens::orphaned(&input);
    tokens::keep(&by_fleet, &mut outcomes, &mut mesh.changes);

    let mut fleets = BTreeMap::new();
    let (mut drift, mut waiting) = (registered::drift(&input, &by_fleet, &outcomes), Vec::new());
    for (fleet, outcome) in outcomes {
        drift.extend(outcome.drift);
        waiting.extend(outcome.waiting);
        if !outcome.plan.changes.is_empty() || !outcome.plan.coming.is_empty() {
            fleets.insert(fleet.to_owned(), outcome.plan);
        }
    }
    drift.extend(mesh.changes.iter().filter_map(object_drift));
    drift.extend(mesh.left);
    let observed_machines = u32::try_from(input.observed.machines.len()).unwrap_or(u32::MAX);
    let refresh_only = input.options.refresh_only;
    let written = mesh.changes.iter().filter(|change| change.object.is_some());
    let written: BTreeSet<&String> = written.map(|change| &change.reference.namespace).collect();
    let mut namespaces = input.observed.new_namespaces.clone();
    namespaces.retain(|namespace| written.contains(namespace) && !refresh_only);
    let strangers = match refresh_only {
        true => Vec::new(),
        false => strangers::of(&input, &fleets, &mesh.changes),
    };
    let (parts, mut leftovers) = parts::sorted(&input, &fleets);
    leftovers.retain(|_| !refresh_only);
    Ok(Plan {
        format: FORMAT,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        id: input.id,
        made_at: input.now,
        context: input.context,
        options: input.options,
        desired: input.desired,
        fleets: if refresh_only {
            BTreeMap::new()
        } else {
            fleets
        },
        objects: if refresh_only {
            Vec::new()
        } else {
            mesh.changes
        },
        revoked,
        namespaces,
        parts,
        leftovers,
        drift,
        strangers,
        waiting: if refresh_only { Vec::new() } else { waiting },
        observed_machines,
    })
}

/// Refuses to leave objects behind where nobody would look for them any more.
fn check_mesh(input: &Input<'_>) -> Result<(), PlanError> {
    let Applied {
        objects,
        mesh,
        mesh_identity,
        ..
    } = input.last;
    let now = &input.context.mesh_name;
    if let (Some(was), Some(is), false) = (
        mesh_identity,
        &input.context.mesh_identity,
        objects.is_empty(),
    ) && was != is
        && !input.options.another_cluster
    {
        return Err(PlanError::OtherCluster {
            name: now.clone().unwrap_or_default(),
        });
    }
    match mesh {
        Some(was) if !objects.is_empty() && Some(was) != now.as_ref() => Err(PlanError::MeshLeft {
            was: was.clone(),
            now: now.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}

fn check_names(input: &Input<'_>) -> Result<(), PlanError> {
    let machines = &input.observed.machines;
    for fleet in &input.options.targets {
        let observed = machines
            .iter()
            .any(|m| m.ownership().is_some_and(|owned| owned.fleet == *fleet));
        if !observed && !input.desired.fleets.contains_key(fleet) {
            return Err(PlanError::UnknownFleet(fleet.clone()));
        }
    }
    let named = |name: &String| {
        machines
            .iter()
            .find(|m| m.machine.name == *name || m.machine.id.0 == *name)
    };
    let Options {
        replace,
        bootstrapped,
        forget,
        ..
    } = &input.options;
    for name in replace.iter().chain(bootstrapped).chain(forget) {
        let known = named(name);
        let owned = known.and_then(ObservedMachine::ownership);
        let fleet = owned
            .ok_or_else(|| PlanError::UnknownMachine(name.clone()))?
            .fleet;
        if !input.options.covers(&fleet) {
            return Err(PlanError::NotTargeted(name.clone(), fleet));
        }
    }
    let id_of = |name: &String| named(name).map(|m| &m.machine.id);
    let going: BTreeSet<_> = forget.iter().filter_map(id_of).collect();
    let renewed: BTreeSet<_> = bootstrapped.iter().filter_map(id_of).collect();
    let is_renewed = |name: &&String| id_of(name).is_some_and(|id| renewed.contains(id));
    if let Some(both) = replace.iter().find(is_renewed) {
        return Err(PlanError::BothWays(both.clone()));
    }
    if let Some(both) = replace.iter().chain(bootstrapped).find(|&name| {
        let id = id_of(name);
        id.is_some_and(|id| going.contains(id))
    }) {
        return Err(PlanError::Contradiction(both.clone()));
    }
    for (id, fleet) in &input.options.adopt {
        if !input.desired.fleets.contains_key(fleet) {
            return Err(PlanError::UnknownFleet(fleet.clone()));
        }
        if !input.options.covers(fleet) {
            return Err(PlanError::NotTargeted(id.0.clone(), fleet.clone()));
        }
        if going.contains(id) {
            return Err(PlanError::Contradiction(id.0.clone()));
        }
        let found = input.observed.adoptable.iter().chain(machines);
        let Some(found) = found.into_iter().find(|m| m.machine.id == *id) else {
            return Err(PlanError::NothingToAdopt(id.clone(), fleet.clone()));
        };
        match found.ownership() {
            // An interrupted run got that far: the rest of it is still to be done.
            Some(owned) if owned.stack == input.desired.stack && owned.fleet == *fleet => {}
            Some(owned) => return Err(PlanError::Owned(id.clone(), owned.stack)),
            None => {}
        }
    }
    Ok(())
}

fn plan_one(
    input: &Input<'_>,
    fleet: &str,
    machines: &[&ObservedMachine],
) -> Result<FleetOutcome, PlanError> {
    let lacking =
        |provider: &str| PlanError::MissingProvider(fleet.to_owned(), provider.to_owned());
    let desired = match input.desired.fleets.get(fleet) {
        Some(desired) if !input.options.destroy => {
            let provider = desired.template.scope.provider.as_str();
            let kind = input.kinds.get(provider).ok_or_else(|| lacking(provider))?;
            Some((desired, *kind))
        }
        Some(_) | None => None,
    };
    let adopted: Vec<&ObservedMachine> = input
        .observed
        .adoptable
        .iter()
        .filter(|m| {
            input
                .options
                .adopt
                .get(&m.machine.id)
                .is_some_and(|into| into == fleet)
        })
        .collect();
    let unsettled: Vec<UnsettledBatch> = input
        .observed
        .unsettled
        .iter()
        .filter(|batch| batch.fleet == fleet)
        .cloned()
        .collect();
    let mut outcome = plan_fleet(&FleetInput {
        name: fleet,
        desired,
        machines,
        adopted: &adopted,
        unsettled: &unsettled,
        last_replicas: input.last.replicas.get(fleet).copied(),
        last_boot: input.last.boots.get(fleet),
        interrupted: input.interrupted,
        unready: input.unready,
        options: &input.options,
    });
    check_adoption(fleet, &adopted, &outcome.plan)?;
    let side = desired.and_then(|(desired, _)| desired.side());
    if input.context.mesh.is_some() && side.is_some_and(|side| side.has_entries()) {
        check_entry_names(fleet, &adopted)?;
    }
    // Machines of one fleet may stand with several providers while it moves; the
    // smallest of their limits fits all.
    let mut providers: BTreeSet<&str> =
        machines.iter().map(|m| m.scope.provider.as_str()).collect();
    providers.extend(desired.map(|(desired, _)| desired.template.scope.provider.as_str()));
    outcome.plan.max_batch = u32::MAX;
    for provider in providers {
        let kind = input.kinds.get(provider).ok_or_else(|| lacking(provider))?;
        outcome.plan.max_batch = outcome.plan.max_batch.min(kind.info().max_batch);
    }
    outcome.plan.one_by_one = desired.is_some_and(|(desired, kind)| {
        let gets_token = input.desired.tokens.is_some() && desired.membership.is_some();
        gets_token && !kind.info().private_files
    });
    Ok(outcome)
}

/// Refuses to adopt what could not be entered: whoever made the machine had other rules for names.
fn check_entry_names(fleet: &str, adopted: &[&ObservedMachine]) -> Result<(), PlanError> {
    let mut machines = adopted.iter().map(|observed| &observed.machine);
    match machines.find(|machine| !objects::can_be_named(&machine.name)) {
        Some(machine) => Err(PlanError::NoEntryName(
            machine.id.clone(),
            machine.name.clone(),
            fleet.to_owned(),
        )),
        None => Ok(()),
    }
}

/// Refuses to adopt what could not stay: a machine is nobody's to replace until it is adopted.
fn check_adoption(
    fleet: &str,
    adopted: &[&ObservedMachine],
    plan: &FleetPlan,
) -> Result<(), PlanError> {
    for id in adopted.iter().map(|observed| &observed.machine.id) {
        let of_machine = |change: &&MachineChange| change.machines.iter().any(|m| m.id == *id);
        let Some(change) = plan.changes.iter().find(of_machine) else {
            continue;
        };
        let impossible = change
            .differences
            .iter()
            .find(|difference| difference.mutability == Mutability::Replace)
            .map(|difference| difference.attribute.as_str());
        let attribute = match (change.action, impossible) {
            (Action::Adopt, None) => continue,
            (Action::Adopt, Some(attribute)) => attribute,
            (Action::Delete, _) => {
                return Err(PlanError::NoRoom(id.clone(), fleet.to_owned()));
            }
            (Action::Replace | Action::Create | Action::Update | Action::Forget, _) => "its zone",
        };
        let (fleet, attribute) = (fleet.to_owned(), attribute.to_owned());
        return Err(PlanError::NotAdoptable(id.clone(), fleet, attribute));
    }
    Ok(())
}
