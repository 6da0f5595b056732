//! Makes a batch of machines under its key.
//!
//! A batch is one `bulkInsert` with named machines, and further ones only where there was no
//! room. Names and request ids follow from the batch's key and the attempt's number: a repeated
//! batch repeats the same calls, and Compute Engine answers with the operation that it began.
//! Once it has forgotten the request id, the names are taken, and nothing is made twice either.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use google_cloud_compute_v1::model::{Instance, Operation};
use meshvm_provider_api::{
    Batch, Created, ErrorClass, Hash, Machine, ProviderError, Shortfall, labels,
};

use crate::attributes::{DELETION_PROTECTION, FIREWALL};
use crate::client::Client;
use crate::error;
use crate::kept;
use crate::launch;
use crate::machine;
use crate::observe::{self, Which};
use crate::operations;
use crate::policy::Action;
use crate::recipe::Recipe;
use crate::update;

/// How often a request is sent whose operation fails inside the cloud, each time as a new one.
const TRIES: u32 = 3;
/// How many machines are looked at together that a listing does not show yet.
const AT_ONCE: usize = 8;

/// Makes a batch; safe to repeat.
///
/// # Errors
/// `Conflict` when the key made something else; else those of the calls, once nothing was made.
pub(crate) async fn batch(client: &Client, batch: &Batch) -> Result<Created, ProviderError> {
    let recipe = Recipe::of(&batch.template)?;
    let found = recipe.found()?;
    if !found.zones.contains(&batch.zone) {
        let message = format!("`{}` is none of the fleet's zones", batch.zone);
        return Err(ProviderError::new(ErrorClass::Invalid, message));
    }
    let request = request_hash(batch)?;
    let mut missing = launch::names(batch);
    // What is listed may be less than there is, never more.
    let which = Which::Labelled(labels::BATCH, batch.key.to_string());
    let mut made = Made::default();
    made.add(observe::instances(client, &which).await?, &request)?;
    made.take_from(&mut missing);
    let mut refused = None;
    let attempts = launch::attempts(&recipe, found, batch);
    for (number, (place, machine_type)) in attempts.into_iter().enumerate() {
        for again in 0..TRIES {
            if missing.is_empty() {
                break;
            }
            let body = launch::request(
                &recipe,
                found,
                batch,
                place,
                machine_type,
                &missing,
                &request,
            );
            let id = launch::request_id(batch.key, number, again);
            let apis = &client.apis;
            let call = || {
                let call = apis.instances.bulk_insert().set_project(&apis.project);
                call.set_zone(place.zone)
                    .set_request_id(&id)
                    .set_body(body.clone())
                    .send()
            };
            let answer = match client.send(Action::BulkInsert, call).await {
                Ok(operation) => operations::done(client, place.zone, operation).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(operation) => {
                    refused = short_of(&operation, machine_type, place.zone);
                    let now = look(client, &which, place.zone, &missing, &operation).await?;
                    made.add(now, &request)?;
                    made.take_from(&mut missing);
                }
                Err(error) if error.class.is_transient() => return Err(error),
                Err(error) => refused = Some(error),
            }
            let has_passed = refused.as_ref().is_none_or(|it| !it.class.is_transient());
            if has_passed {
                break;
            }
        }
        if missing.is_empty() {
            break;
        }
        if refused
            .as_ref()
            .is_some_and(|error| !is_for_want_of_room(error))
        {
            break;
        }
    }
    protect(client, &recipe, &made).await?;
    match refused {
        Some(error) if made.0.is_empty() => Err(error),
        refused => Ok(answer(batch, &made, refused)),
    }
}

/// The machines of a batch that exist, by name.
#[derive(Default)]
struct Made(BTreeMap<String, Instance>);

impl Made {
    /// Adds what was seen.
    ///
    /// # Errors
    /// `Conflict` when another request made one of them.
    fn add(&mut self, seen: Vec<Instance>, request: &str) -> Result<(), ProviderError> {
        for instance in seen {
            let name = instance.name.clone().unwrap_or_default();
            if instance.labels.get(kept::REQUEST).map(String::as_str) != Some(request) {
                let message = format!("the key of this batch made {name} from another request");
                return Err(ProviderError::new(ErrorClass::Conflict, message));
            }
            self.0.insert(name, instance);
        }
        Ok(())
    }

    fn take_from(&self, names: &mut Vec<String>) {
        names.retain(|name| !self.0.contains_key(name));
    }
}

