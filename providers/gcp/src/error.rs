//! Puts what Google answers in classes, with what to do about it. Pure.
//!
//! The reasons are those of <https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-resource-availability>
//! and <https://cloud.google.com/apis/design/errors>.

use google_cloud_compute_v1::Error;
use google_cloud_compute_v1::model::Operation;
use google_cloud_gax::error::rpc::StatusDetails;
use meshvm_provider_api::{ErrorClass, ProviderError};

use crate::policy::Action;

/// The name is taken.
pub(crate) const EXISTS: [&str; 2] = ["alreadyExists", "RESOURCE_ALREADY_EXISTS"];

/// Makes a provider's error of a call's.
pub(crate) fn of(action: Action, error: Error) -> ProviderError {
    let name = action.as_str();
    if let Some(status) = error.http_status_code() {
        // An answer that is none of the API's has no more to say.
        let said = error.status();
        let reason = said.and_then(|said| said.details.iter().find_map(reason_of));
        let message = said.map_or("no reason was given", |said| said.message.as_str());
        let mut made = made(name, reason.unwrap_or_default(), status, message);
        let headers = error.http_headers();
        made.retry_after = headers
            .and_then(|headers| headers.get("retry-after"))
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(std::time::Duration::from_secs);
        return made;
    }
    if error.is_authentication() {
        let message = format!("{name}: the credentials cannot be used");
        return ProviderError::new(ErrorClass::Environment, message)
            .with_hint("run `meshvm doctor`: it names the credentials in use")
            .with_source(error);
    }
    if error.is_serialization() || error.is_binding() {
        let message = format!("{name}: the request could not be made");
        return ProviderError::new(ErrorClass::Invalid, message).with_source(error);
    }
    let class = match error.is_connect() {
        true => ErrorClass::Unavailable,
        false => lost(action),
    };
    ProviderError::new(class, format!("{name}: no answer")).with_source(error)
}

/// Returns the reason of an error: Google's client has the same place for that of `errors` and
/// that of `details`, and prefers the latter.
fn reason_of(details: &StatusDetails) -> Option<&str> {
    match details {
        StatusDetails::ErrorInfo(info) => Some(&info.reason),
        _ => None,
    }
}

/// Returns what it means that a call's reply did not come: one that only reads may be sent again.
pub(crate) fn lost(action: Action) -> ErrorClass {
    match action.is_reading() {
        true => ErrorClass::Unavailable,
        false => ErrorClass::ReplyLost,
    }
}

/// Returns what an operation that ended says of itself: it may be `DONE` and have failed.
///
/// # Errors
/// The first of its errors.
pub(crate) fn result(operation: Operation) -> Result<Operation, ProviderError> {
    let failed = failures(&operation).next();
    match (failed, operation.clone().to_result()) {
        (Some(error), _) => Err(error),
        (None, Ok(operation)) => Ok(operation),
        (None, Err(error)) => {
            let status = operation.http_error_status_code.unwrap_or_default();
            let status = u16::try_from(status).unwrap_or_default();
            let said = operation.http_error_message.unwrap_or_default();
            let kind = operation.operation_type.unwrap_or_default();
            let made = made(&kind, "", status, &said);
            Err(made.with_source(error))
        }
    }
}

/// Returns every error that an operation tells of.
pub(crate) fn failures(operation: &Operation) -> impl Iterator<Item = ProviderError> {
    let kind = operation.operation_type.clone().unwrap_or_default();
    let status = operation.http_error_status_code.unwrap_or_default();
    let status = u16::try_from(status).unwrap_or_default();
    let errors = operation.error.iter().flat_map(|error| &error.errors);
    errors.map(move |error| {
        let code = error.code.as_deref().unwrap_or_default();
        let said = error.message.as_deref().unwrap_or("no reason was given");
        made(&kind, code, status, said)
    })
}

