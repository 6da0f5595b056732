//! Makes a batch of machines under its key.
//!
//! A batch is one `RunInstances` call with a count, and further ones only where there was no
//! room. Each has a client token that follows from the batch's key and the attempt's number, so
//! that a repeated batch repeats the same calls, and EC2 answers with what they made. Beyond the
//! day or so that EC2 remembers tokens for, the labels of what exists tell.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Instance;
use meshvm_provider_api::{
    Batch, Created, ErrorClass, Hash, Machine, ProviderError, Shortfall, labels,
};

use crate::client::Client;
use crate::error;
use crate::group::{self, Owner};
use crate::launch::{self, Attempt};
use crate::machine;
use crate::observe::{self, Which};
use crate::policy::Action;
use crate::recipe::Recipe;
use crate::tags;

/// Makes a batch; safe to repeat.
///
/// # Errors
/// `Conflict` when the key made something else; else those of the calls, once nothing was made.
pub(crate) async fn batch(client: &Client, batch: &Batch) -> Result<Created, ProviderError> {
    let recipe = Recipe::of(&batch.template)?;
    let found = recipe.found()?;
    let attempts = launch::attempts(&recipe, found, batch);
    if !found.subnets.contains_key(&batch.zone) {
        let message = format!("there is no subnet in zone `{}`", batch.zone);
        return Err(ProviderError::new(ErrorClass::Invalid, message));
    }
    let request = request_hash(batch)?;
    let count = usize::try_from(batch.count).unwrap_or(usize::MAX);
    // What is listed may be less than there is, never more.
    let which = Which::tagged(labels::BATCH, &batch.key.to_string());
    let listed = observe::instances(client, &which).await?;
    is_of_request(&listed, &request)?;
    if listed.len() >= count {
        return Ok(answer(batch, [], listed, None));
    }
    let tags = launch::tags(&recipe, batch, &request);
    let group = own_group(client, &recipe, batch).await?;
    let own = group.as_deref();
    let mut made: Vec<Instance> = Vec::new();
    let mut refused = None;
    for attempt in &attempts {
        let missing = i32::try_from(count - made.len()).unwrap_or(i32::MAX);
        let input = launch::request(&recipe, found, batch, attempt, missing, &tags, own)?;
        let call = || input.clone().send_with(&client.ec2);
        match client.send(Action::RunInstances, call).await {
            Ok(reservation) => {
                let instances = reservation.instances.unwrap_or_default();
                if instances.len() < usize::try_from(missing).unwrap_or(usize::MAX) {
                    refused = Some(short_of(attempt, instances.len(), missing));
                }
                made.extend(instances);
            }
            Err(error) if error.class.is_transient() => return Err(error),
            // It was just made: not everybody knows of it yet.
            Err(error) if own.is_some() && error::is(&error, error::NO_GROUP) => {
                return Err(ProviderError {
                    class: ErrorClass::Unavailable,
                    ..error
                });
            }
            Err(error) if is_for_want_of_room(&error) => refused = Some(error),
            Err(error) if made.is_empty() => return Err(error),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
        if made.len() >= count {
            break;
        }
    }
    match refused {
        Some(error) if made.is_empty() && listed.is_empty() => Err(error),
        refused => Ok(answer(batch, made, listed, refused)),
    }
}

/// Makes sure that the fleet's own group is there, where the file asks for one.
async fn own_group(
    client: &Client,
    recipe: &Recipe,
    batch: &Batch,
) -> Result<Option<String>, ProviderError> {
    let Some(asked) = &recipe.asked.security_group else {
        return Ok(None);
    };
    let owner = Owner {
        stack: &batch.ownership.stack,
        fleet: &batch.ownership.fleet,
    };
    let vpc = recipe.found()?.vpc.as_deref().unwrap_or_default();
    let group = group::ensure(client, owner, vpc, &asked.owned);
    group.await.map(Some)
}

/// Returns the hash of a request, which every machine that it makes carries.
fn request_hash(batch: &Batch) -> Result<String, ProviderError> {
    let text = serde_json::to_string(batch).map_err(|error| {
        let message = "the request cannot be written down";
        ProviderError::new(ErrorClass::Invalid, message).with_source(error)
    })?;
    Ok(Hash::of(text).to_string())
}

/// Looks that what a key made was made by this request.
fn is_of_request(listed: &[Instance], request: &str) -> Result<(), ProviderError> {
    let other = listed.iter().find(|instance| {
        let labels = machine::labels(instance.tags());
        labels.get(tags::REQUEST).is_some_and(|by| by != request)
    });
    match other {
        None => Ok(()),
        Some(other) => {
            let id = other.instance_id().unwrap_or_default();
            let message = format!("the key of this batch made {id} from another request");
            Err(ProviderError::new(ErrorClass::Conflict, message))
        }
    }
}

/// Returns whether another type, subnet or zone may have the room that this one lacks.
fn is_for_want_of_room(error: &ProviderError) -> bool {
    error.class == ErrorClass::Capacity || error::is(error, error::UNSUPPORTED)
}

fn short_of(attempt: &Attempt, made: usize, wanted: i32) -> ProviderError {
    let Attempt {
        instance_type,
        subnet,
        number: _,
        label: _,
    } = attempt;
    let message = format!("there was room for {made} of {wanted} {instance_type} in {subnet}");
    ProviderError::new(ErrorClass::Capacity, message)
}

/// Returns what exists of a batch; a listing knows better than the answer to a repeated call.
fn answer(
    batch: &Batch,
    made: impl IntoIterator<Item = Instance>,
    listed: Vec<Instance>,
    refused: Option<ProviderError>,
) -> Created {
    let by_id = made.into_iter().chain(listed).filter_map(|instance| {
        let id = instance.instance_id()?.to_owned();
        Some((id, instance))
    });
    let by_id: BTreeMap<String, Instance> = by_id.collect();
    let machines: Vec<Machine> = by_id
        .values()
        .filter_map(|instance| machine::of(instance, &[].into()))
        .collect();
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
