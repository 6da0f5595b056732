//! Looks whether such machines can be had, before the first change. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use google_cloud_compute_v1::model::subnetworks::get_request::Views;
use google_cloud_compute_v1::model::{
    MachineType, MachineTypeAggregatedList, Quota, Subnetwork, TestPermissionsRequest,
};
use meshvm_provider_api::{ErrorClass, Growth, Need, ProviderError, Template};

use crate::attributes::last;
use crate::client::Client;
use crate::policy::{Action, USE_EXTERNAL_IP, USE_SUBNETWORK};
use crate::recipe::{Found, Recipe};
use crate::resolve;
use crate::settings::GcpSettings;

/// The most types of a page.
const PAGE: u32 = 500;
/// Families of types whose processors have a quota of their own in each region; those of `E2`,
/// `N1` and the shared ones count as `CPUS`, and those of newer families are told by no region
/// (<https://cloud.google.com/compute/resource-usage#cpu_quota>).
const FAMILIES: [&str; 12] = [
    "a2", "c2", "c2d", "c3", "m1", "m2", "m3", "n2", "n2a", "n2d", "t2a", "t2d",
];
/// Families whose processors count as `CPUS`.
const ORDINARY: [&str; 5] = ["e2", "n1", "f1", "g1", "custom"];

/// Looks whether so many machines of a template can be had, by zone; returns what they take of what
/// others may want, where it is known: of several types that will do, the least that each takes.
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
    let network = Network::of(asked);
    let (types, subnetwork, rights) = futures::join!(
        types(client, asked, found, more),
        subnetwork_fits(client, asked, &network, more),
        may_use(client, asked, &network),
    );
    let mut needs = Vec::new();
    let mut all = match types {
        Ok((found, wrong)) => {
            needs.extend(found);
            wrong
        }
        Err(error) => vec![error],
    };
    match subnetwork {
        Ok(need) => needs.extend(need),
        Err(error) => all.push(error),
    }
    all.extend(rights.err());
    ProviderError::all(all).map_or(Ok(needs), Err)
}

/// Returns what machines take of quotas, and what is wrong with their types.
async fn types(
    client: &Client,
    asked: &GcpSettings,
    found: &Found,
    more: u64,
) -> Result<(Vec<Need>, Vec<ProviderError>), ProviderError> {
    let names = &asked.machine_type.0;
    let (custom, named): (Vec<String>, Vec<String>) =
        names.iter().cloned().partition(|name| is_custom(name));
    let (mut types, region) =
        futures::try_join!(machine_types(client, &named), resolve::region(client))?;
    types.extend(
        custom
            .iter()
            .flat_map(|name| custom_types(name, &found.zones)),
    );
    let mut wrong = lacking(&types, names, &found.zones);
    wrong.extend(misfits(asked, found, &types));
    let mut fitting: BTreeMap<&str, &MachineType> = BTreeMap::new();
    for kind in &types {
        fitting.insert(kind.name.as_deref().unwrap_or_default(), kind);
    }
    let wanted: Vec<(&str, Vec<Need>)> = fitting
        .iter()
        .map(|(name, kind)| (*name, needs(kind, &region.quotas, asked, more)))
        .collect();
    let short = wanted.iter().map(|(name, needs)| {
        let short = needs.iter().find(|need| need.needed > need.left)?;
        let Need { of, needed, left } = short;
        let message = format!("{left} of {of} are left, and {more} of {name} would take {needed}");
        let error = ProviderError::new(ErrorClass::Quota, message);
        Some(error.with_hint("ask for a higher quota on the page IAM & Admin, Quotas"))
    });
    // One of several may be used up.
    let short: Option<Vec<ProviderError>> = short.collect();
    wrong.extend(short.and_then(|all| all.into_iter().next()));
    let needs = wanted.into_iter().map(|(_, needs)| needs);
    Ok((needs.reduce(Need::least).unwrap_or_default(), wrong))
}

/// Returns the zones where no type can be had.
fn lacking(types: &[MachineType], names: &[String], zones: &[String]) -> Vec<ProviderError> {
    let is_in = |zone: &String| {
        let mut zones = types.iter().filter_map(|kind| kind.zone.as_deref());
        zones.any(|of| last(of) == zone)
    };
    let empty = zones.iter().filter(|zone| !is_in(zone));
    let names = names.join(", ");
    let told = empty.map(|zone| {
        let message = format!("zone `{zone}` has no machine type {names}");
        ProviderError::new(ErrorClass::NotFound, message)
            .with_hint("add another type to `machineType`, or drop the zone")
    });
    told.collect()
}

