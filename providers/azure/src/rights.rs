//! Looks whether these credentials may do what a template takes. Changes nothing.
//!
//! Azure lists what its caller may do on a group or a thing: the actions of all roles that are
//! assigned there or above. What a deny assignment takes away again is not in the list, nor what
//! a machine that is there is refused by a lock; the calls themselves tell those.

use futures::future::join_all;
use meshvm_provider_api::{ErrorClass, ProviderError, Requests, Template};
use serde::Deserialize;

use crate::client::Client;
use crate::connect;
use crate::policy::{ACTIONS, Action};
use crate::recipe::Recipe;
use crate::settings::{self, AzureSettings};

/// Making a machine makes these beside it, in its resource group.
const MADE: [&str; 4] = [
    "Microsoft.Compute/virtualMachines/write",
    "Microsoft.Compute/disks/write",
    "Microsoft.Network/networkInterfaces/write",
    "Microsoft.Network/networkInterfaces/join/action",
];
/// And these, where it has a public address.
const MADE_PUBLIC: [&str; 2] = [
    "Microsoft.Network/publicIPAddresses/write",
    "Microsoft.Network/publicIPAddresses/join/action",
];
const JOIN_SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";
const JOIN_GROUP: &str = "Microsoft.Network/networkSecurityGroups/join/action";
const READ_SET: &str = "Microsoft.Compute/diskEncryptionSets/read";
const ASSIGN_IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";

/// Rights that are needed on one thing.
struct Need {
    /// The id of the thing.
    on: String,
    /// What it is called.
    name: String,
    rights: Vec<&'static str>,
}

/// What the caller has by the roles of one assignment
/// (<https://learn.microsoft.com/rest/api/authorization/permissions>).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Permission {
    actions: Vec<String>,
    not_actions: Vec<String>,
}

impl Permission {
    fn grants(&self, right: &str) -> bool {
        let is_in = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, right));
        is_in(&self.actions) && !is_in(&self.not_actions)
    }
}

/// Looks whether machines of a template may be made.
///
/// # Errors
/// `PermissionDenied` for each thing on which something is lacking.
pub(crate) async fn may_make(client: &Client, asked: &AzureSettings) -> Result<(), ProviderError> {
    let mut needs = linked(asked);
    needs.push(Need {
        on: client.place.group_path(),
        name: group_name(asked),
        rights: made(asked),
    });
    let lacking = lacking(client, needs).await?;
    let errors = lacking.into_iter().map(|need| {
        let rights = need.rights.join(" and ");
        let message = format!("these credentials lack {rights} on {}", need.name);
        ProviderError::new(ErrorClass::PermissionDenied, message)
            .with_hint("`meshvm doctor --iam azure` prints the rights needed")
    });
    ProviderError::all(errors.collect()).map_or(Ok(()), Err)
}

/// Returns the rights that the fleet of a template takes and these credentials lack, from its
/// first machine to its last, each with what it is lacking on.
///
/// # Errors
/// When the cloud does not answer, or the credentials are none.
pub async fn denied(template: &Template) -> Result<Vec<String>, ProviderError> {
    let client = connect::client(&template.scope, Requests::default())?;
    let asked = Recipe::of(template)?.asked;
    let mut needs = linked(&asked);
    let calls = ACTIONS.into_iter().filter(|call| is_taken(*call, &asked));
    let mut rights: Vec<&str> = calls.map(Action::right).chain(made(&asked)).collect();
    rights.sort_unstable();
    rights.dedup();
    needs.push(Need {
        on: client.place.group_path(),
        name: group_name(&asked),
        rights,
    });
    let lacking = lacking(&client, needs).await?;
    let told = lacking.into_iter().flat_map(|need| {
        let name = need.name;
        let told = move |right: &str| format!("{right} on {name}");
        need.rights.into_iter().map(told)
    });
    Ok(told.collect())
}

fn group_name(asked: &AzureSettings) -> String {
    format!("resource group `{}`", asked.resource_group)
}

fn made(asked: &AzureSettings) -> Vec<&'static str> {
    let public = asked.public_address.then_some(MADE_PUBLIC);
    MADE.into_iter()
        .chain(public.into_iter().flatten())
        .collect()
}

