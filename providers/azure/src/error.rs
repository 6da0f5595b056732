//! Puts what Azure answers in classes, with what to do about it. Pure.
//!
//! The codes are those of
//! <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors>
//! and <https://learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/error-messages>.

use std::time::Duration;

use azure_core::error::ErrorKind;
use meshvm_provider_api::{ErrorClass, ProviderError};
use serde_json::Value;

use crate::policy::Action;

/// The machine, or its version, is not what the request says it is.
pub(crate) const PRECONDITION: &str = "PreconditionFailed";

/// The resource group does not exist.
pub(crate) const NO_GROUP: &str = "ResourceGroupNotFound";

/// Returns whether an error is of a code.
pub(crate) fn is(error: &ProviderError, code: &str) -> bool {
    error.message.split(": ").nth(1) == Some(code)
}

/// Makes a provider's error of one that kept an answer away.
pub(crate) fn of(action: Action, error: azure_core::Error) -> ProviderError {
    // A call that only reads may be sent again whatever became of it.
    let lost = match action.is_reading() {
        true => ErrorClass::Unavailable,
        false => ErrorClass::ReplyLost,
    };
    let name = action.as_str();
    match error.kind() {
        // A token could not be fetched: the call itself was not sent.
        ErrorKind::Credential if is_out_of_reach(&error) => {
            let message = format!("{name}: no answer from those who give out tokens");
            ProviderError::new(ErrorClass::Unavailable, message).with_source(error)
        }
        ErrorKind::Connection => {
            let message = format!("{name}: no connection");
            ProviderError::new(ErrorClass::Unavailable, message).with_source(error)
        }
        ErrorKind::Credential => {
            let message = format!("{name}: there are no credentials");
            ProviderError::new(ErrorClass::Environment, message)
                .with_hint("run `meshvm doctor`: it names the credentials in use")
                .with_source(error)
        }
        ErrorKind::Io => ProviderError::new(lost, format!("{name}: no answer")).with_source(error),
        ErrorKind::DataConversion => {
            let message = format!("{name}: the request could not be made");
            ProviderError::new(ErrorClass::Invalid, message).with_source(error)
        }
        // Whether anything was sent is not known of the others, nor of those that a newer version
        // of the library tells apart.
        _ => ProviderError::new(lost, format!("{name} failed")).with_source(error),
    }
}

