//! Waits for what Azure goes on with after it answered.
//!
//! An answer may say where to look at the operation, where to look for its result, or nothing but
//! the state of the resource; they are followed in this order
//! (<https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations>).

use std::time::Duration;

use meshvm_provider_api::{ErrorClass, ProviderError};
use serde_json::Value;
use tokio::time::Instant;

use crate::client::{Answer, Call, Client};
use crate::error;
use crate::policy::Action;

/// How long to wait between two looks where the answer does not say.
const POLL: Duration = Duration::from_secs(5);
/// How long an operation may take; machines of Windows may need half of it.
const PATIENCE: Duration = Duration::from_secs(1800);
/// How many looks in a row may fail for a reason that passes.
const FAILURES: u32 = 5;

/// What is known of an operation.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// It ended well.
    Done,
    /// It goes on.
    Pending,
    /// It failed, with a code and what was said.
    Failed(String, String),
}

/// Waits until what a call began has ended.
///
/// `resource` is where to look at the resource itself, where nothing else is said.
///
/// # Errors
/// That of the operation, by its own code; `Unavailable` when it does not end.
pub(crate) async fn ended(
    client: &Client,
    action: Action,
    answer: &Answer,
    resource: Option<&Call>,
) -> Result<(), ProviderError> {
    let way = Way::of(answer, resource);
    let Some((mut way, mut call)) = way.map(|way| (way.kind(), way.call(action))) else {
        return match state_of_resource(&answer.body) {
            State::Done | State::Pending => Ok(()),
            State::Failed(code, said) => Err(error::of_code(action, &code, &said, 200)),
        };
    };
    let begun = Instant::now();
    let mut wait = answer.retry_after.unwrap_or(POLL);
    let mut failures = 0;
    while begun.elapsed() < PATIENCE {
        tokio::time::sleep(wait).await;
        let look = match client.send(&call).await {
            Ok(look) => look,
            Err(error) if error.class.is_transient() && failures < FAILURES => {
                failures += 1;
                continue;
            }
            // Who cannot see the operation goes by what it is about.
            Err(error) if is_unseen(&error) && !matches!(way, Kind::Resource) => {
                let Some(resource) = resource else {
                    return Err(as_of(action, error));
                };
                (way, call) = (Kind::Resource, resource.clone());
                continue;
            }
            Err(error) => return Err(as_of(action, error)),
        };
        failures = 0;
        wait = look.retry_after.unwrap_or(wait);
        let state = match way {
            Kind::Operation => state_of_operation(&look.body),
            Kind::Location if look.status == 202 => State::Pending,
            Kind::Location => State::Done,
            Kind::Resource => state_of_resource(&look.body),
        };
        match state {
            State::Done => return Ok(()),
            State::Pending => {}
            State::Failed(code, said) => return Err(error::of_code(action, &code, &said, 200)),
        }
    }
    let message = format!("{}: it does not end", action.as_str());
    Err(ProviderError::new(ErrorClass::Unavailable, message))
}

/// Returns whether an answer says only that something is not to be seen.
pub(crate) fn is_unseen(error: &ProviderError) -> bool {
    matches!(
        error.class,
        ErrorClass::NotFound | ErrorClass::PermissionDenied
    )
}

