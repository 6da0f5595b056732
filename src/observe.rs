//! Observe: asks clouds and mesh what there is of a stack.
//!
//! Listings may lag behind what recent runs did. What the journal says they
//! must show is waited for here, so that the planner never takes "not listed
//! yet" for "gone".

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use meshvm_provider_api::labels::{self, Ownership};
use meshvm_provider_api::{Info, Machine, MachineId, Provider, ProviderError, Query, Scope};
use thiserror::Error;

use crate::mesh::{Backend, MeshError};
use crate::observed::{Expected, Observed, ObservedMachine, UnsettledBatch};
use crate::providers::Connections;

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
    /// Batches that an interrupted run may have sent.
    pub open: &'a [UnsettledBatch],
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
    let objects = async {
        match mesh {
            Some(mesh) => mesh
                .observe(request.stack)
                .await
                .map_err(ObserveError::Mesh),
            None => Ok(Vec::new()),
        }
    };
    let (scopes, objects) = futures::try_join!(machines, objects)?;
    let mut observed = Observed {
        objects,
        ..Observed::default()
    };
    for (scope, seen) in request.scopes.iter().zip(scopes) {
        observed.machines.extend(seen.machines);
        observed.adoptable.extend(seen.adoptable);
        if !seen.behind.is_empty() {
            observed.behind.insert(scope.clone(), seen.behind);
        }
    }
    observed
        .machines
        .sort_by(|a, b| (&a.scope, &a.machine.name).cmp(&(&b.scope, &b.machine.name)));
    observed.unsettled = unsettled(request.open, &observed.machines);
    Ok(observed)
}

/// What was seen in one scope.
struct Seen {
    machines: Vec<ObservedMachine>,
    adoptable: Vec<ObservedMachine>,
    behind: Expected,
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
    let mut machines = provider.observe(&query).await.map_err(failed)?;
    let behind = match request.expected.get(scope) {
        Some(expected) => {
            let behind = behind(&machines, expected);
            machines.retain(|machine| !expected.absent.contains(&machine.id));
            catch_up(
                &mut machines,
                &behind,
                provider.as_ref(),
                kind.info(),
                request.stack,
            )
            .await
            .map_err(failed)?;
            behind
        }
        None => Expected::default(),
    };
    let adoptable = match request.adopt.get(scope) {
        Some(ids) => provider
            .observe(&Query::Machines(ids.clone()))
            .await
            .map_err(failed)?,
        None => Vec::new(),
    };
    let placed = |machines: Vec<Machine>| {
        machines
            .into_iter()
            .map(|machine| ObservedMachine {
                scope: scope.clone(),
                machine,
            })
            .collect()
    };
    Ok(Seen {
        machines: placed(machines),
        adoptable: placed(adoptable),
        behind,
    })
}

/// Returns what of the expected a listing does not show.
fn behind(listed: &[Machine], expected: &Expected) -> Expected {
    let by_id: BTreeMap<&MachineId, &Machine> = listed.iter().map(|m| (&m.id, m)).collect();
    let spec = |id: &MachineId| by_id.get(id).and_then(|m| m.labels.get(labels::SPEC));
    Expected {
        present: expected
            .present
            .iter()
            .filter(|(id, wanted)| spec(id) != Some(wanted))
            .map(|(id, wanted)| (id.clone(), wanted.clone()))
            .collect(),
        absent: expected
            .absent
            .iter()
            .filter(|id| by_id.contains_key(id))
            .cloned()
            .collect(),
    }
}

/// Asks by id for machines that were made or changed and are not listed as such,
/// until they are, or until the provider's patience is over: then they are really gone.
async fn catch_up(
    machines: &mut Vec<Machine>,
    behind: &Expected,
    provider: &dyn Provider,
    info: &Info,
    stack: &str,
) -> Result<(), ProviderError> {
    let mut wanted = behind.present.clone();
    for look in 0..=info.polls {
        if wanted.is_empty() {
            return Ok(());
        }
        if look > 0 {
            tokio::time::sleep(info.poll).await;
        }
        let query = Query::Machines(wanted.keys().cloned().collect());
        for fresh in provider.observe(&query).await? {
            if fresh.labels.get(labels::STACK).map(String::as_str) != Some(stack) {
                continue;
            }
            if fresh.labels.get(labels::SPEC) == wanted.get(&fresh.id) {
                wanted.remove(&fresh.id);
            }
            match machines.iter_mut().find(|machine| machine.id == fresh.id) {
                Some(stale) => *stale = fresh,
                None => machines.push(fresh),
            }
        }
    }
    Ok(())
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