fn made(what: &str, reason: &str, status: u16, said: &str) -> ProviderError {
    let class = match is_of_type(said) {
        true => ErrorClass::Capacity,
        false => class_of(reason, status),
    };
    let message = match reason {
        "" => format!("{what}: status {status}: {said}"),
        reason => format!("{what}: {reason}: {said}"),
    };
    let made = ProviderError::new(class, message);
    match hint_of(class) {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// Returns whether a zone does not have the machine type: another type, or another zone, may do.
/// That is no reason of its own; it is told where the request is wrong, or something is not found.
fn is_of_type(said: &str) -> bool {
    let is_missing = ["does not exist", "was not found", "not available"];
    let names = ["machineType", "machine type", "Machine type"];
    names.iter().any(|it| said.contains(it)) && is_missing.iter().any(|it| said.contains(it))
}

/// Returns the class of a reason.
fn class_of(reason: &str, status: u16) -> ErrorClass {
    match reason {
        "rateLimitExceeded"
        | "userRateLimitExceeded"
        | "RATE_LIMIT_EXCEEDED"
        | "concurrentLimitExceeded" => ErrorClass::Throttled,
        "backendError" | "internalError" | "INTERNAL_ERROR" | "resourceNotReady"
        | "RESOURCE_NOT_READY" => ErrorClass::Unavailable,
        "resourcePoolExhausted" | "RESOURCE_POOL_EXHAUSTED" | "STOCKOUT" => ErrorClass::Capacity,
        // That of a call in bulk which is refused at once
        // (<https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-bulk-vm-creation>).
        "insufficientCapacity" => ErrorClass::Capacity,
        reason if reason.starts_with("ZONE_RESOURCE_POOL_EXHAUSTED") => ErrorClass::Capacity,
        reason if reason.starts_with("IP_SPACE_EXHAUSTED") => ErrorClass::Capacity,
        "quotaExceeded" | "QUOTA_EXCEEDED" | "limitExceeded" | "LIMIT_EXCEEDED" => {
            ErrorClass::Quota
        }
        "forbidden" | "required" if status == 401 || status == 403 => ErrorClass::PermissionDenied,
        "PERMISSIONS_ERROR" | "accessNotConfigured" => ErrorClass::PermissionDenied,
        "notFound" | "RESOURCE_NOT_FOUND" => ErrorClass::NotFound,
        "conditionNotMet"
        | "CONDITION_NOT_MET"
        | "resourceInUseByAnotherResource"
        | "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE" => ErrorClass::Conflict,
        reason if EXISTS.contains(&reason) => ErrorClass::Conflict,
        "required" => ErrorClass::Invalid,
        reason if reason.starts_with("invalid") || reason.starts_with("INVALID") => {
            ErrorClass::Invalid
        }
        _ => match status {
            429 => ErrorClass::Throttled,
            401 | 403 => ErrorClass::PermissionDenied,
            404 => ErrorClass::NotFound,
            409 | 412 => ErrorClass::Conflict,
            400 => ErrorClass::Invalid,
            500.. => ErrorClass::Unavailable,
            _ => ErrorClass::Unrecognized,
        },
    }
}

/// Returns what the user can do about a class.
fn hint_of(class: ErrorClass) -> Option<&'static str> {
    match class {
        ErrorClass::Capacity => Some("add another type to `machineType`, or another zone"),
        ErrorClass::Quota => Some("ask for a higher quota on the page IAM & Admin, Quotas"),
        ErrorClass::PermissionDenied => {
            Some("`meshvm doctor --iam gcp` prints the permissions needed")
        }
        ErrorClass::Throttled
        | ErrorClass::Unavailable
        | ErrorClass::ReplyLost
        | ErrorClass::NotFound
        | ErrorClass::Conflict
        | ErrorClass::Invalid
        | ErrorClass::Environment
        | ErrorClass::Unrecognized => None,
    }
}

/// Returns whether an error has one of these reasons.
pub(crate) fn is(error: &ProviderError, reasons: &[&str]) -> bool {
    let reason = error.message.split(": ").nth(1);
    reason.is_some_and(|reason| reasons.contains(&reason))
}

#[cfg(test)]
mod tests {
    use google_cloud_compute_v1::model::operation;

    use super::*;

    #[test]
    fn reasons_have_their_classes() {
        for (reason, status, class) in [
            ("rateLimitExceeded", 403, ErrorClass::Throttled),
            ("", 429, ErrorClass::Throttled),
            (
                "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
                503,
                ErrorClass::Capacity,
            ),
            ("insufficientCapacity", 503, ErrorClass::Capacity),
            ("QUOTA_EXCEEDED", 403, ErrorClass::Quota),
            ("quotaExceeded", 403, ErrorClass::Quota),
            ("forbidden", 403, ErrorClass::PermissionDenied),
            ("required", 401, ErrorClass::PermissionDenied),
            ("required", 400, ErrorClass::Invalid),
            ("notFound", 404, ErrorClass::NotFound),
            ("conditionNotMet", 412, ErrorClass::Conflict),
            ("RESOURCE_ALREADY_EXISTS", 409, ErrorClass::Conflict),
            ("resourceNotReady", 400, ErrorClass::Unavailable),
            ("invalid", 400, ErrorClass::Invalid),
            ("", 503, ErrorClass::Unavailable),
            ("new", 418, ErrorClass::Unrecognized),
        ] {
            assert_eq!(class_of(reason, status), class, "{reason} {status}");
        }
    }

    #[test]
    fn an_operation_that_is_done_may_have_failed() {
        let errors = [operation::error::Errors::new()
            .set_code("ZONE_RESOURCE_POOL_EXHAUSTED")
            .set_message("no room")];
        let failed = Operation::new()
            .set_status(operation::Status::Done)
            .set_http_error_status_code(503)
            .set_error(operation::Error::new().set_errors(errors));
        assert_eq!(result(failed).unwrap_err().class, ErrorClass::Capacity);
        let bare = Operation::new().set_http_error_status_code(403);
        assert_eq!(
            result(bare).unwrap_err().class,
            ErrorClass::PermissionDenied
        );
        assert!(result(Operation::new()).is_ok());
    }
}
