//! Lists machines, in pages and never one by one.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, Instance, Volume};
use futures::future::try_join_all;
use meshvm_provider_api::{Labels, Machine, MachineId, ProviderError, labels};

use crate::client::Client;
use crate::group;
use crate::machine;
use crate::policy::Action;
use crate::tags::Launch;

/// The most machines of a page
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>).
const PAGE: i32 = 1000;
/// The most values of one filter.
pub(crate) const FILTER_VALUES: usize = 200;

/// Which instances to list.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// Those with these tags; in a value, `*` stands for any text.
    Tagged(Labels),
    /// Those that start or run, whoever's they are.
    Alive,
    /// Those of these ids that exist.
    Ids(Vec<String>),
}

impl Which {
    /// Returns what ids of machines ask for.
    pub fn machines(ids: &[MachineId]) -> Self {
        let ids: BTreeSet<&MachineId> = ids.iter().collect();
        Self::Ids(ids.into_iter().map(|id| id.0.clone()).collect())
    }

    /// Returns what a tag asks for.
    pub fn tagged(key: &str, value: &str) -> Self {
        Self::Tagged(Labels::from([(key.to_owned(), value.to_owned())]))
    }

    /// Returns the filters of each listing that it takes.
    fn filters(&self, of_tag: &str, of_id: &str) -> Vec<Vec<Filter>> {
        let filter = |name: String, values: Vec<String>| {
            Filter::builder()
                .name(name)
                .set_values(Some(values))
                .build()
        };
        match self {
            Self::Tagged(tags) => {
                let filters = tags
                    .iter()
                    .map(|(key, value)| filter(format!("{of_tag}{key}"), vec![literal(value)]));
                vec![filters.collect()]
            }
            Self::Alive => {
                let states = ["pending", "running"].map(str::to_owned).to_vec();
                vec![vec![filter("instance-state-name".to_owned(), states)]]
            }
            // Asking for ids themselves would fail for one that is missing.
            Self::Ids(ids) => ids
                .chunks(FILTER_VALUES)
                .map(|ids| vec![filter(of_id.to_owned(), ids.to_vec())])
                .collect(),
        }
    }
}

/// Lists instances in whatever state.
pub(crate) async fn instances(
    client: &Client,
    which: &Which,
) -> Result<Vec<Instance>, ProviderError> {
    let listings = which.filters("tag:", "instance-id").into_iter();
    let pages = try_join_all(listings.map(|filters| instance_pages(client, filters))).await?;
    // A machine that moves between pages while they are read is on two of them.
    let mut seen = BTreeSet::new();
    let mut instances: Vec<Instance> = pages.into_iter().flatten().collect();
    instances.retain(|instance| seen.insert(instance.instance_id().map(str::to_owned)));
    Ok(instances)
}

/// Writes a filter's value so that of all characters with a meaning only `*` keeps it.
fn literal(value: &str) -> String {
    value.replace('\\', "\\\\").replace('?', "\\?")
}

/// Lists all instances of the scope that start or run, whoever's they are.
pub(crate) async fn alive(client: &Client) -> Result<Vec<Instance>, ProviderError> {
    instances(client, &Which::Alive).await
}

async fn instance_pages(
    client: &Client,
    filters: Vec<Filter>,
) -> Result<Vec<Instance>, ProviderError> {
    let mut found = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let page = client
            .send(Action::DescribeInstances, || {
                let call = client.ec2.describe_instances();
                call.set_filters(Some(filters.clone()))
                    .max_results(PAGE)
                    .set_next_token(next.clone())
                    .send()
            })
            .await?;
        let reservations = page.reservations.unwrap_or_default();
        found.extend(
            reservations
                .into_iter()
                .flat_map(|it| it.instances.unwrap_or_default()),
        );
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// Lists machines, with all that drift is judged by.
pub(crate) async fn machines(
    client: &Client,
    which: &Which,
) -> Result<Vec<Machine>, ProviderError> {
    if matches!(which, Which::Ids(ids) if ids.is_empty()) {
        return Ok(Vec::new());
    }
    let (instances, impaired) =
        futures::try_join!(self::instances(client, which), self::impaired(client))?;
    let mut machines: Vec<Machine> = instances
        .iter()
        .filter_map(|instance| match which {
            Which::Tagged(_) | Which::Alive => machine::of(instance, &impaired),
            // Of a machine that somebody names, it says more to be gone than not to be shown.
            Which::Ids(_) => machine::seen(instance, &impaired),
        })
        .collect();
    let launches = || {
        let machines = machines.iter();
        machines.map(|machine| Launch::of_tags(&machine.labels))
    };
    // Most fleets leave volumes to the image and groups to others, and need no such listing.
    let (has_group, has_volumes) = (
        launches().any(|launch| launch.has_group),
        launches().any(|launch| launch.has_volumes),
    );
    if has_group {
        group::add_owned(client, &mut machines).await?;
    }
    if has_volumes {
        let roots: BTreeMap<String, String> = instances
            .iter()
            .filter_map(|instance| {
                let root = instance.root_device_name()?;
                Some((instance.instance_id()?.to_owned(), root.to_owned()))
            })
            .collect();
        let volumes = self::volumes(client, which).await?;
        machine::add_volumes(&mut machines, &roots, &volumes);
    }
    Ok(machines)
}

/// Lists the instances of the scope whose checks fail: few, whatever the number of machines is.
async fn impaired(client: &Client) -> Result<BTreeSet<String>, ProviderError> {
    let mut found = BTreeSet::new();
    let mut next: Option<String> = None;
    // A system that fails takes the instance's own reachability with it.
    let filter = Filter::builder()
        .name("instance-status.status")
        .values("impaired")
        .build();
    loop {
        let page = client
            .send(Action::DescribeInstanceStatus, || {
                let call = client.ec2.describe_instance_status();
                call.filters(filter.clone())
                    .max_results(PAGE)
                    .set_next_token(next.clone())
                    .send()
            })
            .await?;
        let statuses = page.instance_statuses.unwrap_or_default().into_iter();
        // The filter is the server's; what it means is checked here.
        found.extend(statuses.filter_map(|status| {
            let checks = status.instance_status.and_then(|summary| summary.status);
            let is_impaired = checks.is_some_and(|checks| checks.as_str() == "impaired");
            status.instance_id.filter(|_| is_impaired)
        }));
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
}

async fn volumes(client: &Client, which: &Which) -> Result<Vec<Volume>, ProviderError> {
    let listings = which.filters("tag:", "attachment.instance-id").into_iter();
    let pages = try_join_all(listings.map(|filters| volume_pages(client, filters))).await?;
    Ok(pages.into_iter().flatten().collect())
}

async fn volume_pages(client: &Client, filters: Vec<Filter>) -> Result<Vec<Volume>, ProviderError> {
    let mut found = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let page = client
            .send(Action::DescribeVolumes, || {
                let call = client.ec2.describe_volumes();
                call.set_filters(Some(filters.clone()))
                    .max_results(PAGE)
                    .set_next_token(next.clone())
                    .send()
            })
            .await?;
        found.extend(page.volumes.unwrap_or_default());
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// Which machines a stack owns.
pub(crate) fn of_stack(stack: &str) -> Which {
    // A filter's `*` stands for others, and stacks have none in their names.
    Which::tagged(labels::STACK, stack)
}