/// Where to look.
enum Way<'a> {
    Operation(&'a str),
    Location(&'a str),
    Resource(&'a Call),
}

#[derive(Clone, Copy)]
enum Kind {
    Operation,
    Location,
    Resource,
}

impl<'a> Way<'a> {
    fn of(answer: &'a Answer, resource: Option<&'a Call>) -> Option<Self> {
        if let Some(address) = &answer.operation {
            return Some(Self::Operation(address));
        }
        if answer.status == 202
            && let Some(address) = &answer.location
        {
            return Some(Self::Location(address));
        }
        let is_pending = state_of_resource(&answer.body) == State::Pending;
        resource.filter(|_| is_pending).map(Self::Resource)
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Operation(_) => Kind::Operation,
            Self::Location(_) => Kind::Location,
            Self::Resource(_) => Kind::Resource,
        }
    }

    fn call(&self, action: Action) -> Call {
        match self {
            Self::Operation(address) | Self::Location(address) => {
                Call::get(looking_at(action), *address)
            }
            Self::Resource(call) => (*call).clone(),
        }
    }
}

/// Returns what looking at an operation of a call is called.
fn looking_at(action: Action) -> Action {
    match action.right().split('/').next() {
        Some("Microsoft.Network") => Action::GetNetworkOperation,
        Some("Microsoft.Resources") => Action::GetGroupOperation,
        Some(_) | None => Action::GetComputeOperation,
    }
}

/// Says of an error at a look what it means for the call that began it.
fn as_of(action: Action, error: ProviderError) -> ProviderError {
    let message = format!("{}: {}", action.as_str(), error.message);
    ProviderError { message, ..error }
}

fn state_of_operation(body: &Value) -> State {
    let status = body.get("status").and_then(Value::as_str);
    state(status.unwrap_or_default(), body)
}

fn state_of_resource(body: &Value) -> State {
    let status = body
        .get("properties")
        .and_then(|it| it.get("provisioningState"))
        .and_then(Value::as_str);
    match status {
        Some(status) => match state(status, body) {
            State::Failed(code, said) => why_failed(body).unwrap_or(State::Failed(code, said)),
            other => other,
        },
        // What has no such state is made at once.
        None => State::Done,
    }
}

/// Reads why a machine failed, which its statuses tell behind its state
/// (<https://learn.microsoft.com/azure/virtual-machines/states-billing>).
fn why_failed(body: &Value) -> Option<State> {
    let statuses = body.pointer("/properties/instanceView/statuses")?;
    statuses.as_array()?.iter().find_map(|status| {
        let code = status.get("code")?.as_str()?;
        let code = code.strip_prefix("ProvisioningState/failed/")?;
        let said = status.get("message").and_then(Value::as_str);
        let said = said.unwrap_or_default().to_owned();
        Some(State::Failed(code.to_owned(), said))
    })
}

fn state(status: &str, body: &Value) -> State {
    match status.to_ascii_lowercase().as_str() {
        "succeeded" => State::Done,
        "failed" | "canceled" | "cancelled" => {
            let (code, said) = error::code_and_message(body);
            let code = match code.as_str() {
                "" => status.to_owned(),
                _ => code,
            };
            State::Failed(code, said)
        }
        _ => State::Pending,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, operation: Option<&str>, location: Option<&str>, body: Value) -> Answer {
        Answer {
            status,
            body,
            operation: operation.map(str::to_owned),
            location: location.map(str::to_owned),
            retry_after: None,
        }
    }

    #[test]
    fn the_operation_goes_before_the_location_and_that_before_the_state() {
        let resource = Call::get(Action::GetMachine, "/x");
        let creating = json!({"properties": {"provisioningState": "Creating"}});
        let kind = |answer: &Answer| Way::of(answer, Some(&resource)).map(|way| way.kind());
        let both = answer(202, Some("a"), Some("b"), creating.clone());
        assert!(matches!(kind(&both), Some(Kind::Operation)));
        let location = answer(202, None, Some("b"), creating.clone());
        assert!(matches!(kind(&location), Some(Kind::Location)));
        let state = answer(201, None, Some("b"), creating);
        assert!(matches!(kind(&state), Some(Kind::Resource)));
        let done = json!({"properties": {"provisioningState": "Succeeded"}});
        assert!(kind(&answer(200, None, None, done)).is_none());
    }

    #[test]
    fn a_failed_operation_says_why() {
        let body =
            json!({"status": "Failed", "error": {"code": "AllocationFailed", "message": "No."}});
        let failed = State::Failed("AllocationFailed".to_owned(), "No.".to_owned());
        assert_eq!(state_of_operation(&body), failed);
        assert_eq!(
            state_of_operation(&json!({"status": "InProgress"})),
            State::Pending
        );
        let statuses =
            json!([{"code": "ProvisioningState/failed/SkuNotAvailable", "message": "No."}]);
        let body = json!({"properties": {
            "provisioningState": "Failed", "instanceView": {"statuses": statuses},
        }});
        let failed = State::Failed("SkuNotAvailable".to_owned(), "No.".to_owned());
        assert_eq!(state_of_resource(&body), failed);
        let canceled = State::Failed("Canceled".to_owned(), String::new());
        assert_eq!(state_of_operation(&json!({"status": "Canceled"})), canceled);
    }
}
