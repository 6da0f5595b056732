//! What a mesh says of machines. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use meshvm_provider_api::labels;
use serde::Serialize;
use serde_json::Value;

use super::objects::HEALTH_CHECKED;
use super::{MACHINE_LABEL, Object};

/// The annotations of an entry that the control plane made: its WorkloadGroup, and since when its
/// sidecar is not connected any more (`pkg/config/constants` and `pilot/pkg/autoregistration` of
/// istio/istio).
const REGISTERED_BY: &str = "istio.io/autoRegistrationGroup";
const DISCONNECTED_AT: &str = "istio.io/disconnectedAt";

/// What the mesh knows of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum MeshState {
    /// Nothing: it has no entry.
    Unknown,
    /// It has an entry, and nobody checks its health.
    Registered,
    /// Its sidecar reports that it is healthy.
    Healthy,
    /// It takes no traffic: its sidecar reports otherwise, or nothing at all.
    Unhealthy {
        /// What is reported.
        reason: String,
    },
}

impl MeshState {
    /// Reads what a WorkloadEntry says; the condition is written by the control plane, of what the
    /// sidecar reports (<https://istio.io/latest/docs/ops/configuration/mesh/app-health-check/>).
    pub fn of(entry: &Value) -> Self {
        let conditions = entry
            .pointer("/status/conditions")
            .and_then(Value::as_array);
        let mut conditions = conditions.into_iter().flatten();
        let healthy = conditions.find(|condition| condition["type"] == "Healthy");
        let checked = &entry["metadata"]["annotations"][HEALTH_CHECKED] == "true";
        let unhealthy = |reason: &str| Self::Unhealthy {
            reason: reason.to_owned(),
        };
        let annotations = &entry["metadata"]["annotations"];
        if !annotations[REGISTERED_BY].is_null()
            && let Some(since) = annotations[DISCONNECTED_AT].as_str()
        {
            return unhealthy(&format!(
                "its sidecar is not connected since {}",
                plain(since)
            ));
        }
        match healthy {
            Some(condition) if condition["status"] == "True" => Self::Healthy,
            Some(condition) => {
                let message = plain(condition["message"].as_str().unwrap_or_default());
                match message.is_empty() {
                    true => unhealthy("its health check fails"),
                    false => unhealthy(&message),
                }
            }
            // Only a cluster has anybody who would report.
            None if checked && entry["metadata"].get("uid").is_some() => {
                unhealthy("its sidecar reports nothing")
            }
            None => Self::Registered,
        }
    }

    /// Returns what keeps traffic from the machine, in words; `None` when nothing does.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Unknown => Some("has no entry in the mesh"),
            Self::Registered | Self::Healthy => None,
            Self::Unhealthy { reason } => Some(reason),
        }
    }
}

/// Puts a text on one line: it is anybody's who may write to an entry.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The members of one WorkloadGroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// The stack.
    pub stack: &'a str,
    /// The fleet, and its WorkloadGroup.
    pub fleet: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// Whether its members register by themselves, instead of being entered by meshvm.
    pub by_itself: bool,
}

/// What the mesh says of a group's members.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    /// Those that meshvm entered, by the machine's name.
    pub by_name: BTreeMap<String, MeshState>,
    /// Those that registered by themselves, by address.
    pub by_address: BTreeMap<String, Registered>,
}

/// A member that registered by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    /// The entry that the control plane made.
    pub entry: Object,
    /// What that says.
    pub state: MeshState,
}

impl Registered {
    /// Returns whether the sidecar went, so that the control plane is about to delete the entry.
    pub fn is_disconnected(&self) -> bool {
        !self.entry.body["metadata"]["annotations"][DISCONNECTED_AT].is_null()
    }
}

impl Members {
    /// Finds a group's members among WorkloadEntries of its namespace.
    pub fn of(group: &Group<'_>, entries: &[Object]) -> Self {
        let mut members = Self::default();
        for entry in entries {
            let state = MeshState::of(&entry.body);
            if group.by_itself {
                if entry.body["metadata"]["annotations"][REGISTERED_BY] == group.fleet {
                    let address = entry.body["spec"]["address"].as_str();
                    let address = address.unwrap_or_default().to_owned();
                    let entry = entry.clone();
                    members
                        .by_address
                        .insert(address, Registered { entry, state });
                }
            } else if let Some(name) = entry.label(MACHINE_LABEL)
                && entry.label(labels::FLEET) == Some(group.fleet)
            {
                members.by_name.insert(name.to_owned(), state);
            }
        }
        members
    }

    /// Returns what the mesh knows of a machine that registers by itself.
    pub fn registered(&self, address: Option<IpAddr>) -> &MeshState {
        let entry = address.and_then(|address| self.by_address.get(&address.to_string()));
        entry.map_or(&MeshState::Unknown, |entry| &entry.state)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_cluster_has_somebody_who_could_report() {
        let annotations = json!({HEALTH_CHECKED: "true"});
        let file = json!({"metadata": {"annotations": annotations}});
        assert_eq!(MeshState::of(&file), MeshState::Registered);
        let mut live = json!({"metadata": {"annotations": annotations, "uid": "1"}});
        assert!(MeshState::of(&live).trouble().is_some());
        live["status"] = json!({"conditions": [{"type": "Healthy", "status": "False"}]});
        assert_eq!(
            MeshState::of(&live).trouble(),
            Some("its health check fails")
        );
        live["status"] = json!({"conditions": [
            {"type": "Healthy", "status": "False", "message": "refused\n! forged"}
        ]});
        assert_eq!(MeshState::of(&live).trouble(), Some("refused ! forged"));
        live["status"] = json!({"conditions": [{"type": "Healthy", "status": "True"}]});
        assert_eq!(MeshState::of(&live), MeshState::Healthy);
        live["metadata"]["annotations"][DISCONNECTED_AT] = json!("2026-01-01T00:00:00Z");
        assert_eq!(
            MeshState::of(&live),
            MeshState::Healthy,
            "it enters nobody by itself"
        );
        live["metadata"]["annotations"][REGISTERED_BY] = json!("web");
        assert!(
            MeshState::of(&live)
                .trouble()
                .is_some_and(|it| it.contains("2026"))
        );
    }
}