/// Returns the types that the image does not boot on.
fn misfits(asked: &GcpSettings, found: &Found, types: &[MachineType]) -> Vec<ProviderError> {
    let Some(of_image) = found.architecture.as_deref() else {
        return Vec::new();
    };
    let other: BTreeSet<(&str, &str)> = types
        .iter()
        .filter_map(|kind| {
            let has = kind.architecture.as_ref().and_then(|it| it.name());
            let has = has.filter(|it| *it != "ARCHITECTURE_UNSPECIFIED" && *it != of_image)?;
            Some((kind.name.as_deref().unwrap_or_default(), has))
        })
        .collect();
    let told = other.into_iter().map(|(name, has)| {
        let image = &asked.image;
        let message = format!("image `{image}` is for {of_image}, and {name} is {has}");
        ProviderError::new(ErrorClass::Invalid, message)
            .with_hint("take an image for the type's architecture, or another type")
    });
    told.collect()
}

/// Returns whether a type is made to measure, as `n2-custom-4-8192`: no list has those
/// (<https://cloud.google.com/compute/docs/instances/creating-instance-with-custom-machine-type>).
fn is_custom(name: &str) -> bool {
    name.starts_with("custom-") || name.contains("-custom-")
}

/// Returns a type made to measure as a list would have it, in each zone: only making a machine
/// tells whether it can be had.
fn custom_types(name: &str, zones: &[String]) -> Vec<MachineType> {
    let size = name.rsplit("custom-").next().unwrap_or_default();
    let processors = size.split('-').next().and_then(|it| it.parse().ok());
    let of = |zone: &String| {
        let made = MachineType::new().set_name(name).set_zone(zone);
        // Those of shared processors are named by a size.
        made.set_guest_cpus(processors.unwrap_or(2))
    };
    zones.iter().map(of).collect()
}

async fn machine_types(
    client: &Client,
    names: &[String],
) -> Result<Vec<MachineType>, ProviderError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names = names.iter().map(|name| format!("(name = \"{name}\")"));
    let filter = names.collect::<Vec<_>>().join(" OR ");
    let apis = &client.apis;
    let call = |next| {
        let call = apis.machine_types.aggregated_list();
        call.set_project(&apis.project)
            .set_filter(&filter)
            .set_max_results(PAGE)
            .set_page_token::<String>(next)
            .send()
    };
    let take = |page: MachineTypeAggregatedList| {
        let zones = page.items.into_values();
        Ok((
            zones.flat_map(|zone| zone.machine_types).collect(),
            page.next_page_token,
        ))
    };
    let action = Action::AggregatedListMachineTypes;
    client.pages(action, call, take).await
}

/// Returns what so many machines of a type take of the quotas that the region tells.
fn needs(kind: &MachineType, quotas: &[Quota], asked: &GcpSettings, more: u64) -> Vec<Need> {
    let name = kind.name.as_deref().unwrap_or_default();
    let of = |metric: &str| {
        let is_it = |it: &&Quota| it.metric.as_ref().and_then(|it| it.name()) == Some(metric);
        quotas.iter().find(is_it)
    };
    let processors = u64::try_from(kind.guest_cpus.unwrap_or_default()).unwrap_or_default();
    let mut wanted: Vec<(String, u64)> = vec![("INSTANCES".to_owned(), more)];
    wanted.extend(processors_of(name, asked, &of).map(|metric| (metric, processors * more)));
    if asked.public_address {
        wanted.push(("IN_USE_ADDRESSES".to_owned(), more));
    }
    for (metric, each) in disks(asked) {
        wanted.push((metric.to_owned(), each * more));
    }
    let told = wanted.into_iter().filter_map(|(metric, needed)| {
        let quota = of(&metric)?;
        let (limit, used) = (quota.limit?, quota.usage.unwrap_or_default());
        let (region, project) = (asked.region.as_str(), asked.project.as_str());
        Some(Need {
            of: format!("{limit} {metric} of {region} in project {project}"),
            needed,
            // Quotas are whole numbers, though the API writes them as others; a cast keeps below 0.
            left: (limit - used) as u64,
        })
    });
    told.collect()
}

/// Returns the quota that a type's processors count against.
fn processors_of<'a>(
    name: &str,
    asked: &GcpSettings,
    of: &impl Fn(&str) -> Option<&'a Quota>,
) -> Option<String> {
    // Without a quota of their own, spot machines share the ordinary one.
    let spot = of("PREEMPTIBLE_CPUS").and_then(|it| it.limit);
    if asked.spot.is_some() && spot.is_some_and(|limit| limit > 0.0) {
        return Some("PREEMPTIBLE_CPUS".to_owned());
    }
    let family = name.split('-').next().unwrap_or_default();
    match (FAMILIES.contains(&family), ORDINARY.contains(&family)) {
        (true, _) => Some(format!("{}_CPUS", family.to_uppercase())),
        (false, true) => Some("CPUS".to_owned()),
        (false, false) => None,
    }
}

