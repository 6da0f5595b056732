//! Waits for operations, and asks each for its real result.

use std::collections::{BTreeMap, BTreeSet};

use google_cloud_compute_v1::model::{Operation, OperationList, operation::Status};
use meshvm_provider_api::{ErrorClass, ProviderError};

use crate::client::Client;
use crate::error;
use crate::policy::Action;

/// How many operations one listing asks for: their names share one address line.
const AT_ONCE: usize = 50;
/// How many rounds many operations may take, each of them a wait of up to two minutes.
const ROUNDS: u32 = 120;
/// How often one operation is waited for, up to two minutes each.
const WAITS: u32 = 60;

/// Returns what was begun, and the first refusal: one that is refused ends none of the others.
pub(crate) fn sorted<T>(answers: Vec<Result<T, ProviderError>>) -> (Vec<T>, Option<ProviderError>) {
    let (begun, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let begun = begun.into_iter().flatten().collect();
    (begun, refused.into_iter().find_map(Result::err))
}

/// Waits until an operation is done, and returns it whatever its result is.
///
/// # Errors
/// Those of the calls, and `Unavailable` when it does not end.
pub(crate) async fn done(
    client: &Client,
    zone: &str,
    mut operation: Operation,
) -> Result<Operation, ProviderError> {
    for _ in 0..WAITS {
        if operation.status == Some(Status::Done) {
            return Ok(operation);
        }
        let name = operation.name.clone().unwrap_or_default();
        operation = wait(client, zone, &name).await?;
    }
    Err(endless(&operation.name.unwrap_or_default()))
}

/// Waits until operations of machines are done, and returns the first error, once all are.
///
/// # Errors
/// That of the first that failed; those of the calls.
pub(crate) async fn all(
    client: &Client,
    started: Vec<(String, Operation)>,
) -> Result<(), ProviderError> {
    if let [(zone, operation)] = started.as_slice() {
        let done = done(client, zone, operation.clone()).await?;
        return error::result(done).map(drop);
    }
    let mut failed = None;
    let mut waits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (zone, operation) in started {
        match settled(operation, &mut failed) {
            None => {}
            Some(name) => waits.entry(zone).or_default().push(name),
        }
    }
    for _ in 0..ROUNDS {
        waits.retain(|_, names| !names.is_empty());
        let Some((zone, names)) = waits.iter_mut().next() else {
            return failed.map_or(Ok(()), Err);
        };
        // The cloud answers when one of them is done: where it began last, most others are too.
        if let Some(last) = names.pop() {
            let waited = wait(client, zone, &last).await?;
            names.extend(settled(waited, &mut failed));
        }
        for (zone, names) in &mut waits {
            let mut left = Vec::new();
            for some in names.chunks(AT_ONCE) {
                // What is not listed yet may be going on.
                let mut hidden = BTreeSet::from_iter(some);
                for operation in list(client, zone, some).await? {
                    let name = operation.name.clone().unwrap_or_default();
                    hidden.remove(&name);
                    left.extend(settled(operation, &mut failed));
                }
                left.extend(hidden.into_iter().cloned());
            }
            *names = left;
        }
    }
    let first = waits.into_values().flatten().next();
    Err(endless(&first.unwrap_or_default()))
}

/// Waits for one operation; it may not be done when the cloud has waited long enough.
async fn wait(client: &Client, zone: &str, name: &str) -> Result<Operation, ProviderError> {
    let apis = &client.apis;
    let call = || {
        let call = apis.operations.wait().set_project(&apis.project);
        call.set_zone(zone).set_operation(name).send()
    };
    client.send(Action::WaitOperation, call).await
}

/// Returns the name of an operation that is not done; keeps the error of one that failed.
fn settled(operation: Operation, failed: &mut Option<ProviderError>) -> Option<String> {
    if operation.status != Some(Status::Done) {
        return operation.name;
    }
    if let Err(error) = error::result(operation)
        && failed.is_none()
    {
        *failed = Some(error);
    }
    None
}

async fn list(
    client: &Client,
    zone: &str,
    names: &[String],
) -> Result<Vec<Operation>, ProviderError> {
    let names = names.iter().map(|name| format!("(name = \"{name}\")"));
    let filter = names.collect::<Vec<_>>().join(" OR ");
    let apis = &client.apis;
    let call = |next| {
        let call = apis.operations.list().set_project(&apis.project);
        call.set_zone(zone)
            .set_filter(&filter)
            .set_max_results(AT_ONCE as u32)
            .set_page_token::<String>(next)
            .send()
    };
    let take = |page: OperationList| Ok((page.items, page.next_page_token));
    client.pages(Action::ListOperations, call, take).await
}

fn endless(name: &str) -> ProviderError {
    let message = format!("operation {name} does not end");
    ProviderError::new(ErrorClass::Unavailable, message)
}
