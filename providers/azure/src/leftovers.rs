//! Deletes machines, and what they leave behind.
//!
//! What is made for a machine goes with it, by Azure's own doing. What does not, because making
//! the machine failed in the middle, is found by its tag or, where Azure sets none, by a name that
//! follows from the machine's.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use meshvm_provider_api::{ErrorClass, ProviderError};

use crate::client::{Call, Client};
use crate::cloud::is_same;
use crate::observe;
use crate::operation;
use crate::policy::Action;
use crate::tags;
use crate::wire::{Interface, Part};

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

/// Deletes what machines of these names, in lower case, have left behind.
///
/// Nothing is touched that is in use, nor what was not made for one of them.
pub(crate) async fn sweep(
    client: &Client,
    machines: &BTreeSet<String>,
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
        .filter(|interface| interface.machine.is_none() && is_of_one(&interface.tags))
        .collect();
    for interface in &left {
        let path = format!("Microsoft.Network/networkInterfaces/{}", interface.name);
        gone(client, Action::DeleteInterface, client.place.path(&path)).await?;
    }
    let is_freed = |part: &Part| match &part.properties.ip_configuration {
        None => true,
        Some(of) => left.iter().any(|interface| {
            let id = of.id.split("/ipConfigurations/").next().unwrap_or_default();
            is_same(crate::cloud::name_of(id), &interface.name)
        }),
    };
    for part in addresses
        .iter()
        .filter(|part| is_of_one(&part.tags) && is_freed(part))
    {
        let path = format!("Microsoft.Network/publicIPAddresses/{}", part.name);
        gone(client, Action::DeleteAddress, client.place.path(&path)).await?;
    }
    let is_left = |part: &&Part| {
        let machine = machine_of_disk(&part.name).to_ascii_lowercase();
        part.managed_by.is_none() && machines.contains(&machine)
    };
    for part in disks.iter().filter(is_left) {
        let path = format!("Microsoft.Compute/disks/{}", part.name);
        gone(client, Action::DeleteDisk, client.place.path(&path)).await?;
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
