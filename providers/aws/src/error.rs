//! Puts what Amazon answers in classes, with what to do about it. Pure.
//!
//! The codes are those of <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use meshvm_provider_api::{ErrorClass, ProviderError};

use crate::policy::Action;

/// The same client token with other parameters.
pub(crate) const TOKEN_MISMATCH: &str = "IdempotentParameterMismatch";
/// A network has a security group of that name already.
pub(crate) const DUPLICATE_GROUP: &str = "InvalidGroup.Duplicate";
/// A security group has that rule already.
pub(crate) const DUPLICATE_RULE: &str = "InvalidPermission.Duplicate";
/// There is no such security group.
pub(crate) const NO_GROUP: &str = "InvalidGroup.NotFound";
/// Something else needs it.
pub(crate) const DEPENDENCY: &str = "DependencyViolation";
/// A dry run would have succeeded.
pub(crate) const DRY_RUN: &str = "DryRunOperation";
/// The zone does not have the type.
pub(crate) const UNSUPPORTED: &str = "Unsupported";

/// What introduces the encoded reason of a refusal.
const ENCODED: &str = "Encoded authorization failure message:";

/// Makes a provider's error of a call's.
pub(crate) fn of<E>(action: Action, error: SdkError<E, HttpResponse>) -> ProviderError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    // A call that only reads may be sent again whatever became of it.
    let lost = match action.is_reading() {
        true => ErrorClass::Unavailable,
        false => ErrorClass::ReplyLost,
    };
    match &error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or_default();
            let status = answer.raw().status().as_u16();
            let class = class_of(code, status);
            let said = answer.err().message().unwrap_or("no reason was given");
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
        SdkError::DispatchFailure(_) if !is_without_credentials(&error) => {
            ProviderError::new(lost, format!("{}: no answer", action.as_str())).with_source(error)
        }
        SdkError::DispatchFailure(_) => {
            let message = format!("{}: there are no credentials", action.as_str());
            ProviderError::new(ErrorClass::Environment, message)
                .with_hint("run `meshvm doctor`: it names the credentials in use")
                .with_source(error)
        }
        SdkError::ConstructionFailure(_) => {
            let message = format!("{}: the request could not be made", action.as_str());
            ProviderError::new(ErrorClass::Invalid, message).with_source(error)
        }
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            let message = format!("{}: the answer did not come through", action.as_str());
            ProviderError::new(lost, message).with_source(error)
        }
        // The SDK may learn of further ways to fail; whether anything was sent is not known then.
        _ => ProviderError::new(lost, format!("{} failed", action.as_str())).with_source(error),
    }
}

/// Returns whether a call was not sent for want of credentials.
fn is_without_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns the class of a code.
fn class_of(code: &str, status: u16) -> ErrorClass {
    match code {
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "RequestThrottled"
        | "EC2ThrottledException"
        | "TooManyRequestsException"
        | "SlowDown" => ErrorClass::Throttled,
        "InternalError"
        | "InternalFailure"
        | "ServerInternal"
        | "ServiceUnavailable"
        | "Unavailable"
        | "RequestTimeout"
        | "InternalServerError" => ErrorClass::Unavailable,
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientCapacity"
        | "InsufficientVolumeCapacity"
        | "InsufficientFreeAddressesInSubnet"
        | "InsufficientAddressCapacity"
        | "SpotMaxPriceTooLow" => ErrorClass::Capacity,
        "AuthFailure"
        | "UnauthorizedOperation"
        | "AccessDenied"
        | "AccessDeniedException"
        | "Blocked"
        | "OptInRequired"
        | "PendingVerification"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "UnrecognizedClientException"
        | "MissingAuthenticationToken"
        | "IncompleteSignature" => ErrorClass::PermissionDenied,
        TOKEN_MISMATCH
        | "IncorrectInstanceState"
        | "IncorrectState"
        | "OperationNotPermitted"
        | DUPLICATE_GROUP
        | DUPLICATE_RULE
        | DEPENDENCY => ErrorClass::Conflict,
        UNSUPPORTED
        | "UnsupportedOperation"
        | "UnsupportedHibernationConfiguration"
        | "MissingParameter"
        | "UnknownParameter"
        | "MalformedQueryString"
        | "ValidationError"
        | "ValidationException"
        | "VPCIdNotSpecified"
        | "MissingInput" => ErrorClass::Invalid,
        code if code.ends_with("LimitExceeded") || code.ends_with("CountExceeded") => {
            ErrorClass::Quota
        }
        "InvalidAMIID.Unavailable" | "NoSuchEntity" | "NoSuchResourceException" => {
            ErrorClass::NotFound
        }
        code if code.ends_with("NotFound") => ErrorClass::NotFound,
        code if code.starts_with("Invalid") => ErrorClass::Invalid,
        _ => match status {
            429 => ErrorClass::Throttled,
            401 | 403 => ErrorClass::PermissionDenied,
            500.. => ErrorClass::Unavailable,
            _ => ErrorClass::Unrecognized,
        },
    }
}

