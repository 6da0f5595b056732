//! Machines that the cloud says were deleted, or are just being.
//!
//! No listing shows the former, and of the latter it says that they stop. The operation that
//! deletes one is kept for days, so that nobody has to wait until a listing can be believed.

use std::collections::BTreeSet;

use google_cloud_compute_v1::model::{Operation, OperationAggregatedList, operation::Status};
use meshvm_provider_api::{Machine, MachineId, Power, ProviderError, Readiness};

use crate::attributes::last;
use crate::client::Client;
use crate::error;
use crate::policy::Action;

/// How many ids one listing asks for: they share one address line.
const IDS: usize = 50;
/// The most operations of a page.
const PAGE: u32 = 500;

/// Returns those of machines that were deleted, or are being.
pub(crate) async fn of(
    client: &Client,
    ids: &BTreeSet<MachineId>,
) -> Result<Vec<Machine>, ProviderError> {
    // What is no number is no id of this cloud's, and would spoil the filter for the others.
    let ids: Vec<&str> = ids.iter().map(|id| id.0.as_str()).collect();
    let ids: Vec<&str> = ids
        .into_iter()
        .filter(|id| id.parse::<u64>().is_ok())
        .collect();
    let mut gone = Vec::new();
    for some in ids.chunks(IDS) {
        let targets = some.iter().map(|id| format!("(targetId = {id})"));
        let targets = targets.collect::<Vec<_>>().join(" OR ");
        let filter = format!("(operationType = \"delete\") AND ({targets})");
        let deletions = list(client, &filter).await?.into_iter();
        gone.extend(deletions.filter_map(machine));
    }
    Ok(gone)
}

async fn list(client: &Client, filter: &str) -> Result<Vec<Operation>, ProviderError> {
    let apis = &client.apis;
    let call = |next| {
        let call = apis.all_operations.aggregated_list();
        call.set_project(&apis.project)
            .set_filter(filter)
            .set_max_results(PAGE)
            .set_page_token::<String>(next)
            .send()
    };
    let take = |page: OperationAggregatedList| {
        let zones = page.items.into_values();
        Ok((
            zones.flat_map(|zone| zone.operations).collect(),
            page.next_page_token,
        ))
    };
    let action = Action::AggregatedListOperations;
    client.pages(action, call, take).await
}

/// Returns what a deletion says of its machine; `None` when it did not succeed.
fn machine(operation: Operation) -> Option<Machine> {
    let operation = match operation.status == Some(Status::Done) {
        true => error::result(operation).ok()?,
        false => operation,
    };
    Some(Machine {
        id: MachineId(operation.target_id?.to_string()),
        name: last(operation.target_link.as_deref()?).to_owned(),
        zone: last(operation.zone.as_deref()?).to_owned(),
        power: Power::Gone,
        readiness: Readiness::Unknown,
        address: None,
        labels: [].into(),
        attributes: [].into(),
    })
}
