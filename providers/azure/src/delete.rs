//! Ends machines.

use std::collections::BTreeSet;

use meshvm_provider_api::{ErrorClass, MachineId, ProviderError, labels};

use crate::client::Client;
use crate::cloud::is_same;
use crate::leftovers;
use crate::observe::{self, Which};
use crate::tags;
use crate::wire::Vm;

/// Deletes machines of a stack and all that was made for them; those that do not exist count as
/// deleted.
///
/// Safe to repeat.
///
/// # Errors
/// `Conflict` when one is not the stack's, and then none is deleted.
pub(crate) async fn machines(
    client: &Client,
    stack: &str,
    machines: &[MachineId],
) -> Result<(), ProviderError> {
    if machines.is_empty() {
        return Ok(());
    }
    let which = Which::machines(machines);
    let (mut vms, interfaces) =
        futures::try_join!(observe::vms(client, &which), observe::interfaces(client))?;
    vms.extend(unlisted(client, machines, &vms).await?);
    for vm in &vms {
        is_of_stack(stack, &vm.name, vm.tags.get(labels::STACK))?;
    }
    let left: Vec<_> = interfaces
        .iter()
        .filter(|interface| interface.machine.is_none())
        .filter_map(|interface| Some((interface.tags.get(tags::MACHINE)?, interface)))
        .filter(|(name, _)| machines.iter().any(|id| is_same(&id.0, name)))
        .collect();
    for (name, interface) in &left {
        is_of_stack(stack, name, interface.tags.get(labels::STACK))?;
    }
    leftovers::delete(client, vms.iter().map(|vm| vm.name.clone())).await?;
    // What others made and had adopted goes as they said when they made it.
    let made = vms
        .iter()
        .filter(|vm| vm.tags.contains_key(labels::BATCH))
        .map(|vm| vm.name.to_ascii_lowercase());
    let left = left.into_iter().map(|(name, _)| name.to_ascii_lowercase());
    let all: BTreeSet<String> = made.chain(left).collect();
    leftovers::sweep(client, &all, &[]).await
}

/// Reads the machines that a list does not show: it may be late.
pub(crate) async fn unlisted(
    client: &Client,
    machines: &[MachineId],
    listed: &[Vm],
) -> Result<Vec<Vm>, ProviderError> {
    let mut found = Vec::new();
    for id in machines {
        if listed.iter().all(|vm| !is_same(&vm.name, &id.0)) {
            found.extend(observe::vm(client, &id.0).await?);
        }
    }
    found.retain(|vm| !is_same(&vm.properties.provisioning_state, "Deleting"));
    Ok(found)
}

fn is_of_stack(stack: &str, machine: &str, of: Option<&String>) -> Result<(), ProviderError> {
    match of.map(String::as_str) == Some(stack) {
        true => Ok(()),
        false => {
            let message = format!("machine {machine} does not belong to stack `{stack}`");
            Err(ProviderError::new(ErrorClass::Conflict, message))
        }
    }
}
