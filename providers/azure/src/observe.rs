//! Lists machines, in pages and never one by one.
//!
//! A machine's list tells what it is, the subscription's list with statuses whether it runs, and
//! its interface where it is reached: three lists, however many machines there are.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::{ErrorClass, Labels, Machine, MachineId, Power, ProviderError, labels};
use serde::de::DeserializeOwned;

use crate::client::{Call, Client};
use crate::cloud::{is_same, name_of};
use crate::error;
use crate::machine;
use crate::policy::Action;
use crate::tags;
use crate::wire::{Interface, View, Vm};

/// Which machines to list.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// Those with a tag.
    Tagged(&'static str, String),
    /// Those with tags whose values fit these patterns.
    Labelled(Labels),
    /// Those of these names, in lower case.
    Named(BTreeSet<String>),
}

impl Which {
    /// Returns what ids of machines ask for.
    pub fn machines(ids: &[MachineId]) -> Self {
        Self::Named(ids.iter().map(|id| id.0.to_ascii_lowercase()).collect())
    }

    /// Returns what a stack owns.
    pub fn of_stack(stack: &str) -> Self {
        Self::Tagged(labels::STACK, stack.to_owned())
    }

    fn holds(&self, name: &str, tags: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Tagged(key, value) => tags.get(*key) == Some(value),
            Self::Labelled(patterns) => patterns.iter().all(|(key, pattern)| {
                tags.get(key)
                    .is_some_and(|value| labels::fits(pattern, value))
            }),
            Self::Named(names) => names.contains(&name.to_ascii_lowercase()),
        }
    }
}

/// Lists the machines of the scope that are asked for, in whatever state.
pub(crate) async fn vms(client: &Client, which: &Which) -> Result<Vec<Vm>, ProviderError> {
    Ok(all_vms(client)
        .await?
        .into_iter()
        .filter(|vm| which.holds(&vm.name, &vm.tags))
        .collect())
}

/// Reads one machine, which a list may not show yet.
pub(crate) async fn vm(client: &Client, name: &str) -> Result<Option<Vm>, ProviderError> {
    let call = Call::get(Action::GetMachine, client.place.machine_path(name));
    match client.read(&call).await {
        Ok(vm) => Ok(Some(vm)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn all_vms(client: &Client) -> Result<Vec<Vm>, ProviderError> {
    let path = client.place.path("Microsoft.Compute/virtualMachines");
    let mut found: Vec<Vm> = in_group(client, Action::ListMachines, path).await?;
    // A resource group may have machines of several locations; each is a scope of its own.
    found.retain(|vm| is_same(&vm.location, &client.place.location));
    // A machine that moves between pages while they are read is on two of them.
    let mut seen = BTreeSet::new();
    found.retain(|vm| seen.insert(vm.name.to_ascii_lowercase()));
    Ok(found)
}

/// Lists what is in the resource group; nothing is in one that does not exist.
pub(crate) async fn in_group<T: DeserializeOwned>(
    client: &Client,
    action: Action,
    path: String,
) -> Result<Vec<T>, ProviderError> {
    match client.list(action, path).await {
        Err(error) if error::is(&error, error::NO_GROUP) => Ok(Vec::new()),
        answer => answer,
    }
}

/// Lists the interfaces of the scope.
pub(crate) async fn interfaces(client: &Client) -> Result<Vec<Interface>, ProviderError> {
    let path = client.place.path("Microsoft.Network/networkInterfaces");
    let mut found: Vec<Interface> = in_group(client, Action::ListInterfaces, path).await?;
    found.retain(|interface| is_same(&interface.location, &client.place.location));
    Ok(found)
}

/// Lists which machines run, by name in lower case.
pub(crate) async fn views(client: &Client) -> Result<BTreeMap<String, View>, ProviderError> {
    let path = client
        .place
        .subscription_path("Microsoft.Compute/virtualMachines?statusOnly=true");
    let found: Vec<Vm> = client.list(Action::ListStatuses, path).await?;
    let group = format!("{}/", client.place.group_path().to_ascii_lowercase());
    let own = found.into_iter().filter_map(|vm| {
        let id = vm.id.to_ascii_lowercase();
        let name = name_of(&id).to_owned();
        id.starts_with(&group)
            .then_some((name, vm.properties.instance_view?))
    });
    Ok(own.collect())
}

/// Returns interfaces by the machine that they are of, in lower case.
pub(crate) fn by_machine(interfaces: &[Interface]) -> BTreeMap<String, &Interface> {
    interfaces
        .iter()
        .filter_map(|interface| {
            let machine = interface.machine.as_ref()?;
            Some((name_of(machine).to_ascii_lowercase(), interface))
        })
        .collect()
}

/// Returns whether a machine's interface will be listed; one of another group never is.
fn is_to_come(client: &Client, vm: &Vm) -> bool {
    let group = format!("{}/", client.place.group_path().to_ascii_lowercase());
    let mut interfaces = vm.properties.network_profile.network_interfaces.iter();
    interfaces.any(|it| it.id.to_ascii_lowercase().starts_with(&group))
}

/// Lists machines, with all that drift is judged by, and what is left of those that are gone.
pub(crate) async fn machines(
    client: &Client,
    which: &Which,
) -> Result<Vec<Machine>, ProviderError> {
    if matches!(which, Which::Named(names) if names.is_empty()) {
        return Ok(Vec::new());
    }
    let (vms, views, interfaces) =
        futures::try_join!(all_vms(client), views(client), interfaces(client))?;
    let by_machine = by_machine(&interfaces);
    let listed: BTreeSet<String> = vms.iter().map(|vm| vm.name.to_ascii_lowercase()).collect();
    let mut machines: Vec<Machine> = vms
        .iter()
        .filter(|vm| which.holds(&vm.name, &vm.tags))
        .filter_map(|vm| {
            let name = vm.name.to_ascii_lowercase();
            let interface = by_machine.get(&name).copied();
            let mut machine = machine::of(vm, views.get(&name), interface)?;
            if machine.power == Power::Running && interface.is_none() && is_to_come(client, vm) {
                // It runs, and nobody can be told where: the list of interfaces is late.
                machine.power = Power::Starting;
            }
            Some(machine)
        })
        .collect();
    let left_over = interfaces.iter().filter(|interface| {
        let name = interface.tags.get(tags::MACHINE);
        name.is_some_and(|name| {
            // One that is attached is of a machine that the list does not show yet.
            interface.machine.is_none()
                && !listed.contains(&name.to_ascii_lowercase())
                && which.holds(name, &interface.tags)
        })
    });
    machines.extend(left_over.filter_map(machine::left_over));
    Ok(machines)
}
