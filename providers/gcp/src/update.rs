//! Changes machines in place.
//!
//! Compute Engine replaces labels, tags and metadata as a whole, under the fingerprint of what
//! was read; where another was faster, they are read and changed again. Labels come last: a
//! machine that says to be up to date is.

mod changes;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use google_cloud_compute_v1::Error;
use google_cloud_compute_v1::model::{
    Instance, InstancesSetLabelsRequest, InstancesSetMachineTypeRequest, Metadata, Operation, Tags,
    instance::Status,
};
use meshvm_provider_api::{ErrorClass, MachineId, ProviderError, Update};

use crate::attributes::last;
use crate::client::Client;
use crate::create::is_for_want_of_room;
use crate::firewall::{Owner, Rules};
use crate::launch::item;
use crate::machine;
use crate::observe::{self, Which};
use crate::operations;
use crate::policy::Action;
use changes::Changes;

/// How many machines are changed at the same time.
const AT_ONCE: usize = 16;
/// How often something is read and changed again because another was faster.
const ROUNDS: u32 = 10;

/// Changes machines; safe to repeat.
///
/// # Errors
/// `NotFound` when one is gone, before any is changed; `Invalid` when an attribute does not change
/// in place.
pub(crate) async fn machines(
    client: &Client,
    firewalls: &Rules,
    update: &Update,
) -> Result<(), ProviderError> {
    if update.machines.is_empty() {
        return Ok(());
    }
    let instances = observe::instances(client, &Which::machines(&update.machines)).await?;
    let found: BTreeSet<String> = instances
        .iter()
        .map(|it| it.id.unwrap_or_default().to_string())
        .collect();
    if let Some(gone) = update.machines.iter().find(|id| !found.contains(&id.0)) {
        let message = format!("machine {gone} does not exist");
        return Err(ProviderError::new(ErrorClass::NotFound, message));
    }
    let changes = Changes::of(update)?;
    if let (Some(asked), Some(first)) = (&changes.firewall, instances.first())
        && let (Some(rule), Some(owner)) = (&asked.firewall, owner(update, first))
    {
        firewalls.ensure(client, owner, asked, &rule.owned).await?;
    }
    if changes.has_tags() {
        settle(client, &instances, What::Tags(&changes, update)).await?;
    }
    settle(client, &instances, What::Metadata(&changes)).await?;
    if let Some(is_protected) = changes.protection {
        let others = instances.iter();
        let others = others.filter(|it| it.deletion_protection.unwrap_or_default() != is_protected);
        protection(client, others, is_protected).await?;
    }
    restart(client, &instances, changes.types.as_deref(), update.start).await?;
    settle(client, &instances, What::Labels(&changes)).await
}

