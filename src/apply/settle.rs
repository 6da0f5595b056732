//! Settles what an interrupted run left open, before anything is planned.
//!
//! Only creations need it: every other step is found done or not by observing
//! (see [`crate::observe`]), and may be planned again. A batch that may have been sent is sent again with
//! its own key and its own frozen request, which yields exactly its machines;
//! when it is too old for a listing to miss, the listing alone decides.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use meshvm_provider_api::labels::Ownership;
use meshvm_provider_api::{Batch, Machine, MachineId, PrivateFiles, ProviderError, Query};
use thiserror::Error;

use super::tokens::FleetTokens;
use crate::journal::{Memory, Recorded, Run};
use crate::mesh::Backend;
use crate::observed::Look;
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
        let Recorded::Create(batch) = &open.action else {
            continue;
        };
        let Some(run) = runs.iter().find(|run| run.fence == open.fence) else {
            continue;
        };
        let Some(request) = batch.request(&run.plan) else {
            continue;
        };
        let private = FleetTokens::new(&run.plan, &batch.fleet, mesh.cloned());
        let machines = settle_batch(open.at, &request, &private, connections, now)
            .await
            .map_err(|source| SettleError {
                step: open.step.clone(),
                source,
            })?;
        let expected = memory
            .expected
            .entry(request.template.scope.clone())
            .or_default();
        let look = Look::made_from(request.ownership.spec.as_str());
        for machine in &machines {
            expected.expect(machine, look.clone());
        }
        settled.push(Settled {
            batch: batch.clone(),
            machines,
        });
    }
    Ok(settled)
}

async fn settle_batch(
    begun: Timestamp,
    batch: &Batch,
    private: &dyn PrivateFiles,
    connections: &Connections,
    now: Timestamp,
) -> Result<Vec<MachineId>, ProviderError> {
    let scope = &batch.template.scope;
    let provider = connections.open(scope, Some(&batch.template)).await?;
    let query = Query::Stack(batch.ownership.stack.clone());
    let listed: Vec<MachineId> = provider
        .observe(&query)
        .await?
        .into_iter()
        .filter(|machine| is_of_batch(machine, batch))
        .map(|machine| machine.id)
        .collect();
    let lag = connections.kind(scope)?.info().listing_lag;
    let lag = SignedDuration::try_from(lag).unwrap_or(SignedDuration::MAX);
    let is_certain = now.duration_since(begun) >= lag;
    if listed.len() as u64 >= u64::from(batch.count) || is_certain {
        return Ok(listed);
    }
    match provider.create(batch, private).await {
        Ok(created) => Ok(created.machines.into_iter().map(|m| m.id).collect()),
        Err(error) if error.class.is_transient() => Err(error),
        // Refused for good: what exists of the batch is what is listed.
        Err(_) => Ok(listed),
    }
}

fn is_of_batch(machine: &Machine, batch: &Batch) -> bool {
    Ownership::from_labels(&machine.labels).is_some_and(|owned| owned.batch == Some(batch.key))
}
