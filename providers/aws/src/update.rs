//! Changes machines in place.
//!
//! Tags change in batches; what EC2 changes on one machine at a time is sent for those machines
//! that need it, a few at once. Labels come last: a machine that says to be up to date is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, HttpTokensState, Instance, InstanceStateName, Tag,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use meshvm_provider_api::{ErrorClass, Labels, Machine, ProviderError, Update, labels};
use serde_json::Value;

use crate::attributes::{
    INSTANCE_TYPE, METADATA_HOP_LIMIT, METADATA_TOKENS, OWNED_GROUP, SECURITY_GROUPS, TAG,
    TERMINATION_PROTECTION,
};
use crate::client::Client;
use crate::group::{self, Owner};
use crate::launch::tag;
use crate::machine;
use crate::observe::{self, Which};
use crate::policy::Action;
use crate::recipe::Recipe;
use crate::settings::OwnedGroup;
use crate::tags::{self, Launch};

/// The most things that one call sets tags on
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTags.html>).
const TAG_BATCH: usize = 1000;
/// How many machines are changed at the same time.
const AT_ONCE: usize = 8;
/// The wait between two looks at machines that stop.
const POLL: Duration = Duration::from_secs(2);
/// How many looks a machine may take to stop: ten minutes, as Windows may take.
const POLLS: u32 = 300;

/// Changes machines; safe to repeat.
///
/// # Errors
/// `NotFound` when one is gone, before any is changed; `Invalid` when an attribute does not change
/// in place.
pub(crate) async fn machines(client: &Client, update: &Update) -> Result<(), ProviderError> {
    if update.machines.is_empty() {
        return Ok(());
    }
    let which = Which::machines(&update.machines);
    let instances = observe::instances(client, &which).await?;
    let machines: Vec<Machine> = instances
        .iter()
        .filter_map(|instance| machine::of(instance, &[].into()))
        .collect();
    let found: BTreeSet<_> = machines.iter().map(|machine| &machine.id).collect();
    if let Some(gone) = update.machines.iter().find(|id| !found.contains(id)) {
        let message = format!("machine {gone} does not exist");
        return Err(ProviderError::new(ErrorClass::NotFound, message));
    }
    let changes = Changes::of(update)?;
    let done = changes.apply(client, &machines, &instances, update).await;
    // All of them were just seen: one that a change does not find is not gone, but new.
    done.map_err(|error| match error.class {
        ErrorClass::NotFound => ProviderError {
            class: ErrorClass::Unavailable,
            ..error
        },
        _ => error,
    })
}

/// What an update asks for of each machine.
#[derive(Default)]
struct Changes {
    groups: Option<Vec<String>>,
    owned: Option<(OwnedGroup, String)>,
    metadata: Option<(HttpTokensState, i32)>,
    protection: Option<bool>,
    types: Option<Vec<String>>,
    set_tags: Labels,
    remove_tags: BTreeSet<String>,
}

impl Changes {
    fn of(update: &Update) -> Result<Self, ProviderError> {
        let mut changes = Self {
            set_tags: update.set_labels.clone(),
            remove_tags: update.remove_labels.iter().cloned().collect(),
            ..Self::default()
        };
        if update.remove_labels.iter().any(|key| key == labels::STACK) {
            // A machine that is let go keeps nothing of what it was known by.
            changes.remove_tags.extend(tags::OWN.map(str::to_owned));
        }
        let Some(template) = &update.template else {
            return Ok(changes);
        };
        let recipe = Recipe::of(template)?;
        let asked = &recipe.asked;
        for attribute in &update.attributes {
            match attribute.as_str() {
                SECURITY_GROUPS => {
                    changes.groups = Some(asked.security_groups.clone());
                    changes.own(&recipe)?;
                }
                OWNED_GROUP => changes.own(&recipe)?,
                METADATA_TOKENS | METADATA_HOP_LIMIT => {
                    let tokens = HttpTokensState::from(asked.metadata.tokens.as_str());
                    changes.metadata = Some((tokens, i32::from(asked.metadata.hop_limit)));
                }
                TERMINATION_PROTECTION => {
                    changes.protection = Some(asked.termination_protection);
                }
                INSTANCE_TYPE => changes.types = Some(asked.instance_type.0.clone()),
                other => match other.strip_prefix(TAG) {
                    Some(key) => changes.tag(key, &recipe),
                    None => {
                        let message = format!("`{other}` does not change on a machine that exists");
                        return Err(ProviderError::new(ErrorClass::Invalid, message));
                    }
                },
            }
        }
        Ok(changes)
    }

