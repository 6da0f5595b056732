//! Observe: asks clouds and mesh what there is of a stack.
//!
//! Listings may lag behind what recent runs did. What the journal says they
//! must show is waited for here, so that the planner never takes "not listed
//! yet" for "gone".

mod late;

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use meshvm_provider_api::labels::{self, Ownership};
use meshvm_provider_api::{Machine, MachineId, Power, ProviderError, Query, Scope};
use thiserror::Error;

use crate::mesh::{Backend, Group, MACHINE_LABEL, MeshError, MeshState};
use crate::observed::{Expected, Observed, ObservedMachine, UnsettledBatch};
use crate::providers::Connections;
use late::Late;

/// What to look at.
pub struct Request<'a> {
    /// The stack.
    pub stack: &'a str,
    /// Every scope that the stack has or may have machines in.
    pub scopes: &'a BTreeSet<Scope>,
    /// Machines to be adopted, by the scope that they are in.
    pub adopt: &'a BTreeMap<Scope, Vec<MachineId>>,
    /// What listings must show, after what recent runs did.
    pub expected: &'a BTreeMap<Scope, Expected>,
    /// What they show as well if the changes and deletions happened that a run left open.
    pub begun: &'a BTreeMap<Scope, Expected>,
    /// Batches that an interrupted run may have sent.
    pub open: &'a [UnsettledBatch],
    /// Fleets whose machines register by themselves.
    pub by_themselves: &'a [Group<'a>],
    /// The namespaces of all fleets.
    pub namespaces: &'a BTreeSet<&'a str>,
    /// Where each fleet's machines are made.
    pub homes: &'a BTreeMap<&'a str, &'a Scope>,
}

/// Why a stack cannot be observed.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// A cloud cannot be listed.
    #[error("cannot list the machines of {scope}")]
    Scope {
        /// Where.
        scope: Scope,
        /// Why.
        source: ProviderError,
    },
    /// The mesh cannot be read.
    #[error("cannot read the mesh")]
    Mesh(#[source] MeshError),
}

/// Asks every scope and the mesh, all at the same time.
///
/// # Errors
/// Any scope that cannot be listed fails the whole: a plan from half the world
/// would delete or double the other half.
pub async fn observe(
    request: &Request<'_>,
    connections: &Connections,
    mesh: Option<&dyn Backend>,
) -> Result<Observed, ObserveError> {
    let machines = try_join_all(
        request
            .scopes
            .iter()
            .map(|scope| observe_scope(request, connections, scope)),
    );
    let of_mesh = async {
        match mesh {
            Some(mesh) => observe_mesh(request, mesh)
                .await
                .map_err(ObserveError::Mesh),
            None => Ok(Observed::default()),
        }
    };
    let (scopes, mut observed) = futures::try_join!(machines, of_mesh)?;
    for (scope, seen) in request.scopes.iter().zip(scopes) {
        observed.machines.extend(seen.machines);
        observed.adoptable.extend(seen.adoptable);
        if !seen.recent.is_empty() {
            observed.recent.insert(scope.clone(), seen.recent);
        }
    }
    let entries: BTreeMap<&str, MeshState> = observed
        .objects
        .iter()
        .filter_map(|seen| {
            let name = seen.object.label(MACHINE_LABEL)?;
            Some((name, MeshState::of(&seen.object.body)))
        })
        .collect();
    let ending = observed.ending.iter();
    let ending: BTreeSet<&str> = ending
        .filter_map(|seen| seen.object.label(MACHINE_LABEL))
        .collect();
    for seen in &mut observed.machines {
        let fleet = seen.ownership().map(|owned| owned.fleet);
        let registered = fleet.and_then(|fleet| observed.registered.get(&fleet));
        let state = match entries.get(seen.machine.name.as_str()) {
            Some(entered) => Some(entered),
            None => registered.map(|members| members.registered(seen.machine.address)),
        };
        seen.leaving = ending.contains(seen.machine.name.as_str());
        seen.unhealthy = state.and_then(MeshState::trouble).map(str::to_owned);
    }
    let is_global = |scope: &Scope| connections.kind(scope).is_ok_and(|it| it.info().global_ids);
    once_each(&mut observed.machines, request.homes, is_global);
    observed
        .machines
        .sort_by(|a, b| (&a.scope, &a.machine.name).cmp(&(&b.scope, &b.machine.name)));
    observed.unsettled = unsettled(request.open, &observed.machines);
    Ok(observed)
}

/// Leaves of a machine that several scopes list the one where its fleet is: the same account may
/// be reached by two profiles. A machine is changed as its fleet's scope is reached.
fn once_each(
    machines: &mut Vec<ObservedMachine>,
    homes: &BTreeMap<&str, &Scope>,
    is_global: impl Fn(&Scope) -> bool,
) {
    let home = |seen: &ObservedMachine| {
        let fleet = seen.ownership()?.fleet;
        homes.get(fleet.as_str()).copied()
    };
    for seen in machines.iter_mut() {
        if let Some(home) = home(seen).filter(|home| **home == seen.scope) {
            seen.scope = home.clone();
        }
    }
    let mut known = BTreeSet::new();
    let key = |seen: &ObservedMachine| {
        let of = (!is_global(&seen.scope)).then(|| seen.scope.clone());
        (seen.scope.provider.clone(), of, seen.machine.id.clone())
    };
    let is_home = |seen: &ObservedMachine| home(seen).is_some_and(|home| *home == seen.scope);
    machines.sort_by_key(|seen| (!is_home(seen), seen.scope.clone()));
    machines.retain(|seen| known.insert(key(seen)));
}