/// Returns what is needed on things that machines name, and that may be in other groups.
fn linked(asked: &AzureSettings) -> Vec<Need> {
    let mut needs = vec![Need {
        on: settings::subnet_id(asked),
        name: format!("subnet `{}`", asked.subnet),
        rights: vec![JOIN_SUBNET],
    }];
    if let (Some(on), Some(name)) = (settings::group_id(asked), &asked.network_security_group) {
        needs.push(Need {
            on,
            name: format!("network security group `{name}`"),
            rights: vec![JOIN_GROUP],
        });
    }
    let named = |id: &String, what: &str, right| Need {
        on: id.clone(),
        name: format!("{what} `{}`", id.rsplit('/').next().unwrap_or_default()),
        rights: vec![right],
    };
    if let Some(set) = &asked.disk_encryption_set {
        needs.push(named(set, "disk encryption set", READ_SET));
    }
    let users = asked.identity.iter().flat_map(|identity| &identity.user);
    needs.extend(users.map(|user| named(user, "identity", ASSIGN_IDENTITY)));
    needs
}

/// Returns whether a fleet takes a call on its resource group or above.
fn is_taken(call: Action, asked: &AzureSettings) -> bool {
    use Action as Is;
    let of_own_group = matches!(
        call,
        Is::PutResourceGroup | Is::DeleteResourceGroup | Is::ListResources | Is::GetGroupOperation
    );
    let of_gallery = matches!(call, Is::GetGalleryImage | Is::GetGalleryImageVersion);
    // Subnet and security group are things of their own, and the gallery is one.
    let of_other = matches!(call, Is::GetSubnet | Is::GetSecurityGroup) || of_gallery;
    (asked.create_resource_group || !of_own_group) && !of_other
}

/// Returns what of the needs is not granted. What is not there is told by who looks for it, and
/// who may not ask learns it from the calls.
async fn lacking(client: &Client, needs: Vec<Need>) -> Result<Vec<Need>, ProviderError> {
    let asked = needs.into_iter().map(|mut need| async move {
        let path = format!("{}/providers/Microsoft.Authorization/permissions", need.on);
        let listed = client
            .list::<Permission>(Action::ListPermissions, path)
            .await;
        match listed {
            Ok(granted) => {
                need.rights
                    .retain(|right| granted.iter().all(|it| !it.grants(right)));
                Ok(need)
            }
            Err(error)
                if matches!(
                    error.class,
                    ErrorClass::NotFound | ErrorClass::PermissionDenied
                ) =>
            {
                need.rights.clear();
                Ok(need)
            }
            Err(error) => Err(error),
        }
    });
    let all: Vec<Need> = join_all(asked)
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    Ok(all
        .into_iter()
        .filter(|need| !need.rights.is_empty())
        .collect())
}

/// Returns whether a pattern of a role covers a right; `*` stands for anything, and case for
/// nothing (<https://learn.microsoft.com/azure/role-based-access-control/role-definitions#wildcard-permissions>).
fn covers(pattern: &str, right: &str) -> bool {
    let (pattern, right) = (pattern.to_lowercase(), right.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == right;
    };
    let Some(mut left) = right.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_they_begin_and_end() {
        let right = "Microsoft.Compute/virtualMachines/start/action";
        for (pattern, is_covered) in [
            ("*", true),
            ("Microsoft.Compute/*", true),
            ("microsoft.compute/virtualmachines/start/action", true),
            ("Microsoft.Compute/virtualMachines/*/action", true),
            ("*/action", true),
            ("Microsoft.*/virtual*/*/action", true),
            ("Microsoft.Compute/virtualMachines/start", false),
            ("*/read", false),
            ("Microsoft.Network/*", false),
            ("Microsoft.Compute/virtualMachines/*/action/*", false),
        ] {
            assert_eq!(covers(pattern, right), is_covered, "{pattern}");
        }
    }

    #[test]
    fn what_a_role_excludes_another_may_grant() {
        let role = |actions: &[&str], not: &[&str]| Permission {
            actions: actions.iter().map(|it| (*it).to_owned()).collect(),
            not_actions: not.iter().map(|it| (*it).to_owned()).collect(),
        };
        let contributor = role(&["*"], &["Microsoft.Network/*"]);
        assert!(contributor.grants("Microsoft.Compute/disks/write"));
        assert!(!contributor.grants(JOIN_SUBNET));
        let network = role(
            &["Microsoft.Network/virtualNetworks/subnets/join/action"],
            &[],
        );
        let all = [contributor, network];
        assert!(all.iter().any(|it| it.grants(JOIN_SUBNET)));
    }
}