    /// Asks for the fleet's own group, where the file does.
    fn own(&mut self, recipe: &Recipe) -> Result<(), ProviderError> {
        if let Some(group) = &recipe.asked.security_group {
            let vpc = recipe.found()?.vpc.clone().unwrap_or_default();
            self.owned = Some((group.owned.clone(), vpc));
        }
        Ok(())
    }

    /// Makes sure that the fleet's own group is there, where one is asked for.
    async fn own_group(
        &self,
        client: &Client,
        machines: &[Machine],
    ) -> Result<Option<String>, ProviderError> {
        let Some((asked, vpc)) = &self.owned else {
            return Ok(None);
        };
        // A machine that is adopted gets its labels with this very change.
        let label = |key: &str| {
            let set = self.set_tags.get(key);
            set.or_else(|| machines.first()?.labels.get(key))
        };
        let (Some(stack), Some(fleet)) = (label(labels::STACK), label(labels::FLEET)) else {
            return Ok(None);
        };
        let group = group::ensure(client, Owner { stack, fleet }, vpc, asked);
        group.await.map(Some)
    }

    fn tag(&mut self, key: &str, recipe: &Recipe) {
        match recipe.asked.tags.get(key) {
            Some(value) => {
                self.set_tags.insert(key.to_owned(), value.clone());
            }
            None => {
                self.remove_tags.insert(key.to_owned());
            }
        }
        let names = tags::names(recipe.asked.tags.keys());
        match names.is_empty() {
            true => self.remove_tags.insert(tags::TAGS.to_owned()),
            false => self.set_tags.insert(tags::TAGS.to_owned(), names).is_some(),
        };
    }

    async fn apply(
        &self,
        client: &Client,
        machines: &[Machine],
        instances: &[Instance],
        update: &Update,
    ) -> Result<(), ProviderError> {
        let group = self.own_group(client, machines).await?;
        let group = group.as_deref();
        each(machines, |machine| self.change(client, machine, group)).await?;
        self.restart(client, machines, instances, update.start)
            .await?;
        if self.protection.is_some() || group.is_some() {
            self.remember(client, machines, group.is_some()).await?;
        }
        let ids: Vec<String> = machines
            .iter()
            .map(|machine| machine.id.0.clone())
            .collect();
        remove_tags(client, &ids, &self.remove_tags).await?;
        set_tags(client, &ids, &self.set_tags).await
    }