/// Returns how much of which quota the disks of a machine take, where the file gives type and
/// size (<https://cloud.google.com/compute/resource-usage#disk_quota>).
fn disks(asked: &GcpSettings) -> BTreeMap<&'static str, u64> {
    let boot = asked.boot_disk.iter();
    let boot = boot.filter_map(|disk| Some((disk.kind.as_deref()?, disk.size?)));
    let extra = asked.disks.iter();
    let extra = extra.filter_map(|disk| Some((disk.kind.as_deref()?, disk.size)));
    let mut all = BTreeMap::new();
    for (kind, size) in boot.chain(extra) {
        let metric = match kind {
            "pd-ssd" | "pd-balanced" => "SSD_TOTAL_GB",
            "pd-standard" => "DISKS_TOTAL_GB",
            "hyperdisk-balanced" => "HDB_TOTAL_GB",
            _ => continue,
        };
        *all.entry(metric).or_default() += u64::from(size.count());
    }
    all
}

/// The subnetwork of a fleet's machines.
struct Network<'a> {
    /// The project that it is in: a shared network's is another one.
    project: &'a str,
    /// Its name; in a network that makes its own it is the network's.
    subnetwork: &'a str,
}

impl<'a> Network<'a> {
    fn of(asked: &'a GcpSettings) -> Self {
        let network = asked.network.as_deref();
        let named = asked.subnetwork.as_deref().or(network).unwrap_or("default");
        let host = named.strip_prefix("projects/");
        let host = host.and_then(|rest| rest.split('/').next());
        Self {
            project: host.unwrap_or(&asked.project),
            subnetwork: last(named),
        }
    }
}

async fn subnetwork_fits(
    client: &Client,
    asked: &GcpSettings,
    network: &Network<'_>,
    more: u64,
) -> Result<Option<Need>, ProviderError> {
    let apis = &client.apis;
    let name = network.subnetwork;
    let call = || {
        let call = apis.subnetworks.get().set_region(&apis.region);
        call.set_project(network.project)
            .set_subnetwork(name)
            .set_views(Views::WithUtilization)
            .send()
    };
    let answer = client.send(Action::GetSubnetwork, call).await;
    let seen = answer.map_err(|error| match error.class {
        ErrorClass::NotFound => {
            let message = format!("there is no subnetwork `{name}` in {}", apis.region);
            let told = ProviderError::new(ErrorClass::NotFound, message);
            match asked.subnetwork {
                Some(_) => told,
                None => told.with_hint("name the `subnetwork`, or another `network`"),
            }
        }
        _ => error,
    })?;
    let of = seen.network.as_deref().map(last).unwrap_or_default();
    if let Some(wanted) = asked.network.as_deref().filter(|it| last(it) != of) {
        let wanted = last(wanted);
        let message = format!("subnetwork `{name}` is in network {of}, and not in {wanted}");
        return Err(ProviderError::new(ErrorClass::Invalid, message)
            .with_hint(format!("write `network: {of}`, or leave it out")));
    }
    match free(&seen) {
        Some(left) if left < more => {
            let message =
                format!("subnetwork `{name}` has {left} addresses left, and {more} are needed");
            Err(ProviderError::new(ErrorClass::Capacity, message)
                .with_hint("take a subnetwork that has addresses left, or expand this one"))
        }
        left => Ok(left.map(|left| Need {
            of: format!(
                "the addresses of subnetwork {}/{}/{name}",
                network.project, apis.region
            ),
            needed: more,
            left,
        })),
    }
}

/// Returns how many addresses of the first range are left.
fn free(subnetwork: &Subnetwork) -> Option<u64> {
    let details = subnetwork.utilization_details.as_ref()?;
    let mut ranges = details.ipv_4_utilizations.iter();
    let own = ranges.find(|it| it.range_name.as_deref().unwrap_or_default().is_empty())?;
    u64::try_from(own.total_free_ip?).ok()
}

/// Looks whether machines may be put in the subnetwork: of the rights on other things, Compute
/// Engine tells only by refusing a call.
async fn may_use(
    client: &Client,
    asked: &GcpSettings,
    network: &Network<'_>,
) -> Result<(), ProviderError> {
    let mut needed = vec![USE_SUBNETWORK];
    needed.extend(asked.public_address.then_some(USE_EXTERNAL_IP));
    let apis = &client.apis;
    let body = TestPermissionsRequest::new().set_permissions(needed.clone());
    let call = || {
        let call = apis.subnetworks.test_iam_permissions();
        call.set_project(network.project)
            .set_region(&apis.region)
            .set_resource(network.subnetwork)
            .set_body(body.clone())
            .send()
    };
    let granted = match client.send(Action::TestSubnetworkPermissions, call).await {
        Ok(answer) => answer.permissions,
        // That it is not there is told by what looks at it.
        Err(error) if error.class == ErrorClass::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    needed.retain(|right| !granted.iter().any(|has| has == right));
    if needed.is_empty() {
        return Ok(());
    }
    let (lacking, name) = (needed.join(" and "), network.subnetwork);
    let message = format!("these credentials lack {lacking} on subnetwork `{name}`");
    Err(ProviderError::new(ErrorClass::PermissionDenied, message)
        .with_hint("`meshvm doctor --iam gcp` prints the permissions needed"))
}