/// Returns what the user can do about a code.
fn hint_of(code: &str, class: ErrorClass) -> Option<&'static str> {
    let hint = match (code, class) {
        ("InsufficientFreeAddressesInSubnet", _) => "add a subnet that has addresses left",
        ("SpotMaxPriceTooLow", _) => "raise `spot.maxPrice`, or leave it out",
        ("VcpuLimitExceeded" | "InstanceLimitExceeded" | "MaxSpotInstanceCountExceeded", _) => {
            "ask for a higher quota in the console of Service Quotas, or for fewer machines"
        }
        ("OperationNotPermitted", _) => {
            "a machine is protected: set `terminationProtection: false` and apply that first"
        }
        ("ExpiredToken" | "ExpiredTokenException" | "RequestExpired", _) => {
            "the credentials ran out; get new ones, with `aws sso login` for instance"
        }
        ("OptInRequired" | "PendingVerification", _) => "the account may not use this yet",
        ("SignatureDoesNotMatch" | "AuthFailure" | "InvalidClientTokenId", _) => {
            "run `meshvm doctor`: it names the credentials in use"
        }
        (UNSUPPORTED, _) => "the zone does not have this type: add another to `instanceType`",
        (_, ErrorClass::Capacity) => "add another type to `instanceType`, or another zone",
        (_, ErrorClass::Quota) => "ask for a higher quota in the console of Service Quotas",
        (_, ErrorClass::PermissionDenied) => {
            "`meshvm doctor --iam` prints the rights that are needed"
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

/// Parts a refusal from its encoded reason.
pub(crate) fn encoded(message: &str) -> Option<(&str, &str)> {
    let (before, code) = message.split_once(ENCODED)?;
    Some((before.trim_end(), code.trim()))
}

/// Returns which right on what a decoded refusal lacks.
pub(crate) fn denied(decoded: &str) -> Option<String> {
    let decoded: serde_json::Value = serde_json::from_str(decoded).ok()?;
    let context = decoded.get("context")?;
    let action = context.get("action")?.as_str()?;
    let resource = context.get("resource").and_then(|it| it.as_str());
    let why = match decoded.get("explicitDeny")?.as_bool()? {
        true => "is denied",
        false => "is not allowed",
    };
    Some(match resource {
        Some(resource) => format!("{action} on {resource} {why}"),
        None => format!("{action} {why}"),
    })
}

/// Returns whether an error is of a code.
pub(crate) fn is(error: &ProviderError, code: &str) -> bool {
    error.message.split(": ").nth(1) == Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_classes() {
        for (code, status, class) in [
            ("RequestLimitExceeded", 503, ErrorClass::Throttled),
            ("InsufficientInstanceCapacity", 500, ErrorClass::Capacity),
            (
                "InsufficientFreeAddressesInSubnet",
                400,
                ErrorClass::Capacity,
            ),
            ("VcpuLimitExceeded", 400, ErrorClass::Quota),
            ("MaxSpotInstanceCountExceeded", 400, ErrorClass::Quota),
            ("UnauthorizedOperation", 403, ErrorClass::PermissionDenied),
            ("InvalidClientTokenId", 403, ErrorClass::PermissionDenied),
            ("InvalidInstanceID.NotFound", 400, ErrorClass::NotFound),
            ("ParameterNotFound", 400, ErrorClass::NotFound),
            ("NoSuchEntity", 404, ErrorClass::NotFound),
            ("NoSuchResourceException", 400, ErrorClass::NotFound),
            ("InvalidAMIID.Malformed", 400, ErrorClass::Invalid),
            ("InvalidParameterValue", 400, ErrorClass::Invalid),
            (TOKEN_MISMATCH, 400, ErrorClass::Conflict),
            ("", 502, ErrorClass::Unavailable),
            ("", 404, ErrorClass::Unrecognized),
            ("SomethingNew", 400, ErrorClass::Unrecognized),
        ] {
            assert_eq!(class_of(code, status), class, "{code} {status}");
        }
    }

    #[test]
    fn what_the_user_can_change_comes_with_a_hint() {
        let quota = hint_of("VcpuLimitExceeded", ErrorClass::Quota).unwrap();
        assert!(quota.contains("Service Quotas"), "{quota}");
        let denied = hint_of("UnauthorizedOperation", ErrorClass::PermissionDenied).unwrap();
        assert!(denied.contains("doctor --iam"), "{denied}");
        assert_eq!(hint_of("RequestLimitExceeded", ErrorClass::Throttled), None);
    }

    #[test]
    fn a_refusal_says_which_right_is_missing() {
        let message = format!("RunInstances: UnauthorizedOperation: no. {ENCODED} abc_-1");
        let (before, code) = encoded(&message).unwrap();
        assert_eq!(
            (before, code),
            ("RunInstances: UnauthorizedOperation: no.", "abc_-1")
        );
        assert_eq!(encoded("no"), None);
        let decoded = r#"{"allowed":false,"explicitDeny":false,"context":{"action":"ec2:RunInstances","resource":"arn:aws:ec2:eu-west-1:1:instance/*"}}"#;
        let said = "ec2:RunInstances on arn:aws:ec2:eu-west-1:1:instance/* is not allowed";
        assert_eq!(denied(decoded).as_deref(), Some(said));
    }
}
