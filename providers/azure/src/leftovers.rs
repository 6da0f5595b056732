//! Deletes machines, and what they leave behind.
//!
//! What is made for a machine goes with it, by Azure's own doing. What does not, because making
//! the machine failed in the middle, is found by its tag or, where Azure sets none, by a name that
//! follows from the machine's.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use meshvm_provider_api::{ErrorClass, ProviderError};

use crate::client::{Call, Client};
use crate::cloud::{is_same, name_of};
use crate::interface;
use crate::observe;
use crate::operation;
use crate::policy::Action;
use crate::tags;
use crate::wire::{Interface, Part, Vm};

/// How many machines are made, changed or deleted at the same time: Azure has no call for several.
pub(crate) const AT_ONCE: usize = 32;

/// Deletes machines by name and waits until they are gone; one that is not there is gone.
pub(crate) async fn delete(
    client: &Client,
    names: impl IntoIterator<Item = String>,
) -> Result<(), ProviderError> {
    let calls = names.into_iter().map(|name| {
        let path = client.place.machine_path(&name);
        gone(client, Action::DeleteMachine, path)
    });
    let calls: Vec<_> = calls.collect();
    stream::iter(calls)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Returns whether some of the interfaces were left by an attempt to make a machine of this name,
/// and are none of the machines'.
pub(crate) fn are_of(interfaces: &[Interface], name: &str, machines: &[Vm]) -> bool {
    interfaces.iter().any(|interface| {
        let of = interface.tags.get(tags::MACHINE);
        is_left(interface, machines) && of.is_some_and(|of| is_same(of, name))
    })
}

/// Returns whether an interface is nobody's, and none that a list shows too late as one of these
/// machines'.
fn is_left(interface: &Interface, machines: &[Vm]) -> bool {
    let used = machines
        .iter()
        .flat_map(|vm| &vm.properties.network_profile.network_interfaces);
    let mut used = used.map(|it| name_of(&it.id));
    interface.machine.is_none() && !used.any(|name| is_same(name, &interface.name))
}

/// Deletes what machines of these names, in lower case, have left behind.
///
/// Nothing is touched that is in use, also by those of the machines that were made after all, nor
/// what was not made for one of them.
pub(crate) async fn sweep(
    client: &Client,
    machines: &BTreeSet<String>,
    made: &[Vm],
) -> Result<(), ProviderError> {
    if machines.is_empty() {
        return Ok(());
    }
    let addresses = client.place.path("Microsoft.Network/publicIPAddresses");
    let disks = client.place.path("Microsoft.Compute/disks");
    let (interfaces, addresses, disks) = futures::try_join!(
        observe::interfaces(client),
        observe::in_group::<Part>(client, Action::ListAddresses, addresses),
        observe::in_group::<Part>(client, Action::ListDisks, disks),
    )?;
    let is_of_one = |tags: &std::collections::BTreeMap<String, String>| {
        let machine = tags
            .get(tags::MACHINE)
            .map(|name| name.to_ascii_lowercase());
        machine.is_some_and(|machine| machines.contains(&machine))
    };
    let left: Vec<&Interface> = interfaces
        .iter()
        .filter(|interface| is_left(interface, made) && is_of_one(&interface.tags))
        .collect();
    let is_loose = |part: &&Part| {
        let machine = machine_of_disk(&part.name).to_ascii_lowercase();
        part.managed_by.is_none() && machines.contains(&machine)
    };
    for part in disks.iter().filter(is_loose) {
        let path = format!("Microsoft.Compute/disks/{}", part.name);
        gone(client, Action::DeleteDisk, client.place.path(&path)).await?;
    }
    // Interfaces are what leftovers are known by: whoever is stopped in the middle leaves one.
    for part in addresses.iter().filter(|part| is_of_one(&part.tags)) {
        if let Some(of) = &part.properties.ip_configuration {
            let id = of.id.split("/ipConfigurations/").next();
            let name = name_of(id.unwrap_or_default());
            let Some(of) = left.iter().find(|it| is_same(name, &it.name)) else {
                continue;
            };
            interface::free_addresses(client, of).await?;
        }
        let path = format!("Microsoft.Network/publicIPAddresses/{}", part.name);
        gone(client, Action::DeleteAddress, client.place.path(&path)).await?;
    }
    for interface in &left {
        let path = format!("Microsoft.Network/networkInterfaces/{}", interface.name);
        gone(client, Action::DeleteInterface, client.place.path(&path)).await?;
    }
    Ok(())
}

/// Returns the machine that a disk was made for, by the disk's name.
fn machine_of_disk(disk: &str) -> &str {
    if let Some(machine) = disk.strip_suffix("-os") {
        return machine;
    }
    match disk.rsplit_once("-data-") {
        Some((machine, lun)) if lun.parse::<u8>().is_ok() => machine,
        Some(_) | None => disk,
    }
}

/// Deletes something and waits until it is gone.
pub(crate) async fn gone(
    client: &Client,
    action: Action,
    path: String,
) -> Result<(), ProviderError> {
    let answer = match client.send(&Call::delete(action, path)).await {
        Ok(answer) => answer,
        Err(error) if error.class == ErrorClass::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match operation::ended(client, action, &answer, None).await {
        Err(error) if error.class == ErrorClass::NotFound => Ok(()),
        ended => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{data_disk_name, os_disk_name};

    #[test]
    fn a_disks_name_tells_its_machine() {
        assert_eq!(machine_of_disk(&os_disk_name("web-1")), "web-1");
        assert_eq!(machine_of_disk(&data_disk_name("web-1", 12)), "web-1");
        assert_eq!(machine_of_disk("web-1-data-old"), "web-1-data-old");
    }
}
