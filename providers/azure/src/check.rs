//! Looks whether such machines can be had, before the first change. Changes nothing.

use std::collections::BTreeSet;

use meshvm_provider_api::{ErrorClass, Growth, Need, ProviderError, Template};
use serde::Deserialize;

use crate::client::{Call, Client};
use crate::cloud::is_same;
use crate::group;
use crate::policy::Action;
use crate::recipe::{Found, Recipe};
use crate::rights;
use crate::settings::{self, AzureSettings};

/// How many addresses of a subnet are Azure's own
/// (<https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq>).
const OWN_ADDRESSES: u64 = 5;

/// What a size can do, and where it can be had.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Size {
    name: String,
    resource_type: String,
    family: String,
    location_info: Vec<LocationInfo>,
    capabilities: Vec<Capability>,
    restrictions: Vec<Restriction>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LocationInfo {
    zones: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Capability {
    name: String,
    value: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Restriction {
    #[serde(rename = "type")]
    kind: String,
    restriction_info: RestrictionInfo,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RestrictionInfo {
    zones: Vec<String>,
}

impl Size {
    fn capability(&self, name: &str) -> Option<&str> {
        let found = self.capabilities.iter().find(|it| it.name == name);
        found.map(|it| it.value.as_str())
    }

    /// Returns whether the subscription may have it in a zone; `None` stands for no zone at all.
    fn is_in(&self, zone: Option<&str>) -> bool {
        let is_closed = self.restrictions.iter().any(|it| match it.kind.as_str() {
            "Location" => true,
            _ => zone.is_some_and(|zone| it.restriction_info.zones.iter().any(|of| of == zone)),
        });
        let has_zone = zone.is_none_or(|zone| {
            let mut zones = self.location_info.iter().flat_map(|it| &it.zones);
            zones.any(|of| of == zone)
        });
        has_zone && !is_closed
    }
}

/// Looks whether so many machines of a template can be had, by zone; returns what they take of what
/// others may want, where it is known: of several sizes that will do, the least that each takes.
///
/// # Errors
/// All that is in the way: `Invalid` or `NotFound` when they never can, `PermissionDenied` when
/// these credentials may not; `Capacity` or `Quota` when they cannot now.
pub(crate) async fn template(
    client: &Client,
    template: &Template,
    more: &Growth,
) -> Result<Vec<Need>, ProviderError> {
    let more: u64 = more.values().map(|count| u64::from(*count)).sum();
    let recipe = Recipe::of(template)?;
    let (asked, found) = (&recipe.asked, recipe.found()?);
    let group = async {
        match asked.create_resource_group {
            true => Ok(()),
            false => group::exists(client).await,
        }
    };
    let (group, sizes, subnet, security, rights) = futures::join!(
        group,
        sizes_fit(client, asked, found, more),
        subnet_has_room(client, asked, more),
        group_fits(client, asked),
        rights::may_make(client, asked),
    );
    let mut wrong = Vec::new();
    let mut needs = Vec::new();
    for answer in [sizes, subnet.map(Vec::from_iter)] {
        match answer {
            Ok(found) => needs.extend(found),
            Err(error) => wrong.push(error),
        }
    }
    let others = [group, security, rights].into_iter();
    wrong.extend(others.filter_map(Result::err));
    ProviderError::all(wrong).map_or(Ok(needs), Err)
}

async fn sizes_fit(
    client: &Client,
    asked: &AzureSettings,
    found: &Found,
    more: u64,
) -> Result<Vec<Need>, ProviderError> {
    let location = &client.place.location;
    let skus = client.place.subscription_path(&format!(
        "Microsoft.Compute/skus?$filter=location%20eq%20'{location}'"
    ));
    let usages = format!("Microsoft.Compute/locations/{location}/usages");
    let usages = client.place.subscription_path(&usages);
    let (skus, usages) = futures::try_join!(
        client.list::<Size>(Action::ListSizes, skus),
        client.list::<Usage>(Action::ListUsages, usages),
    )?;
    let mut sizes = Vec::new();
    for wanted in &asked.vm_size.0 {
        let is_it = |it: &&Size| it.resource_type == "virtualMachines" && is_same(&it.name, wanted);
        let size = skus.iter().find(is_it).ok_or_else(|| {
            let message = format!("there is no size `{wanted}` in {location}");
            ProviderError::new(ErrorClass::NotFound, message).with_hint(format!(
                "`az vm list-skus -l {location}` shows what there is"
            ))
        })?;
        fits(asked, found, size)?;
        sizes.push(size);
    }
    let zones: Vec<Option<&str>> = match asked.zones.is_empty() {
        true => vec![None],
        false => asked.zones.iter().map(|it| Some(it.as_str())).collect(),
    };
    for zone in zones {
        if sizes.iter().all(|size| !size.is_in(zone)) {
            let place = match zone {
                Some(zone) => format!("zone {zone} of {location}"),
                None => location.clone(),
            };
            let message = format!("this subscription has none of the sizes in {place}");
            return Err(ProviderError::new(ErrorClass::Capacity, message)
                .with_hint("add another size to `vmSize`, or leave the zone out"));
        }
    }
    let is_spot = asked.spot.is_some();
    let place = format!("{location} of subscription {}", asked.subscription);
    let needs = |size: &Size| needs(size, &usages, is_spot, more, &place);
    let wanted: Vec<_> = sizes.iter().map(|size| (&size.name, needs(size))).collect();
    let short = wanted.iter().map(|(name, needs)| {
        let short = needs.iter().find(|need| need.needed > need.left)?;
        let Need { of, needed, left } = short;
        let message = format!("{left} of {of} are left, and {more} of {name} would take {needed}");
        Some(ProviderError::new(ErrorClass::Quota, message).with_hint(
            "ask for a higher quota: `az vm list-usage` shows what is used, the portal raises it",
        ))
    });
    // One of several may be used up.
    let short: Option<Vec<ProviderError>> = short.collect();
    if let Some(error) = short.and_then(|all| all.into_iter().next()) {
        return Err(error);
    }
    let needs = wanted.into_iter().map(|(_, needs)| needs);
    Ok(needs.reduce(Need::least).unwrap_or_default())
}

fn fits(asked: &AzureSettings, found: &Found, size: &Size) -> Result<(), ProviderError> {
    let invalid = |message: String, hint: &str| {
        Err(ProviderError::new(ErrorClass::Invalid, message).with_hint(hint))
    };
    let (image, name) = (&asked.image, &size.name);
    if let (Some(of_image), Some(of_size)) =
        (&found.architecture, size.capability("CpuArchitectureType"))
        && !is_same(of_image, of_size)
    {
        let message = format!("image `{image}` is for {of_image}, and {name} is {of_size}");
        return invalid(
            message,
            "take an image for the size's architecture, or another size",
        );
    }
    if let (Some(of_image), Some(of_size)) =
        (&found.generation, size.capability("HyperVGenerations"))
        && of_size.split(',').all(|it| !is_same(it.trim(), of_image))
    {
        let message =
            format!("image `{image}` is of generation {of_image}, and {name} boots {of_size}");
        return invalid(
            message,
            "take another edition of the image, or another size",
        );
    }
    if asked.trusted_launch {
        if found
            .generation
            .as_deref()
            .is_some_and(|it| is_same(it, "V1"))
        {
            let message =
                format!("image `{image}` is of generation V1, which no trusted launch boots");
            return invalid(
                message,
                "take a gen2 edition, or write `trustedLaunch: false`",
            );
        }
        if size.capability("TrustedLaunchDisabled") == Some("True") {
            let message = format!("{name} has no trusted launch");
            return invalid(
                message,
                "take another size, or write `trustedLaunch: false`",
            );
        }
    }
    Ok(())
}

/// How much of something there is, and how much is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Usage {
    current_value: i64,
    limit: i64,
    name: UsageName,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UsageName {
    value: String,
    localized_value: String,
}

/// The quota of all machines of a location.
const CORES: &str = "cores";
/// That of spot machines, of whatever size, which count against no other
/// (<https://learn.microsoft.com/azure/quotas/spot-quota>).
const SPOT_CORES: &str = "lowPriorityCores";

/// Returns what so many machines of a size take of the quotas that are told.
fn needs(size: &Size, usages: &[Usage], is_spot: bool, more: u64, place: &str) -> Vec<Need> {
    let each = size.capability("vCPUs").and_then(|it| it.parse().ok());
    let Some(each): Option<u64> = each else {
        return Vec::new();
    };
    let counts = |usage: &&Usage| {
        let is = |name: &str| is_same(&usage.name.value, name);
        match is_spot {
            true => is(SPOT_CORES),
            false => is(&size.family) || is(CORES),
        }
    };
    let told = usages.iter().filter(counts).map(|usage| {
        let (used, limit) = (usage.current_value, usage.limit);
        let what = &usage.name.localized_value;
        Need {
            of: format!("{limit} \"{what}\" in {place}"),
            needed: each.saturating_mul(more),
            left: u64::try_from(limit.saturating_sub(used)).unwrap_or_default(),
        }
    });
    told.collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subnet {
    properties: SubnetProperties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SubnetProperties {
    address_prefix: Option<String>,
    address_prefixes: Vec<String>,
    ip_configurations: Vec<serde_json::Value>,
}

impl SubnetProperties {
    /// Returns how many addresses of the fourth version are left; `None` where there is no range.
    fn free(&self) -> Option<u64> {
        // One range is told alone, or in both fields.
        let prefixes: BTreeSet<&String> = self
            .address_prefix
            .iter()
            .chain(&self.address_prefixes)
            .collect();
        let ranges = prefixes.into_iter().filter_map(|prefix| addresses(prefix));
        // Each range has Azure's own.
        let usable = ranges.map(|all| all.saturating_sub(OWN_ADDRESSES));
        let usable = usable.reduce(u64::saturating_add)?;
        let used = u64::try_from(self.ip_configurations.len()).unwrap_or(u64::MAX);
        Some(usable.saturating_sub(used))
    }
}

async fn subnet_has_room(
    client: &Client,
    asked: &AzureSettings,
    more: u64,
) -> Result<Option<Need>, ProviderError> {
    let id = settings::subnet_id(asked);
    let of = format!("the addresses of subnet {}", id.to_ascii_lowercase());
    let read = client.read(&Call::get(Action::GetSubnet, id)).await;
    let Subnet { properties } = read.map_err(|error| missing(error, "subnet", &asked.subnet))?;
    let left = match properties.free() {
        Some(left) if left < more => left,
        left => {
            let needed = more;
            return Ok(left.map(|left| Need { of, needed, left }));
        }
    };
    let message = format!(
        "subnet `{}` has {left} addresses left, and {more} are needed",
        asked.subnet
    );
    Err(ProviderError::new(ErrorClass::Capacity, message)
        .with_hint("take a subnet that has addresses left"))
}

/// Returns how many addresses of the fourth version a range has.
fn addresses(prefix: &str) -> Option<u64> {
    let (network, length) = prefix.split_once('/')?;
    network.parse::<std::net::Ipv4Addr>().ok()?;
    let length: u32 = length.parse().ok()?;
    Some(1 << 32_u32.checked_sub(length)?)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Located {
    location: String,
}

async fn group_fits(client: &Client, asked: &AzureSettings) -> Result<(), ProviderError> {
    let (Some(id), Some(name)) = (settings::group_id(asked), &asked.network_security_group) else {
        return Ok(());
    };
    let read = client.read(&Call::get(Action::GetSecurityGroup, id)).await;
    let Located { location } =
        read.map_err(|error| missing(error, "network security group", name))?;
    if is_same(&location, &client.place.location) {
        return Ok(());
    }
    let here = &client.place.location;
    let message = format!("network security group `{name}` is in {location}, and not in {here}");
    Err(ProviderError::new(ErrorClass::Invalid, message))
}

fn missing(error: ProviderError, what: &str, name: &str) -> ProviderError {
    match error.class {
        ErrorClass::NotFound => {
            let message = format!("there is no {what} `{name}`");
            ProviderError::new(ErrorClass::NotFound, message)
                .with_hint("a name is looked for in the resource group; write the id of another's")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_ranges_of_a_subnet_count_and_each_once() {
        let free = |subnet: serde_json::Value| {
            let read: SubnetProperties = serde_json::from_value(subnet).unwrap();
            read.free()
        };
        let three = ["10.0.0.0/28", "10.0.1.0/28", "10.0.2.0/28"];
        let used = vec![json!({}); 9];
        let several = json!({"addressPrefixes": three, "ipConfigurations": used});
        assert_eq!(free(several), Some(24));
        let both = json!({"addressPrefix": three[0], "addressPrefixes": three[..1]});
        assert_eq!(free(both), Some(11));
        assert_eq!(free(json!({"addressPrefix": "fd00::/64"})), None);
    }

    #[test]
    fn of_several_sizes_the_least_counts_of_what_each_takes() {
        let usage = |value: &str| Usage {
            current_value: 4,
            limit: 100,
            name: UsageName {
                value: value.to_owned(),
                localized_value: value.to_owned(),
            },
        };
        let usages = [usage(CORES), usage("b"), usage("d")];
        let of = |family: &str, cores: &str| {
            let size = Size {
                family: family.to_owned(),
                capabilities: vec![Capability {
                    name: "vCPUs".to_owned(),
                    value: cores.to_owned(),
                }],
                ..Size::default()
            };
            needs(&size, &usages, false, 3, "here")
        };
        let told = |needs: Vec<Need>| {
            let each = needs.into_iter();
            let each = each.map(|it| (it.of, it.needed, it.left));
            each.collect::<Vec<_>>()
        };
        let cores = |needed| ("100 \"cores\" in here".to_owned(), needed, 96);
        // Of different families, they have only the location's cores in common.
        for (one, other) in [(of("b", "2"), of("d", "4")), (of("d", "4"), of("b", "2"))] {
            assert_eq!(told(Need::least(one, other)), [cores(6)]);
        }
        let family = ("100 \"b\" in here".to_owned(), 6, 96);
        let same = Need::least(of("b", "4"), of("b", "2"));
        assert_eq!(told(same), [cores(6), family]);
        // Of one that nothing is known of, nothing is certain.
        assert_eq!(told(Need::least(of("b", "4"), Vec::new())), []);
    }

    #[test]
    fn a_range_has_its_addresses() {
        assert_eq!(addresses("10.0.0.0/24"), Some(256));
        assert_eq!(addresses("10.0.0.0/29"), Some(8));
        assert_eq!(addresses("fd00::/64"), None);
    }
}