/// Asks what there is in the mesh, and what that says of machines that register by themselves.
async fn observe_mesh(request: &Request<'_>, mesh: &dyn Backend) -> Result<Observed, MeshError> {
    let registered = try_join_all(request.by_themselves.iter().map(async |group| {
        let members = mesh.members(group).await?;
        Ok(members.map(|members| (group.fleet.to_owned(), members)))
    }));
    let (objects, new_namespaces, registered) = futures::try_join!(
        mesh.observe(request.stack),
        mesh.to_make(request.namespaces),
        registered
    )?;
    // What is on its way out is gone for us: it can only be waited for, or written anew.
    let (ending, staying) = objects.into_iter().partition(|seen| seen.ending.is_some());
    Ok(Observed {
        objects: staying,
        ending,
        registered: registered.into_iter().flatten().collect(),
        new_namespaces: new_namespaces.into_iter().map(str::to_owned).collect(),
        ..Observed::default()
    })
}

/// What was seen in one scope.
struct Seen {
    machines: Vec<ObservedMachine>,
    adoptable: Vec<ObservedMachine>,
    recent: Expected,
}

async fn observe_scope(
    request: &Request<'_>,
    connections: &Connections,
    scope: &Scope,
) -> Result<Seen, ObserveError> {
    let failed = |source| ObserveError::Scope {
        scope: scope.clone(),
        source,
    };
    let kind = connections.kind(scope).map_err(failed)?;
    let provider = connections.open(scope, None).await.map_err(failed)?;
    let query = Query::Stack(request.stack.to_owned());
    let mut seen = provider.observe(&query).await.map_err(failed)?;
    let late = Late::of(
        &seen,
        request.expected.get(scope).unwrap_or(&Expected::default()),
        request.begun.get(scope).unwrap_or(&Expected::default()),
    );
    let recent = late
        .catch_up(&mut seen, provider.as_ref(), kind.info(), request.stack)
        .await
        .map_err(failed)?;
    let mut adoptable = match request.adopt.get(scope) {
        Some(ids) => provider
            .observe(&Query::Machines(ids.clone()))
            .await
            .map_err(failed)?,
        None => Vec::new(),
    };
    // Either listing may be late with an adoption that was done already.
    adoptable.retain(|machine| {
        machine.power != Power::Gone && seen.iter().all(|own| own.id != machine.id)
    });
    let is_own = |machine: &mut Machine| is_of(request.stack, machine);
    seen.extend(adoptable.extract_if(.., is_own));
    let placed = |machines: Vec<Machine>| {
        machines
            .into_iter()
            .map(|machine| ObservedMachine {
                scope: scope.clone(),
                protected: kind.is_protected(&machine),
                machine,
                unhealthy: None,
                leaving: false,
            })
            .collect()
    };
    Ok(Seen {
        machines: placed(seen),
        adoptable: placed(adoptable),
        recent,
    })
}

fn is_of(stack: &str, machine: &Machine) -> bool {
    machine.labels.get(labels::STACK).map(String::as_str) == Some(stack)
}

/// Returns the batches that no listing shows in full.
fn unsettled(open: &[UnsettledBatch], machines: &[ObservedMachine]) -> Vec<UnsettledBatch> {
    let listed = |key| {
        let of_batch = |m: &&ObservedMachine| {
            Ownership::from_labels(&m.machine.labels).is_some_and(|o| o.batch == Some(key))
        };
        u32::try_from(machines.iter().filter(of_batch).count()).unwrap_or(u32::MAX)
    };
    open.iter()
        .map(|batch| UnsettledBatch {
            missing: batch.missing.saturating_sub(listed(batch.key)),
            ..batch.clone()
        })
        .filter(|batch| batch.missing > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use meshvm_provider_api::Readiness;

    use super::*;

    #[test]
    fn a_machine_that_two_scopes_list_counts_where_its_fleet_is() {
        let scope = |profile: &str, role: Option<&str>| {
            let access = [("role", role.map(str::to_owned))];
            Scope::new("aws", [("profile", Some(profile.to_owned()))], access)
        };
        let seen = |scope: &Scope, id: &str, fleet: &str| {
            let labels = [
                (labels::STACK, "shop"),
                (labels::FLEET, fleet),
                (labels::SPEC, "s"),
            ];
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
            ObservedMachine {
                scope: scope.clone(),
                machine: Machine {
                    id: MachineId::from(id),
                    name: id.to_owned(),
                    zone: "z".to_owned(),
                    power: Power::Running,
                    readiness: Readiness::Unknown,
                    address: None,
                    labels: labels.into(),
                    attributes: BTreeMap::new(),
                },
                unhealthy: None,
                leaving: false,
                protected: false,
            }
        };
        let (old, new, other) = (scope("a", None), scope("b", None), scope("c", None));
        let by_role = scope("b", Some("r"));
        let homes = BTreeMap::from([("web", &by_role)]);
        let mut machines = vec![
            seen(&old, "i-1", "web"),
            seen(&new, "i-1", "web"),
            seen(&other, "i-2", "web"),
            seen(&old, "i-3", "gone"),
            seen(&other, "i-3", "gone"),
        ];
        let mut all = machines.clone();
        once_each(&mut all, &homes, |_| false);
        assert_eq!(all.len(), machines.len(), "each scope has its own `i-1`");
        once_each(&mut machines, &homes, |_| true);
        let mut left: Vec<(&str, &Scope)> = machines
            .iter()
            .map(|it| (it.machine.id.0.as_str(), &it.scope))
            .collect();
        left.sort();
        assert_eq!(left, [("i-1", &new), ("i-2", &other), ("i-3", &old)]);
        assert_eq!(left[0].1.access, by_role.access, "as its fleet is reached");
    }
}
