//! Checks of how clients treat a Service.

use std::time::Duration;

use crate::diag::Code;
use crate::spec::model::{Fault, Retries, Service, Traffic};
use crate::spec::words::{list, nearest};

use super::Checker;
use super::names::check_labels;

/// What a port's name begins with when Istio reads HTTP from it
/// (<https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/>).
const HTTP: [&str; 4] = ["http", "http2", "grpc", "grpc-web"];

/// The shortest that Istio takes
/// (<https://istio.io/latest/docs/reference/config/networking/virtual-service/>).
const LEAST: Duration = Duration::from_millis(1);

/// What may count as failed, beside statuses of HTTP, as Envoy names it (`supportedRetryOnPolicies`
/// in `pkg/config/validation` of Istio).
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// Checks a traffic block; `service` is what it is about.
pub(super) fn check(
    fleet: &str,
    traffic: &Traffic,
    service: Option<&Service>,
    checker: &mut Checker<'_>,
) {
    let Traffic {
        timeout,
        retries,
        fault,
        subsets,
    } = traffic;
    let path = ["fleets", fleet, "membership", "traffic"];
    let Some(service) = service else {
        let summary = "there is no Service whose clients this could be about".to_owned();
        let mut checker = checker.coded(Code::Disagreement);
        checker.error(&path, summary, "add `service` to the membership");
        return;
    };
    let is_http = |name: &str| HTTP.contains(&name.split('-').next().unwrap_or(name));
    let has_http = service.ports.iter().any(|port| is_http(port.name.as_str()));
    for (field, is_set) in [
        ("timeout", timeout.is_some()),
        ("retries", retries.is_some()),
        ("fault", fault.is_some()),
    ] {
        if is_set && !has_http {
            let path = ["fleets", fleet, "membership", "traffic", field];
            let summary = "no port of the Service speaks HTTP, so this has no effect".to_owned();
            let hint = "let the name of a port begin with http or grpc, as in `http-web`";
            checker
                .coded(Code::Disagreement)
                .error(&path, summary, hint);
        }
    }
    for (path, duration) in durations(traffic) {
        if duration < LEAST {
            let at: Vec<&str> = ["fleets", fleet, "membership", "traffic"]
                .into_iter()
                .chain(path.split('.'))
                .collect();
            let summary = "it must be a millisecond at least".to_owned();
            checker.error(&at, summary, "leave it out to have none");
        }
    }
    if let Some(retries) = retries {
        check_retries(fleet, retries, checker);
    }
    if let Some(Fault {
        delay: None,
        abort: None,
    }) = fault
    {
        let path = ["fleets", fleet, "membership", "traffic", "fault"];
        let summary = "the fault injects nothing".to_owned();
        checker.error(&path, summary, "add `delay` or `abort`, or leave it out");
    }
    for (name, labels) in subsets {
        let at = [
            "fleets",
            fleet,
            "membership",
            "traffic",
            "subsets",
            name.as_str(),
        ];
        check_labels(&at, labels, checker);
        if labels.is_empty() {
            let summary = format!("the subset `{name}` is the whole Service: it has no labels");
            checker.error(&at, summary, "add a label, as in `{version: v1}`");
        }
    }
}

fn check_retries(fleet: &str, retries: &Retries, checker: &mut Checker<'_>) {
    let Retries {
        attempts,
        per_try_timeout,
        retry_on,
    } = retries;
    let at = |field| ["fleets", fleet, "membership", "traffic", "retries", field];
    for (field, is_set) in [
        ("perTryTimeout", per_try_timeout.is_some()),
        ("retryOn", retry_on.is_some()),
    ] {
        if *attempts == 0 && is_set {
            let summary = format!("nothing is tried again, so `{field}` has no effect");
            let hint = "leave it out, or let `attempts` be 1 at least";
            checker
                .coded(Code::Disagreement)
                .error(&at(field), summary, hint);
        }
    }
    for policy in retry_on.iter().flat_map(|all| all.split(',')) {
        let is_status = policy.parse().is_ok_and(is_status);
        if is_status || RETRY_ON.contains(&policy) {
            continue;
        }
        let summary = format!("Istio does not know when `{policy}` is: it cannot be in `retryOn`");
        let hint = match nearest(policy, RETRY_ON) {
            Some(name) if policy.trim() == name => "write no blanks between".to_owned(),
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known are {}, and statuses of HTTP", list(RETRY_ON)),
        };
        checker.error(&at("retryOn"), summary, hint);
    }
}

/// Returns whether a number is a status of HTTP that Istio knows (`StatusText` of Go's `net/http`).
fn is_status(number: u16) -> bool {
    matches!(
        number,
        100..=103
            | 200..=208
            | 226
            | 300..=305
            | 307
            | 308
            | 400..=418
            | 421..=426
            | 428
            | 429
            | 431
            | 451
            | 500..=508
            | 510
            | 511
    )
}

/// Returns all durations of a traffic block, by their paths in it.
fn durations(traffic: &Traffic) -> impl Iterator<Item = (&'static str, Duration)> {
    let retries = traffic.retries.as_ref();
    let delay = traffic
        .fault
        .as_ref()
        .and_then(|fault| fault.delay.as_ref());
    let durations = [
        ("timeout", traffic.timeout),
        (
            "retries.perTryTimeout",
            retries.and_then(|it| it.per_try_timeout),
        ),
        ("fault.delay.fixedDelay", delay.map(|it| it.fixed_delay)),
    ];
    durations
        .into_iter()
        .filter_map(|(path, duration)| Some((path, duration?.0)))
}
