//! Lets go of what belongs to machines: without the tags of a stack, it is nobody's leftover when
//! its machine goes one day.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use meshvm_provider_api::{MachineId, ProviderError, labels};
use serde_json::json;

use crate::client::{Call, Client};
use crate::leftovers::AT_ONCE;
use crate::observe;
use crate::policy::Action;
use crate::tags;
use crate::wire::Part;

/// Takes the tags off the interfaces and public addresses that were made with machines; safe to
/// repeat.
///
/// # Errors
/// Those of the calls.
pub(crate) async fn parts(client: &Client, machines: &[MachineId]) -> Result<(), ProviderError> {
    let machines: BTreeSet<String> = machines.iter().map(|id| id.0.to_lowercase()).collect();
    let of_network = |kind: &str| client.place.path(&format!("Microsoft.Network/{kind}"));
    let (interfaces, addresses) = (
        of_network("networkInterfaces"),
        of_network("publicIPAddresses"),
    );
    let (interfaces_seen, addresses_seen) = futures::try_join!(
        observe::in_group::<Part>(client, Action::ListInterfaces, interfaces.clone()),
        observe::in_group::<Part>(client, Action::ListAddresses, addresses.clone()),
    )?;
    let all = [
        (Action::PatchInterface, interfaces, interfaces_seen),
        (Action::PatchAddress, addresses, addresses_seen),
    ];
    let mut calls = Vec::new();
    for (action, kind, seen) in all {
        for part in seen {
            let of = part.tags.get(tags::MACHINE).map(|it| it.to_lowercase());
            if of.is_some_and(|of| machines.contains(&of)) {
                let body = json!({"tags": left(part.tags)});
                calls.push(Call::patch(action, format!("{kind}/{}", part.name), body));
            }
        }
    }
    let calls: Vec<_> = calls.iter().map(|call| client.send(call)).collect();
    let calls = stream::iter(calls).buffer_unordered(AT_ONCE);
    calls.try_for_each(async |_| Ok(())).await
}

/// Returns the tags that are not meshvm's.
fn left(mut all: BTreeMap<String, String>) -> BTreeMap<String, String> {
    all.retain(|key, _| !labels::ALL.contains(&key.as_str()) && !tags::OWN.contains(&key.as_str()));
    all
}
