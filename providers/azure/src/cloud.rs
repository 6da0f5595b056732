//! Where a cloud is, and the addresses of what is in it. Pure.

use meshvm_provider_api::{ErrorClass, ProviderError, Scope};

use crate::settings::{
    AUTHORITY, CLOUD, Cloud, REGION, RESOURCE_GROUP, RESOURCE_MANAGER, SUBSCRIPTION,
};

/// One scope: a location of a resource group, and the cloud that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where Resource Manager listens, without a slash at its end.
    pub endpoint: String,
    /// Who gives out tokens; absent for the public cloud's, which the environment may change.
    pub authority: Option<String>,
    /// What tokens are for.
    pub audience: String,
    /// The subscription's id.
    pub subscription: String,
    /// The resource group.
    pub group: String,
    /// The location.
    pub location: String,
}

/// The hosts of each cloud (<https://learn.microsoft.com/azure/developer/identity/overview>,
/// <https://learn.microsoft.com/azure/china/resources-developer-guide>).
const HOSTS: [(Cloud, &str, &str); 3] = [
    (
        Cloud::Public,
        "https://management.azure.com",
        "https://login.microsoftonline.com",
    ),
    (
        Cloud::China,
        "https://management.chinacloudapi.cn",
        "https://login.chinacloudapi.cn",
    ),
    (
        Cloud::Government,
        "https://management.usgovcloudapi.net",
        "https://login.microsoftonline.us",
    ),
];

impl Place {
    /// Reads a scope.
    ///
    /// # Errors
    /// `Invalid` when it lacks a part.
    pub fn of(scope: &Scope) -> Result<Self, ProviderError> {
        let part = |name: &str| {
            scope.part(name).cloned().ok_or_else(|| {
                let message = format!("{scope} names no {name}");
                ProviderError::new(ErrorClass::Invalid, message)
            })
        };
        let named = scope.part(CLOUD).map_or("public", String::as_str);
        let (cloud, manager, authority) = HOSTS
            .into_iter()
            .find(|(cloud, _, _)| cloud.as_str() == named)
            .ok_or_else(|| {
                let message = format!("`{named}` is no cloud of Azure's");
                ProviderError::new(ErrorClass::Invalid, message)
            })?;
        let custom = scope.part(RESOURCE_MANAGER);
        let endpoint = custom
            .map_or(manager, |it| it.trim_end_matches('/'))
            .to_owned();
        let default = match cloud {
            Cloud::Public => None,
            Cloud::China | Cloud::Government => Some(authority.to_owned()),
        };
        Ok(Self {
            // Tokens are for the cloud's service, whatever name it is reached by.
            audience: match custom {
                Some(_) => format!("{endpoint}/.default"),
                None => format!("{manager}/.default"),
            },
            endpoint,
            authority: scope.part(AUTHORITY).cloned().or(default),
            subscription: part(SUBSCRIPTION)?,
            group: part(RESOURCE_GROUP)?,
            location: part(REGION)?,
        })
    }

    /// Returns the path of the subscription's part for a provider of resources.
    pub fn subscription_path(&self, rest: &str) -> String {
        format!("/subscriptions/{}/providers/{rest}", self.subscription)
    }

    /// Returns the path of something in the resource group.
    pub fn path(&self, rest: &str) -> String {
        format!("{}/providers/{rest}", self.group_path())
    }

    /// Returns the path of the resource group.
    pub fn group_path(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}",
            self.subscription, self.group
        )
    }

    /// Returns the path of a machine.
    pub fn machine_path(&self, name: &str) -> String {
        self.path(&format!("Microsoft.Compute/virtualMachines/{name}"))
    }
}

/// Returns the last part of an id, which is the resource's name.
pub(crate) fn name_of(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Returns whether two ids or names are of one thing: Resource Manager knows no case.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn place(more: &[(&str, &str)]) -> Place {
        let least = [
            ("region", "westeurope"),
            ("subscription", "s"),
            ("resourceGroup", "g"),
        ];
        let key: BTreeMap<String, String> = least
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let scope = Scope {
            provider: "azure".to_owned(),
            key,
            access: BTreeMap::new(),
        };
        Place::of(&scope).unwrap()
    }

    #[test]
    fn each_cloud_has_its_hosts() {
        let public = place(&[]);
        assert_eq!(public.endpoint, "https://management.azure.com");
        assert_eq!(public.authority, None);
        assert_eq!(public.audience, "https://management.azure.com/.default");
        let china = place(&[("cloud", "china")]);
        assert_eq!(china.endpoint, "https://management.chinacloudapi.cn");
        assert_eq!(
            china.authority.as_deref(),
            Some("https://login.chinacloudapi.cn")
        );
        let own = place(&[
            ("resourceManager", "https://arm.local/"),
            ("authority", "https://sts.local"),
        ]);
        assert_eq!(own.endpoint, "https://arm.local");
        assert_eq!(own.audience, "https://arm.local/.default");
        assert_eq!(own.authority.as_deref(), Some("https://sts.local"));
    }

    #[test]
    fn names_are_the_last_part_of_ids() {
        let path = place(&[]).machine_path("web-1");
        assert_eq!(
            path,
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/web-1"
        );
        assert_eq!(name_of(&path), "web-1");
        assert!(is_same("A", "a"));
    }
}