/// Something that is replaced as a whole under a fingerprint.
#[derive(Clone, Copy)]
enum What<'a> {
    Tags(&'a Changes, &'a Update),
    Metadata(&'a Changes),
    Labels(&'a Changes),
}

/// Returns whose a machine is, or will be: one that is adopted gets its labels with this change.
fn owner<'a>(update: &'a Update, instance: &'a Instance) -> Option<Owner<'a>> {
    let set = Owner::of(|key| update.set_labels.get(key));
    set.or_else(|| Owner::of(|key| instance.labels.get(key)))
}

/// Changes something on all machines that need it; again where another was faster.
async fn settle(
    client: &Client,
    instances: &[Instance],
    what: What<'_>,
) -> Result<(), ProviderError> {
    let mut left: Vec<Instance> = instances.to_vec();
    for _ in 0..ROUNDS {
        let changes = left.iter().map(|instance| async move {
            match replace(client, instance, what).await {
                Err(error) if error.class == ErrorClass::Conflict => Ok(Err(instance)),
                answer => answer.map(Ok),
            }
        });
        let changes: Vec<_> = changes.collect();
        let answers: Vec<Result<_, &Instance>> = stream::iter(changes)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let mut started = Vec::new();
        let mut stale = Vec::new();
        for answer in answers {
            match answer {
                Ok(operation) => started.extend(operation),
                Err(instance) => stale.push(instance.clone()),
            }
        }
        operations::all(client, started).await?;
        if stale.is_empty() {
            return Ok(());
        }
        let again = stale.into_iter().map(|it| {
            let id = it.id.unwrap_or_default().to_string();
            get(client, machine::zone(&it).to_owned(), id)
        });
        let again: Vec<_> = again.collect();
        let again: Vec<Option<Instance>> = stream::iter(again)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        left = again.into_iter().flatten().collect();
    }
    let message = "others change the same machines all the time";
    Err(ProviderError::new(ErrorClass::Conflict, message))
}

/// Begins to replace something on one machine; nothing is sent when it is as it should be.
async fn replace(
    client: &Client,
    instance: &Instance,
    what: What<'_>,
) -> Result<Option<(String, Operation)>, ProviderError> {
    let apis = &client.apis;
    let zone = machine::zone(instance);
    let id = instance.id.unwrap_or_default().to_string();
    let operation = match what {
        What::Tags(changes, update) => {
            let before = instance.tags.clone().unwrap_or_default();
            let own = owner(update, instance).map(Owner::rule);
            let tags: BTreeSet<String> = before.items.iter().cloned().collect();
            let wanted = changes.tags(&tags, own.as_deref());
            if wanted == tags {
                return Ok(None);
            }
            let body = Tags::new()
                .set_items(wanted)
                .set_or_clear_fingerprint(before.fingerprint);
            change(client, Action::SetTags, || {
                let call = apis.instances.set_tags().set_project(&apis.project);
                call.set_zone(zone)
                    .set_instance(&id)
                    .set_body(body.clone())
                    .send()
            })
            .await?
        }
        What::Metadata(changes) => {
            let before = machine::items(instance);
            let after = changes.metadata(&before);
            if before == after {
                return Ok(None);
            }
            let fingerprint = instance
                .metadata
                .as_ref()
                .and_then(|it| it.fingerprint.clone());
            let items = after.into_iter().map(|(key, value)| item(key, value));
            let body = Metadata::new()
                .set_items(items)
                .set_or_clear_fingerprint(fingerprint);
            change(client, Action::SetMetadata, || {
                let call = apis.instances.set_metadata().set_project(&apis.project);
                call.set_zone(zone)
                    .set_instance(&id)
                    .set_body(body.clone())
                    .send()
            })
            .await?
        }
        What::Labels(changes) => {
            let before: BTreeMap<_, _> = instance.labels.clone().into_iter().collect();
            let after = changes.labels(&before);
            if before == after {
                return Ok(None);
            }
            let body = InstancesSetLabelsRequest::new()
                .set_labels(after)
                .set_or_clear_label_fingerprint(instance.label_fingerprint.clone());
            change(client, Action::SetLabels, || {
                let call = apis.instances.set_labels().set_project(&apis.project);
                call.set_zone(zone)
                    .set_instance(&id)
                    .set_body(body.clone())
                    .send()
            })
            .await?
        }
    };
    Ok(Some((zone.to_owned(), operation)))
}

/// Sends a change to a machine that was just seen: where it is not found, it is not gone, but new.
async fn change<F, Fut>(
    client: &Client,
    action: Action,
    call: F,
) -> Result<Operation, ProviderError>
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<Operation, Error>> + Send,
{
    let answer = client.send(action, call).await;
    answer.map_err(|error| match error.class {
        ErrorClass::NotFound => ProviderError {
            class: ErrorClass::Unavailable,
            ..error
        },
        _ => error,
    })
}

/// Changes types, which only stopped machines take, and starts what shall run.
async fn restart(
    client: &Client,
    instances: &[Instance],
    types: Option<&[String]>,
    start: bool,
) -> Result<(), ProviderError> {
    let is_outdated = |it: &&Instance| {
        let seen = it.machine_type.as_deref().map(last).unwrap_or_default();
        types.is_some_and(|types| types.iter().all(|wanted| wanted != seen))
    };
    use Status::{Stopped, Stopping, Suspended, Suspending, Terminated};
    let runs = |it: &&Instance| {
        let ended = [Stopping, Stopped, Suspending, Suspended, Terminated];
        it.status
            .as_ref()
            .is_none_or(|status| !ended.contains(status))
    };
    let is_suspended = |it: &&Instance| it.status == Some(Suspended);
    let outdated: Vec<&Instance> = instances.iter().filter(is_outdated).collect();
    // What is suspended is neither stopped nor started: it goes on first.
    let resumed: Vec<&Instance> = instances
        .iter()
        .filter(|it| is_suspended(it) && (start || is_outdated(it)))
        .collect();
    let stops: Vec<&Instance> = outdated
        .iter()
        .copied()
        .filter(|it| runs(it) || is_suspended(it))
        .collect();
    let starts: Vec<&Instance> = match start {
        true => instances
            .iter()
            .filter(|it| is_outdated(it) || !(runs(it) || is_suspended(it)))
            .collect(),
        false => outdated.iter().copied().filter(|it| runs(it)).collect(),
    };
    let apis = &client.apis;
    each(client, &resumed, Action::ResumeInstance, |zone, id| {
        let call = apis.instances.resume().set_project(&apis.project);
        call.set_zone(zone).set_instance(id).send()
    })
    .await?;
    each(client, &stops, Action::StopInstance, |zone, id| {
        let call = apis.instances.stop().set_project(&apis.project);
        call.set_zone(zone).set_instance(id).send()
    })
    .await?;
    let set_type = async |instances: &[&Instance], kind: &str| {
        each(client, instances, Action::SetMachineType, |zone, id| {
            let address = format!("zones/{zone}/machineTypes/{kind}");
            let body = InstancesSetMachineTypeRequest::new().set_machine_type(address);
            let call = apis.instances.set_machine_type().set_project(&apis.project);
            call.set_zone(zone).set_instance(id).set_body(body).send()
        })
        .await
    };
    let start_all = async |instances: &[&Instance]| {
        each(client, instances, Action::StartInstance, |zone, id| {
            let call = apis.instances.start().set_project(&apis.project);
            call.set_zone(zone).set_instance(id).send()
        })
        .await
    };
    let mut types = types.into_iter().flatten();
    if let Some(first) = types.next() {
        set_type(&outdated, first).await?;
    }
    let mut started = start_all(&starts).await;
    // Those of another type that there is no room for have the next one.
    for kind in types {
        match &started {
            Err(error) if is_for_want_of_room(error) && !outdated.is_empty() => {}
            Ok(()) | Err(_) => break,
        }
        let ids = outdated.iter().map(|it| it.id.unwrap_or_default());
        let ids: Vec<MachineId> = ids.map(|id| MachineId(id.to_string())).collect();
        let now = observe::instances(client, &Which::machines(&ids)).await?;
        let down: Vec<&Instance> = now.iter().filter(|it| !runs(it)).collect();
        set_type(&down, kind).await?;
        started = start_all(&down).await;
    }
    started
}

/// Changes whether machines may be deleted.
pub(crate) async fn protection<'a>(
    client: &Client,
    instances: impl Iterator<Item = &'a Instance>,
    is_protected: bool,
) -> Result<(), ProviderError> {
    let apis = &client.apis;
    let instances: Vec<&Instance> = instances.collect();
    each(
        client,
        &instances,
        Action::SetDeletionProtection,
        |zone, id| {
            let call = apis.instances.set_deletion_protection();
            call.set_project(&apis.project)
                .set_zone(zone)
                .set_resource(id)
                .set_deletion_protection(is_protected)
                .send()
        },
    )
    .await
}

