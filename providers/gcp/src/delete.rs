//! Deletes machines.

use futures::{StreamExt as _, stream};
use google_cloud_compute_v1::model::{Instance, Operation};
use meshvm_provider_api::{ErrorClass, MachineId, ProviderError, labels};

use crate::client::Client;
use crate::firewall;
use crate::machine;
use crate::observe::{self, Which};
use crate::operations;
use crate::policy::Action;

/// How many machines are deleted at the same time; Compute Engine deletes one in a call.
const AT_ONCE: usize = 16;

/// Deletes machines of a stack; those that do not exist count as deleted.
///
/// Disks go with them, as they were made for them alone. Safe to repeat. Returns whether a
/// firewall rule may have lost its last machine: one that does not exist may have been any, and
/// where none is named, all went by themselves.
///
/// # Errors
/// `Conflict` when one is not the stack's, and then none is deleted; `Conflict` when one is
/// protected, before any is deleted.
pub(crate) async fn machines(
    client: &Client,
    stack: &str,
    machines: &[MachineId],
) -> Result<bool, ProviderError> {
    if machines.is_empty() {
        return Ok(true);
    }
    let instances = observe::instances(client, &Which::machines(machines)).await?;
    for instance in &instances {
        let name = instance.name.as_deref().unwrap_or_default();
        if instance.labels.get(labels::STACK).map(String::as_str) != Some(stack) {
            let message = format!("machine {name} does not belong to stack `{stack}`");
            return Err(ProviderError::new(ErrorClass::Conflict, message));
        }
        if instance.deletion_protection == Some(true) {
            let message = format!("machine {name} is protected");
            return Err(ProviderError::new(ErrorClass::Conflict, message)
                .with_hint("set `deletionProtection: false` and apply that first"));
        }
    }
    let deletes: Vec<_> = instances.iter().map(|it| start(client, it)).collect();
    let answers: Vec<_> = stream::iter(deletes)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (started, failed) = operations::sorted(answers);
    let started = started.into_iter().flatten().collect();
    match (operations::all(client, started).await, failed) {
        // One that is gone meanwhile is as good as deleted.
        (Err(error), _) if error.class != ErrorClass::NotFound => Err(error),
        (_, Some(error)) => Err(error),
        (_, None) => {
            let are_shown = instances.len() == machines.len();
            Ok(!are_shown || instances.iter().any(firewall::reaches))
        }
    }
}

/// Begins to delete a machine, by its id: its name may be another's by now.
async fn start(
    client: &Client,
    instance: &Instance,
) -> Result<Option<(String, Operation)>, ProviderError> {
    let id = instance.id.unwrap_or_default().to_string();
    let zone = machine::zone(instance);
    let apis = &client.apis;
    // A call whose reply was lost is sent again, and answered with what the first began.
    let request = uuid::Uuid::new_v4().to_string();
    let call = || {
        let call = apis.instances.delete().set_project(&apis.project);
        call.set_zone(zone)
            .set_instance(&id)
            .set_request_id(&request)
            .send()
    };
    match client.send(Action::DeleteInstance, call).await {
        Ok(operation) => Ok(Some((zone.to_owned(), operation))),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
