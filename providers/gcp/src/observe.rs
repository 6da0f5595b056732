//! Lists machines, in pages and never one by one.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use google_cloud_compute_v1::model::{
    Instance, InstanceAggregatedList, InstancesScopedList, instance::Status,
    instances_scoped_list::warning::Code,
};
use meshvm_provider_api::{ErrorClass, Labels, Machine, MachineId, ProviderError, Query, labels};

use crate::client::Client;
use crate::firewall;
use crate::gone;
use crate::machine;
use crate::policy::Action;

/// The most machines of a page
/// (<https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList>).
const PAGE: u32 = 500;
/// How many ids one listing asks for: they share one address line.
const IDS: usize = 100;

/// Which instances to list.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// Those with a label.
    Labelled(&'static str, String),
    /// Those that have all of these labels, whatever their values.
    Having(Vec<String>),
    /// Those of these ids that exist.
    Ids(Vec<String>),
}

impl Which {
    /// Returns what ids of machines ask for.
    pub fn machines(ids: &[MachineId]) -> Self {
        let ids: BTreeSet<&MachineId> = ids.iter().collect();
        // What is no number is no id of this cloud's, and would spoil the filter for the others.
        let ids = ids.into_iter().map(|id| id.0.clone());
        Self::Ids(ids.filter(|id| id.parse::<u64>().is_ok()).collect())
    }

    /// Returns the machines that have labels of these names.
    pub fn having(labels: &Labels) -> Self {
        Self::Having(labels.keys().cloned().collect())
    }

    /// Returns the machines that a stack owns.
    pub fn stack(stack: &str) -> Self {
        Self::Labelled(labels::STACK, stack.to_owned())
    }

    /// Returns the filters of each listing that it takes.
    fn filters(&self) -> Vec<String> {
        match self {
            Self::Labelled(key, value) => vec![format!("labels.{key} = \"{value}\"")],
            Self::Having(keys) => {
                let each = keys.iter().map(|key| format!("(labels.{key}:*)"));
                vec![each.collect::<Vec<_>>().join(" AND ")]
            }
            Self::Ids(ids) => ids
                .chunks(IDS)
                .map(|ids| {
                    let ids = ids.iter().map(|id| format!("(id = {id})"));
                    ids.collect::<Vec<_>>().join(" OR ")
                })
                .collect(),
        }
    }
}

/// What a listing shows.
pub(crate) struct Listed {
    pub instances: Vec<Instance>,
    /// A zone that it does not reach: what is there, is not shown.
    pub unreachable: Option<String>,
}

impl Listed {
    /// Returns the instances where all zones were reached.
    ///
    /// # Errors
    /// `Unavailable`: what is not listed now may be there, and is not known to be gone.
    pub fn whole(self) -> Result<Vec<Instance>, ProviderError> {
        let Some(zone) = self.unreachable else {
            return Ok(self.instances);
        };
        let message = format!("{zone} cannot be reached");
        Err(ProviderError::new(ErrorClass::Unavailable, message))
    }
}

/// Lists instances of the scope's region in whatever state.
pub(crate) async fn instances(
    client: &Client,
    which: &Which,
) -> Result<Vec<Instance>, ProviderError> {
    let prefix = format!("zones/{}-", client.apis.region);
    // A project is listed as a whole: what stands in another region is another scope's.
    let is_here = |zone: &str| zone.starts_with(&prefix);
    listed(client, which, is_here).await?.whole()
}

/// Lists instances of all regions of the project in whatever state.
pub(crate) async fn of_project(client: &Client, which: &Which) -> Result<Listed, ProviderError> {
    listed(client, which, |_| true).await
}

async fn listed(
    client: &Client,
    which: &Which,
    is_meant: impl Fn(&str) -> bool + Send + Sync,
) -> Result<Listed, ProviderError> {
    let listings = which.filters().into_iter();
    let is_meant = &is_meant;
    let found = try_join_all(listings.map(|filter| pages(client, filter, is_meant))).await?;
    let zones: Vec<(String, InstancesScopedList)> = found.into_iter().flatten().collect();
    let unreachable = zones.iter().find(|(_, it)| is_unreachable(it));
    let unreachable = unreachable.map(|(zone, _)| zone.clone());
    let mut seen = BTreeSet::new();
    let instances = zones.into_iter().flat_map(|(_, zone)| zone.instances);
    Ok(Listed {
        instances: instances.filter(|it| seen.insert(it.id)).collect(),
        unreachable,
    })
}

/// Returns whether a listing lacks what is in a zone.
fn is_unreachable(zone: &InstancesScopedList) -> bool {
    let code = zone.warning.as_ref().and_then(|it| it.code.as_ref());
    code == Some(&Code::Unreachable)
}

/// Lists what is in those zones that are meant; of a zone, several pages may tell.
async fn pages(
    client: &Client,
    filter: String,
    is_meant: &(impl Fn(&str) -> bool + Send + Sync),
) -> Result<Vec<(String, InstancesScopedList)>, ProviderError> {
    let apis = &client.apis;
    let call = |next| {
        let call = apis.instances.aggregated_list().set_project(&apis.project);
        call.set_filter(&filter)
            .set_max_results(PAGE)
            .set_page_token::<String>(next)
            .send()
    };
    let take = |page: InstanceAggregatedList| {
        let zones = page.items.into_iter();
        // Most say only that they have nothing.
        let tells = |it: &InstancesScopedList| !it.instances.is_empty() || is_unreachable(it);
        let zones = zones.filter(|(zone, it)| is_meant(zone) && tells(it));
        Ok((zones.collect(), page.next_page_token))
    };
    let action = Action::AggregatedListInstances;
    client.pages(action, call, take).await
}

/// Lists machines, with all that drift is judged by. Those that were deleted, or are just being,
/// are left out; of machines that are asked for by id, it is told.
pub(crate) async fn machines(
    client: &Client,
    query: &Query,
) -> Result<Vec<Machine>, ProviderError> {
    let which = match query {
        Query::Stack(stack) => Which::stack(stack),
        Query::Machines(ids) => Which::machines(ids),
        Query::Labelled(patterns) => Which::having(patterns),
    };
    let instances = instances(client, &which).await?;
    let mut machines: Vec<Machine> = instances.iter().filter_map(machine::of).collect();
    let asked: &[MachineId] = match query {
        Query::Machines(ids) => ids,
        Query::Stack(_) | Query::Labelled(_) => &[],
    };
    let shown: BTreeSet<&MachineId> = machines.iter().map(|it| &it.id).collect();
    let missing = asked.iter().filter(|id| !shown.contains(id));
    // What stops may be ending: the instance itself does not say which.
    let stopping = instances
        .iter()
        .filter(|it| it.status == Some(Status::Stopping));
    let stopping = stopping.map(|it| MachineId(it.id.unwrap_or_default().to_string()));
    let unsure: BTreeSet<MachineId> = missing.cloned().chain(stopping).collect();
    let gone = gone::of(client, &unsure).await?;
    machines.retain(|machine| gone.iter().all(|gone| gone.id != machine.id));
    firewall::add_owned(client, &mut machines).await?;
    if matches!(query, Query::Machines(_)) {
        machines.extend(gone);
    }
    Ok(machines)
}
