//! Checks of how clients treat a Service.

use std::time::Duration;

use crate::spec::model::{Service, Traffic};

use super::Checker;
use super::membership::check_labels;

/// What a port's name begins with when Istio reads HTTP from it
/// (<https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/>).
const HTTP: [&str; 4] = ["http", "http2", "grpc", "grpc-web"];

/// The shortest that Istio takes
/// (<https://istio.io/latest/docs/reference/config/networking/virtual-service/>).
const LEAST: Duration = Duration::from_millis(1);

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
            checker.error(&path, summary, hint);
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