/// Does something to each, some at once, and waits until all of it is done.
async fn each<Fut>(
    client: &Client,
    instances: &[&Instance],
    action: Action,
    call: impl Fn(String, String) -> Fut + Send + Sync,
) -> Result<(), ProviderError>
where
    Fut: Future<Output = Result<Operation, Error>> + Send,
{
    let call = &call;
    let changes: Vec<_> = instances
        .iter()
        .map(|instance| {
            let zone = machine::zone(instance).to_owned();
            let id = instance.id.unwrap_or_default().to_string();
            async move {
                let operation = change(client, action, || call(zone.clone(), id.clone())).await?;
                Ok::<_, ProviderError>((zone, operation))
            }
        })
        .collect();
    let answers: Vec<_> = stream::iter(changes)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (started, failed) = operations::sorted(answers);
    operations::all(client, started).await?;
    failed.map_or(Ok(()), Err)
}

/// Looks at one machine, by name or id; `None` when it does not exist.
pub(crate) async fn get(
    client: &Client,
    zone: String,
    name: String,
) -> Result<Option<Instance>, ProviderError> {
    let apis = &client.apis;
    let call = || {
        let call = apis.instances.get().set_project(&apis.project);
        call.set_zone(&zone).set_instance(&name).send()
    };
    match client.send(Action::GetInstance, call).await {
        Ok(instance) => Ok(Some(instance)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
