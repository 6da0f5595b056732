//! Why a stack cannot be looked at or worked on.

use std::collections::BTreeSet;

use meshvm_provider_api::ProviderError;
use thiserror::Error;

use crate::apply::RunError;
use crate::apply::settle::SettleError;
use crate::ledger::LedgerError;
use crate::many::few;
use crate::mesh::MeshError;
use crate::observe::ObserveError;
use crate::plan::PlanError;

/// Why a stack cannot be looked at or worked on.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The ledger.
    #[error("cannot use the ledger")]
    Ledger(#[from] LedgerError),
    /// A run in the ledger was written by another version.
    #[error("cannot read the plan of run {fence} in the ledger")]
    Run {
        /// The run.
        fence: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// An interrupted run.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// What a fleet's block names.
    #[error("cannot find what fleet `{fleet}` is made from")]
    Resolve {
        /// The fleet.
        fleet: String,
        /// Why.
        source: ProviderError,
    },
    /// Fleets of which the plan makes machines, and nobody could tell these how to join the mesh.
    #[error(
        "no machine of {} can be made: nobody could tell it how to join the mesh",
        few(_0.iter().map(String::as_str))
    )]
    Unjoinable(BTreeSet<String>),
    /// Machines that the plan makes, by fleet, and what is in the way of each.
    #[error("the machines that the plan makes cannot be had, and nothing was touched")]
    Unready(Vec<(String, ProviderError)>),
    /// The clouds or the mesh.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The command line.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What the plan makes in the mesh.
    #[error("the mesh does not take what the plan makes")]
    Check(#[source] MeshError),
    /// The run itself.
    #[error(transparent)]
    Apply(#[from] RunError),
}