    /// Changes what changes while a machine runs.
    async fn change(
        &self,
        client: &Client,
        machine: &Machine,
        own_group: Option<&str>,
    ) -> Result<(), ProviderError> {
        let id = machine.id.0.as_str();
        let has = machine.attributes.get(SECURITY_GROUPS);
        let has = has.and_then(Value::as_array).into_iter().flatten();
        let has: BTreeSet<&str> = has.filter_map(Value::as_str).collect();
        let mut wanted = match &self.groups {
            Some(groups) => groups.iter().map(String::as_str).collect(),
            None => has.clone(),
        };
        wanted.extend(own_group);
        if wanted != has {
            let call = || {
                let call = client.ec2.modify_instance_attribute().instance_id(id);
                let groups = wanted.iter().map(|&group| group.to_owned()).collect();
                call.set_groups(Some(groups)).send()
            };
            client.send(Action::ModifyInstanceAttribute, call).await?;
        }
        let seen = |name: &str| machine.attributes.get(name);
        if let Some((tokens, hops)) = &self.metadata
            && (seen(METADATA_TOKENS) != Some(&Value::from(tokens.as_str()))
                || seen(METADATA_HOP_LIMIT) != Some(&Value::from(*hops)))
        {
            let call = || {
                let call = client
                    .ec2
                    .modify_instance_metadata_options()
                    .instance_id(id);
                call.http_tokens(tokens.clone())
                    .http_put_response_hop_limit(*hops)
                    .send()
            };
            client
                .send(Action::ModifyInstanceMetadataOptions, call)
                .await?;
        }
        if let Some(is_protected) = self.protection {
            let value = AttributeBooleanValue::builder().value(is_protected).build();
            let call = || {
                let call = client.ec2.modify_instance_attribute().instance_id(id);
                call.disable_api_termination(value.clone()).send()
            };
            client.send(Action::ModifyInstanceAttribute, call).await?;
        }
        Ok(())
    }

    /// Writes down on machines what no listing shows of them.
    async fn remember(
        &self,
        client: &Client,
        machines: &[Machine],
        has_group: bool,
    ) -> Result<(), ProviderError> {
        let mut by_value: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for machine in machines {
            let before = Launch::of_tags(&machine.labels);
            let launch = Launch {
                is_protected: self.protection.unwrap_or(before.is_protected),
                has_group: has_group || before.has_group,
                ..before
            };
            let ids = by_value.entry(launch.write()).or_default();
            ids.push(machine.id.0.clone());
        }
        for (value, ids) in by_value {
            let key = tags::LAUNCH.to_owned();
            match value.is_empty() {
                true => remove_tags(client, &ids, &BTreeSet::from([key])).await?,
                false => set_tags(client, &ids, &Labels::from([(key, value)])).await?,
            }
        }
        Ok(())
    }

    /// Changes types, which only stopped machines take, and starts what shall run.
    async fn restart(
        &self,
        client: &Client,
        machines: &[Machine],
        instances: &[Instance],
        start: bool,
    ) -> Result<(), ProviderError> {
        let is_in = |instance: &Instance, states: &[InstanceStateName]| {
            let state = instance.state().and_then(|state| state.name());
            state.is_some_and(|state| states.contains(state))
        };
        let id = |instance: &Instance| instance.instance_id().map(str::to_owned);
        let outdated: BTreeSet<&str> = match &self.types {
            None => BTreeSet::new(),
            Some(types) => machines
                .iter()
                .filter(|machine| {
                    let seen = machine
                        .attributes
                        .get(INSTANCE_TYPE)
                        .and_then(Value::as_str);
                    !seen.is_some_and(|seen| types.iter().any(|wanted| wanted == seen))
                })
                .map(|machine| machine.id.0.as_str())
                .collect(),
        };
        let is_outdated = |instance: &&Instance| {
            let id = instance.instance_id();
            id.is_some_and(|id| outdated.contains(id))
        };
        use InstanceStateName as State;
        let stops: Vec<String> = instances
            .iter()
            .filter(is_outdated)
            .filter(|instance| is_in(instance, &[State::Pending, State::Running]))
            .filter_map(id)
            .collect();
        let mut starts = stops.clone();
        if start {
            let stopped = instances
                .iter()
                .filter(|instance| is_in(instance, &[State::Stopping, State::Stopped]));
            starts.extend(stopped.filter_map(id));
        }
        if !stops.is_empty() {
            let call = || {
                let call = client.ec2.stop_instances();
                call.set_instance_ids(Some(stops.clone())).send()
            };
            client.send(Action::StopInstances, call).await?;
        }
        let waits: BTreeSet<String> = starts
            .iter()
            .cloned()
            .chain(outdated.iter().map(|&id| id.to_owned()))
            .collect();
        until_stopped(client, waits).await?;
        let set_type = async |kind: &str| {
            let value = AttributeValue::builder().value(kind).build();
            each(outdated.iter().copied(), |id| {
                let value = value.clone();
                async move {
                    let call = || {
                        let call = client.ec2.modify_instance_attribute().instance_id(id);
                        call.instance_type(value.clone()).send()
                    };
                    client
                        .send(Action::ModifyInstanceAttribute, call)
                        .await
                        .map(drop)
                }
            })
            .await
        };
        let start = async || {
            let call = || {
                let call = client.ec2.start_instances();
                call.set_instance_ids(Some(starts.clone())).send()
            };
            match starts.is_empty() {
                true => Ok(()),
                false => client.send(Action::StartInstances, call).await.map(drop),
            }
        };
        let mut types = self.types.iter().flatten();
        if let Some(first) = types.next() {
            set_type(first).await?;
        }
        let mut started = start().await;
        // A call starts all of them or none: where there is no room, they have the next type.
        for kind in types {
            match &started {
                Err(error) if error.class == ErrorClass::Capacity && !outdated.is_empty() => {}
                Ok(()) | Err(_) => break,
            }
            set_type(kind).await?;
            started = start().await;
        }
        started
    }
}

