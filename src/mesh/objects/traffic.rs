//! The objects that say how clients treat a fleet's Service. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{ISTIO, Maker, Object};
use crate::spec::model::{Abort, Delay, Fault, Retries, Traffic};

/// Makes a DestinationRule for subsets, and a VirtualService for the rest; each only where needed.
pub(super) fn rules(maker: &Maker<'_>, service: &str, traffic: &Traffic) -> Vec<Object> {
    let Traffic {
        timeout,
        retries,
        fault,
        subsets,
    } = traffic;
    // A short name is one in the rule's own namespace, and in the cluster's domain, whatever that is
    // (<https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination>). The
    // Service is in the same namespace.
    let host = service;
    let mut objects = Vec::new();
    if !subsets.is_empty() {
        let subsets: Vec<Value> = subsets
            .iter()
            .map(|(name, labels)| json!({"name": name, "labels": labels}))
            .collect();
        let spec = json!({"host": host, "subsets": subsets});
        objects.push(maker.own("DestinationRule", service, ISTIO, spec));
    }
    let mut route = Map::new();
    if let Some(timeout) = timeout {
        route.insert("timeout".to_owned(), duration(timeout.0));
    }
    if let Some(retries) = retries {
        route.insert("retries".to_owned(), retried(retries));
    }
    if let Some(fault) = fault {
        route.insert("fault".to_owned(), injected(fault));
    }
    if !route.is_empty() {
        route.insert("route".to_owned(), json!([{"destination": {"host": host}}]));
        let spec = json!({"hosts": [host], "http": [route]});
        objects.push(maker.own("VirtualService", service, ISTIO, spec));
    }
    objects
}

fn retried(retries: &Retries) -> Value {
    let Retries {
        attempts,
        per_try_timeout,
        retry_on,
    } = retries;
    let mut value = json!({"attempts": attempts});
    if let Some(timeout) = per_try_timeout {
        value["perTryTimeout"] = duration(timeout.0);
    }
    if let Some(retry_on) = retry_on {
        value["retryOn"] = json!(retry_on);
    }
    value
}

fn injected(fault: &Fault) -> Value {
    let Fault { delay, abort } = fault;
    let mut value = json!({});
    if let Some(Delay {
        fixed_delay,
        percentage,
    }) = delay
    {
        value["delay"] =
            json!({"fixedDelay": duration(fixed_delay.0), "percentage": {"value": percentage}});
    }
    if let Some(Abort {
        http_status,
        percentage,
    }) = abort
    {
        value["abort"] = json!({"httpStatus": http_status, "percentage": {"value": percentage}});
    }
    value
}

/// Returns a duration as protobuf writes it in JSON, in seconds
/// (<https://protobuf.dev/programming-guides/json/>).
fn duration(duration: Duration) -> Value {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let text = match nanos {
        0 => format!("{seconds}s"),
        _ => {
            format!("{seconds}.{nanos:09}")
                .trim_end_matches('0')
                .to_owned()
                + "s"
        }
    };
    json!(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::objects::{Side, of_fleet};
    use crate::spec::model::Membership;

    #[test]
    fn hosts_are_the_service_in_whatever_domain_the_cluster_has() {
        let membership: Membership = serde_json::from_value(json!({
            "namespace": "vm", "serviceAccount": "web", "labels": {"app": "web"},
            "service": {"name": "shop", "ports": [{"name": "http", "port": 80}]},
            "traffic": {"timeout": "2s", "subsets": {"v1": {"version": "v1"}}},
        }))
        .unwrap();
        let side = Side::Member {
            membership: &membership,
            reports: true,
        };
        let objects = of_fleet("stack", "web", side);
        let find = |kind: &str| {
            let mut objects = objects.iter();
            let found = objects.find(|object| object.reference.kind == kind);
            &found.unwrap().body["spec"]
        };
        assert_eq!(find("DestinationRule")["host"], "shop");
        let service = find("VirtualService");
        assert_eq!(service["hosts"], json!(["shop"]));
        assert_eq!(
            service["http"][0]["route"][0]["destination"]["host"],
            "shop"
        );
    }

    #[test]
    fn durations_are_seconds() {
        let text = |millis| duration(Duration::from_millis(millis));
        assert_eq!(text(2_000), "2s");
        assert_eq!(text(500), "0.5s");
        assert_eq!(text(90_001), "90.001s");
    }
}