/// Returns whether an error comes of a host that does not answer.
fn is_out_of_reach(error: &azure_core::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(inner) = error.downcast_ref::<azure_core::Error>()
            && matches!(inner.kind(), ErrorKind::Io | ErrorKind::Connection)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Makes an error of an answer that says that the call failed.
pub(crate) fn of_answer(
    action: Action,
    status: u16,
    body: &Value,
    retry_after: Option<Duration>,
) -> ProviderError {
    let (code, said) = code_and_message(body);
    let mut error = of_code(action, &code, &said, status);
    error.retry_after = retry_after;
    error
}

/// Makes an error of the code that an answer or an operation ended with.
pub(crate) fn of_code(action: Action, code: &str, said: &str, status: u16) -> ProviderError {
    let class = class_of(code, said, status);
    let said = match said {
        "" => "no reason was given",
        said => said,
    };
    let message = match code {
        "" => format!("{}: status {status}: {said}", action.as_str()),
        code => format!("{}: {code}: {said}", action.as_str()),
    };
    let made = ProviderError::new(class, message);
    match hint_of(code, class) {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// Returns what an error says: the innermost code, since the outer one of an operation may be no
/// more than that it failed.
pub(crate) fn code_and_message(body: &Value) -> (String, String) {
    let error = body.get("error").unwrap_or(body);
    let text = |value: &Value, name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let (mut code, mut message) = (text(error, "code"), text(error, "message"));
    let details = error.get("details").and_then(Value::as_array);
    for detail in details.into_iter().flatten() {
        let inner = text(detail, "code");
        let is_vague = ["", "DeploymentFailed", "ResourceOperationFailure", "Failed"];
        if is_vague.contains(&code.as_str()) && !inner.is_empty() {
            (code, message) = (inner, text(detail, "message"));
        }
    }
    (code, message)
}

/// Returns the class of a code.
fn class_of(code: &str, said: &str, status: u16) -> ErrorClass {
    match code {
        "TooManyRequests"
        | "OperationNotAllowedDueToThrottling"
        | "SubscriptionRequestsThrottled"
        | "ResourceCollectionRequestsThrottled" => ErrorClass::Throttled,
        "InternalServerError"
        | "InternalExecutionError"
        | "InternalOperationError"
        | "ServerTimeout"
        | "ServiceUnavailable"
        | "GatewayTimeout"
        | "RetryableError"
        | "NetworkingInternalOperationError" => ErrorClass::Unavailable,
        // Somebody else is at work on it, and will be done.
        "AnotherOperationInProgress"
        | "OperationPreempted"
        | "ConflictingConcurrentWriteNotAllowed"
        | "ResourceGroupBeingDeleted"
        | "ConcurrentWriteRequest" => ErrorClass::Unavailable,
        "AllocationFailed"
        | "ZonalAllocationFailed"
        | "OverconstrainedAllocationRequest"
        | "OverconstrainedZonalAllocationRequest"
        | "SkuNotAvailable"
        | "NotAvailableForSubscription"
        | "LocationNotAvailableForResourceType"
        | "SubnetIsFull"
        | "SpotPriceTooLow" => ErrorClass::Capacity,
        "QuotaExceeded"
        | "ResourceQuotaExceeded"
        | "PublicIPCountLimitReached"
        | "NetworkInterfaceCountLimitReached" => ErrorClass::Quota,
        // One code for all that may not be: of quota speaks only its text.
        "OperationNotAllowed" if said.to_ascii_lowercase().contains("quota") => ErrorClass::Quota,
        "AuthorizationFailed"
        | "LinkedAuthorizationFailed"
        | "InvalidAuthenticationToken"
        | "InvalidAuthenticationTokenTenant"
        | "AuthenticationFailed"
        | "ExpiredAuthenticationToken"
        | "RequestDisallowedByPolicy"
        | "SubscriptionNotFound"
        | "SubscriptionNotRegistered"
        | "MissingSubscriptionRegistration"
        | "ReadOnlyDisabledSubscription"
        | "MarketplacePurchaseEligibilityFailed"
        | "ScopeLocked" => ErrorClass::PermissionDenied,
        PRECONDITION
        | "OperationNotAllowed"
        | "Conflict"
        | "PropertyChangeNotAllowed"
        | "NicInUse"
        | "InUseByResource" => ErrorClass::Conflict,
        code if code.ends_with("NotFound") => ErrorClass::NotFound,
        code if code.ends_with("LimitReached") || code.ends_with("LimitExceeded") => {
            ErrorClass::Quota
        }
        code if code.starts_with("Invalid") || code == "BadRequest" => ErrorClass::Invalid,
        _ => match status {
            404 => ErrorClass::NotFound,
            409 | 412 => ErrorClass::Conflict,
            429 => ErrorClass::Throttled,
            401 | 403 => ErrorClass::PermissionDenied,
            400 | 422 => ErrorClass::Invalid,
            500.. => ErrorClass::Unavailable,
            _ => ErrorClass::Unrecognized,
        },
    }
}

/// Returns what the user can do about a code.
fn hint_of(code: &str, class: ErrorClass) -> Option<&'static str> {
    let hint = match (code, class) {
        ("SubnetIsFull", _) => "take a subnet that has addresses left",
        ("SpotPriceTooLow", _) => "raise `spot.maxPrice`, or leave it out",
        ("SubscriptionNotFound", _) => {
            "look at `subscription`, and at who is logged in: `meshvm doctor` says it"
        }
        ("SubscriptionNotRegistered" | "MissingSubscriptionRegistration", _) => {
            "run `az provider register --namespace Microsoft.Compute`, and the same for Microsoft.Network"
        }
        ("MarketplacePurchaseEligibilityFailed", _) => {
            "accept the image's terms: `az vm image terms accept`"
        }
        ("ResourceGroupNotFound", _) => "make it, or write `createResourceGroup: true`",
        ("ScopeLocked", _) => "a lock keeps it from being changed: `az lock list` shows it",
        (_, ErrorClass::Capacity) => "add another size to `vmSize`, or another zone",
        (_, ErrorClass::Quota) => {
            "ask for a higher quota: `az vm list-usage` shows what is used, the portal raises it"
        }
        (_, ErrorClass::PermissionDenied) => {
            "`meshvm doctor --iam azure` prints the role that is needed"
        }
        (
            _,
            ErrorClass::Throttled
            | ErrorClass::Unavailable
            | ErrorClass::ReplyLost
            | ErrorClass::NotFound
            | ErrorClass::Conflict
            | ErrorClass::Invalid
            | ErrorClass::Environment
            | ErrorClass::Unrecognized,
        ) => return None,
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn codes_have_their_classes() {
        let quota = "Operation could not be completed as it results in exceeding approved Total Regional Cores quota.";
        for (code, said, status, class) in [
            ("TooManyRequests", "", 429, ErrorClass::Throttled),
            ("SkuNotAvailable", "", 409, ErrorClass::Capacity),
            ("AllocationFailed", "", 200, ErrorClass::Capacity),
            ("ZonalAllocationFailed", "", 200, ErrorClass::Capacity),
            (
                "OverconstrainedAllocationRequest",
                "",
                200,
                ErrorClass::Capacity,
            ),
            ("OperationNotAllowed", quota, 409, ErrorClass::Quota),
            (
                "OperationNotAllowed",
                "The machine is deallocated.",
                409,
                ErrorClass::Conflict,
            ),
            ("AuthorizationFailed", "", 403, ErrorClass::PermissionDenied),
            (
                "LinkedAuthorizationFailed",
                "",
                403,
                ErrorClass::PermissionDenied,
            ),
            ("ResourceNotFound", "", 404, ErrorClass::NotFound),
            (
                "ResourceGroupBeingDeleted",
                "",
                409,
                ErrorClass::Unavailable,
            ),
            (PRECONDITION, "", 412, ErrorClass::Conflict),
            ("InvalidParameter", "", 400, ErrorClass::Invalid),
            ("", "", 502, ErrorClass::Unavailable),
            ("SomethingNew", "", 418, ErrorClass::Unrecognized),
        ] {
            assert_eq!(class_of(code, said, status), class, "{code} {status}");
        }
    }

    #[test]
    fn what_failed_inside_is_what_is_told() {
        let body = json!({"error": {
            "code": "DeploymentFailed", "message": "At least one failed.",
            "details": [{"code": "AllocationFailed", "message": "No room."}],
        }});
        let error = of_answer(Action::PutMachine, 200, &body, None);
        assert_eq!(error.message, "PutMachine: AllocationFailed: No room.");
        assert_eq!(error.class, ErrorClass::Capacity);
        assert!(error.hint.unwrap().contains("vmSize"));
    }
}