/// Returns the hash of a request, which every machine that it makes carries.
fn request_hash(batch: &Batch) -> Result<String, ProviderError> {
    let text = serde_json::to_string(batch).map_err(|error| {
        let message = "the request cannot be written down";
        ProviderError::new(ErrorClass::Invalid, message).with_source(error)
    })?;
    Ok(Hash::of(text).to_string())
}

/// Returns why an operation made fewer than it was to; that names are taken is none, as what has
/// them is looked at.
fn short_of(operation: &Operation, machine_type: &str, zone: &str) -> Option<ProviderError> {
    let mut errors: Vec<ProviderError> = error::failures(operation).collect();
    errors.retain(|error| !error::is(error, &error::EXISTS));
    // The others follow from the first of these.
    let room = errors.iter().position(is_for_want_of_room);
    if !errors.is_empty() {
        return Some(errors.swap_remove(room.unwrap_or_default()));
    }
    let metadata = operation
        .instances_bulk_insert_operation_metadata
        .as_ref()?;
    let places = metadata.per_location_status.values();
    let failed: i32 = places.filter_map(|it| it.failed_to_create_vm_count).sum();
    let is_silent = failed > 0 && operation.error.is_none();
    is_silent.then(|| {
        let message = format!("{failed} {machine_type} were not made in {zone}");
        ProviderError::new(ErrorClass::Capacity, message)
    })
}

/// Returns whether another type or zone may have the room that this one lacks.
pub(crate) fn is_for_want_of_room(error: &ProviderError) -> bool {
    matches!(error.class, ErrorClass::Capacity | ErrorClass::Quota)
}

/// Returns the machines of these names that an operation made.
///
/// A listing tells it in one call; those that it does not show yet are looked at themselves.
async fn look(
    client: &Client,
    which: &Which,
    zone: &str,
    names: &[String],
    operation: &Operation,
) -> Result<Vec<Instance>, ProviderError> {
    let mut found = observe::instances(client, which).await?;
    let seen: BTreeSet<&str> = found.iter().filter_map(|it| it.name.as_deref()).collect();
    let hidden: Vec<String> = names
        .iter()
        .filter(|name| !seen.contains(name.as_str()))
        .cloned()
        .collect();
    let metadata = operation.instances_bulk_insert_operation_metadata.as_ref();
    let places = metadata
        .iter()
        .flat_map(|it| it.per_location_status.values());
    let created: i32 = places.filter_map(|it| it.created_vm_count).sum();
    let is_taken = error::failures(operation).any(|error| error::is(&error, &error::EXISTS));
    let shown = i32::try_from(names.len() - hidden.len()).unwrap_or(i32::MAX);
    if shown >= created && !is_taken {
        return Ok(found);
    }
    let looks = hidden
        .into_iter()
        .map(|name| update::get(client, zone.to_owned(), name));
    let late: Vec<Option<Instance>> = stream::iter(looks)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    found.extend(late.into_iter().flatten());
    Ok(found)
}

/// Protects what was made, where the file asks for it: `bulkInsert` has no field for that.
async fn protect(client: &Client, recipe: &Recipe, made: &Made) -> Result<(), ProviderError> {
    if !recipe.asked.deletion_protection {
        return Ok(());
    }
    let unprotected = made
        .0
        .values()
        .filter(|it| it.deletion_protection != Some(true));
    update::protection(client, unprotected, true).await
}

fn answer(batch: &Batch, made: &Made, refused: Option<ProviderError>) -> Created {
    let mut machines: Vec<Machine> = made.0.values().filter_map(machine::of).collect();
    // Both were just set, beside the machines themselves.
    for attribute in [DELETION_PROTECTION, FIREWALL] {
        let Some(value) = batch.template.attributes.get(attribute) else {
            continue;
        };
        for machine in &mut machines {
            let attribute = attribute.to_owned();
            machine.attributes.insert(attribute, value.clone());
        }
    }
    let is_short = machines.len() < usize::try_from(batch.count).unwrap_or(usize::MAX);
    let shortfall = is_short.then(|| match refused {
        Some(error) => Shortfall {
            class: error.class,
            message: error.message,
        },
        None => Shortfall {
            class: ErrorClass::NotFound,
            message: "the others that the batch made are gone".to_owned(),
        },
    });
    Created {
        machines,
        shortfall,
    }
}
