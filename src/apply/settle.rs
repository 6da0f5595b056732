//! Settles what an interrupted run left open, before anything is planned.
//!
//! Creations need it, and deletions whose machines are gone: what else was made for those may be
//! left. Every other step is found done or not by observing (see [`crate::observe`]), and may be
//! planned again. A batch that may have been sent is sent again with
//! its own key and its own frozen request, which yields exactly its machines;
//! when it is too old for a listing to miss, the listing alone decides.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use meshvm_provider_api::labels::Ownership;
use meshvm_provider_api::{
    Batch, Machine, MachineId, Power, Provider, ProviderError, Query, Scope,
};
use thiserror::Error;

use tokio::time::Instant;

use super::tokens::{self, FleetTokens};
use crate::journal::{Memory, Recorded, Run};
use crate::mesh::Backend;
use crate::observed::{Expectation, Look};
use crate::providers::Connections;
use crate::steps::NewBatch;

/// Why an interrupted run cannot be settled.
#[derive(Debug, Error)]
#[error("cannot settle step {step} of an interrupted run")]
pub struct SettleError {
    /// The step.
    pub step: String,
    /// Why.
    pub source: ProviderError,
}

/// A batch of an interrupted run, settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The batch.
    pub batch: NewBatch,
    /// The machines of it that exist.
    pub machines: Vec<MachineId>,
}

/// Settles every open step, and adds what listings must show then to `memory`.
///
/// Safe to repeat: killed in the middle, the steps are still open, and each
/// batch settles to the same machines again.
///
/// # Errors
/// When a cloud cannot be asked; nothing may be planned then.
pub async fn settle(
    memory: &mut Memory,
    runs: &[Run],
    connections: &Connections,
    mesh: Option<&Arc<dyn Backend>>,
    now: Timestamp,
) -> Result<Vec<Settled>, SettleError> {
    let mut settled = Vec::new();
    for open in std::mem::take(&mut memory.open) {
        let Some(run) = runs.iter().find(|run| run.fence == open.fence) else {
            continue;
        };
        let failed = |source| SettleError {
            step: open.step.clone(),
            source,
        };
        let batch = match &open.action {
            Recorded::Create(batch) => batch,
            Recorded::Delete { scope, machines } => {
                let stack = &run.plan.desired.stack;
                let ended = end_deletion(stack, scope, machines, open.at, connections, now);
                ended.await.map_err(failed)?;
                continue;
            }
            Recorded::Change { .. }
            | Recorded::Await { .. }
            | Recorded::Revoke { .. }
            | Recorded::Repeatable => continue,
        };
        let Some(request) = batch.request(&run.plan) else {
            continue;
        };
        let private = FleetTokens::new(&run.plan, &batch.fleet, mesh.cloned());
        let machines = settle_batch(open.at, request.clone(), &private, connections, now);
        let machines = machines.await.map_err(failed)?;
        let revoked = tokens::revoke_unused(&run.plan, batch, &machines, mesh.map(|it| &**it));
        revoked.await.map_err(|error| {
            let message = "tokens of machines that were never made cannot be revoked";
            failed(ProviderError::new(error.class(), message).with_source(error))
        })?;
        let used = tokens::used(&machines);
        let secrets = batch.secrets(&run.plan).into_iter();
        let of_machines = secrets.filter(|(name, _)| used.contains(name));
        memory.remember(&batch.fleet, of_machines.map(|(_, secret)| secret));
        let machines: Vec<MachineId> = machines.into_iter().map(|machine| machine.id).collect();
        memory.unready.extend(machines.iter().cloned());
        let expected = memory
            .expected
            .entry(request.template.scope.clone())
            .or_default();
        let look = Look::made_from(request.ownership.spec.as_str());
        for machine in &machines {
            let look = look.clone();
            expected.expect(machine, Expectation { look, since: now });
        }
        settled.push(Settled {
            batch: batch.clone(),
            machines,
        });
    }
    Ok(settled)
}

/// Deletes once more what is gone, with all that was made for it alone. What is not gone is left
/// to the next plan, which may want it.
async fn end_deletion(
    stack: &str,
    scope: &Scope,
    machines: &[MachineId],
    begun: Timestamp,
    connections: &Connections,
    now: Timestamp,
) -> Result<(), ProviderError> {
    let provider = connections.open(scope, None).await?;
    let query = Query::Machines(machines.to_vec());
    let found = provider.observe(&query).await?;
    let lag = connections.kind(scope)?.info().listing_lag;
    let lag = SignedDuration::try_from(lag).unwrap_or(SignedDuration::MAX);
    let is_old = now.duration_since(begun) >= lag;
    let is_gone = |id: &&MachineId| match found.iter().find(|machine| machine.id == **id) {
        Some(machine) => machine.power == Power::Gone,
        None => is_old,
    };
    let gone: Vec<MachineId> = machines.iter().filter(is_gone).cloned().collect();
    match gone.is_empty() {
        true => Ok(()),
        false => provider.delete(stack, &gone).await,
    }
}

async fn settle_batch(
    begun: Timestamp,
    mut batch: Batch,
    private: &FleetTokens<'_>,
    connections: &Connections,
    now: Timestamp,
) -> Result<Vec<Machine>, ProviderError> {
    let scope = batch.template.scope.clone();
    let provider = connections.open(&scope, Some(&batch.template)).await?;
    let info = connections.kind(&scope)?.info();
    let listed = listed(provider.as_ref(), &batch).await?;
    let lag = SignedDuration::try_from(info.listing_lag).unwrap_or(SignedDuration::MAX);
    let age = now.duration_since(begun);
    if listed.len() as u64 >= u64::from(batch.count) || age >= lag {
        return Ok(listed);
    }
    let patience = Duration::try_from(lag - age).unwrap_or_default();
    let is_exposed = match tokens::expose(&mut batch, info, private).await {
        Ok(is_exposed) => is_exposed,
        Err(error) if error.class.is_transient() => return Err(error),
        // Who cannot be given a token any more cannot be made any more, and what was made is listed.
        Err(_) => return await_listing(provider.as_ref(), &batch, info.poll, patience).await,
    };
    match provider.create(&batch, private).await {
        Ok(created) => Ok(created.machines),
        Err(error) if error.class.is_transient() => Err(error),
        // A new token makes it another request than the one that was sent, and only a listing
        // tells whether that came to anything.
        Err(_) if is_exposed => await_listing(provider.as_ref(), &batch, info.poll, patience).await,
        // Refused for good: what exists of the batch is what is listed.
        Err(_) => Ok(listed),
    }
}

/// Waits until a listing shows a batch, or can be late no longer.
async fn await_listing(
    provider: &dyn Provider,
    batch: &Batch,
    poll: Duration,
    patience: Duration,
) -> Result<Vec<Machine>, ProviderError> {
    let begun = Instant::now();
    loop {
        let found = listed(provider, batch).await?;
        if found.len() as u64 >= u64::from(batch.count) || begun.elapsed() >= patience {
            return Ok(found);
        }
        tokio::time::sleep(poll).await;
    }
}

async fn listed(provider: &dyn Provider, batch: &Batch) -> Result<Vec<Machine>, ProviderError> {
    let query = Query::Stack(batch.ownership.stack.clone());
    let machines = provider.observe(&query).await?.into_iter();
    Ok(machines
        .filter(|machine| is_of_batch(machine, batch))
        .collect())
}

fn is_of_batch(machine: &Machine, batch: &Batch) -> bool {
    Ownership::from_labels(&machine.labels).is_some_and(|owned| owned.batch == Some(batch.key))
}
