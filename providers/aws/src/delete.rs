//! Ends machines.

use aws_sdk_ec2::types::Instance;
use meshvm_provider_api::{ErrorClass, MachineId, ProviderError, labels};

use crate::client::Client;
use crate::group;
use crate::machine;
use crate::observe::{self, Which};
use crate::policy::Action;
use crate::tags::Launch;

/// The most machines that one call ends
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html>).
const BATCH: usize = 1000;

/// Ends machines of a stack; those that do not exist count as ended.
///
/// Volumes go with them, as they were made for them alone, and the last one of a fleet takes the
/// fleet's own security group with it. Safe to repeat.
///
/// # Errors
/// `Conflict` when one is not the stack's, and then none is ended; `Conflict` when one is
/// protected.
pub(crate) async fn machines(
    client: &Client,
    stack: &str,
    machines: &[MachineId],
) -> Result<(), ProviderError> {
    if machines.is_empty() {
        return group::delete_unused(client, stack).await;
    }
    let instances = observe::instances(client, &Which::machines(machines)).await?;
    let mut alive = Vec::new();
    for machine in instances
        .iter()
        .filter_map(|instance| machine::of(instance, &[].into()))
    {
        if machine.labels.get(labels::STACK).map(String::as_str) != Some(stack) {
            let message = format!("machine {} does not belong to stack `{stack}`", machine.id);
            return Err(ProviderError::new(ErrorClass::Conflict, message));
        }
        alive.push(machine.id.0);
    }
    for ids in alive.chunks(BATCH) {
        end(client, ids.to_vec()).await?;
    }
    let has_group = |instance: &Instance| {
        let labels = machine::labels(instance.tags());
        let is_own = labels.get(labels::STACK).is_some_and(|of| of == stack);
        is_own && Launch::of_tags(&labels).has_group
    };
    // What is not shown any more may have been in one.
    let are_shown = instances.len() == machines.len();
    match !are_shown || instances.iter().any(has_group) {
        true => group::delete_unused(client, stack).await,
        false => Ok(()),
    }
}

/// Ends a batch; it is all or nothing where one is missing, so the missing are left out.
async fn end(client: &Client, ids: Vec<String>) -> Result<(), ProviderError> {
    let terminate = |ids: Vec<String>| async move {
        let call = || {
            let call = client.ec2.terminate_instances();
            call.set_instance_ids(Some(ids.clone())).send()
        };
        client
            .send(Action::TerminateInstances, call)
            .await
            .map(drop)
    };
    client.remember_ended(ids.clone());
    match terminate(ids.clone()).await {
        Err(error) if error.class == ErrorClass::NotFound => {
            let left: Vec<String> = ids
                .into_iter()
                .filter(|id| !error.message.contains(id.as_str()))
                .collect();
            match left.is_empty() {
                true => Ok(()),
                false => terminate(left).await,
            }
        }
        answer => answer,
    }
}