/// Does something for each, a few at once.
async fn each<T, Fut>(
    items: impl IntoIterator<Item = T>,
    change: impl Fn(T) -> Fut,
) -> Result<(), ProviderError>
where
    Fut: Future<Output = Result<(), ProviderError>>,
{
    let changes: Vec<Fut> = items.into_iter().map(change).collect();
    stream::iter(changes)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Waits until machines are stopped; those that run were not seen to stop yet.
async fn until_stopped(client: &Client, mut waits: BTreeSet<String>) -> Result<(), ProviderError> {
    for look in 0..POLLS {
        if waits.is_empty() {
            return Ok(());
        }
        if look > 0 {
            tokio::time::sleep(POLL).await;
        }
        let which = Which::Ids(waits.iter().cloned().collect());
        for instance in observe::instances(client, &which).await? {
            let state = instance.state().and_then(|state| state.name());
            if let (Some(id), Some(InstanceStateName::Stopped)) = (instance.instance_id(), state) {
                waits.remove(id);
            }
        }
    }
    match waits.first() {
        None => Ok(()),
        Some(id) => {
            let message = format!("machine {id} does not stop");
            Err(ProviderError::new(ErrorClass::Unavailable, message))
        }
    }
}

async fn set_tags(client: &Client, ids: &[String], tags: &Labels) -> Result<(), ProviderError> {
    if tags.is_empty() {
        return Ok(());
    }
    let tags: Vec<Tag> = tags.iter().map(|(key, value)| tag(key, value)).collect();
    for ids in ids.chunks(TAG_BATCH) {
        let call = || {
            let call = client.ec2.create_tags();
            call.set_resources(Some(ids.to_vec()))
                .set_tags(Some(tags.clone()))
                .send()
        };
        client.send(Action::CreateTags, call).await?;
    }
    Ok(())
}

async fn remove_tags(
    client: &Client,
    ids: &[String],
    keys: &BTreeSet<String>,
) -> Result<(), ProviderError> {
    if keys.is_empty() {
        return Ok(());
    }
    // Without a value, the tag goes whatever its value is.
    let tags: Vec<Tag> = keys
        .iter()
        .map(|key| Tag::builder().key(key).build())
        .collect();
    for ids in ids.chunks(TAG_BATCH) {
        let call = || {
            let call = client.ec2.delete_tags();
            call.set_resources(Some(ids.to_vec()))
                .set_tags(Some(tags.clone()))
                .send()
        };
        client.send(Action::DeleteTags, call).await?;
    }
    Ok(())
}
