//! What a mesh says of machines. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::objects::HEALTH_CHECKED;

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
        match healthy {
            Some(condition) if condition["status"] == "True" => Self::Healthy,
            Some(condition) => {
                // On one line: it is anybody's text who may write a status.
                let message = condition["message"].as_str().unwrap_or_default();
                let words: Vec<&str> = message.split_whitespace().collect();
                match words.is_empty() {
                    true => unhealthy("its health check fails"),
                    false => unhealthy(&words.join(" ")),
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Those that meshvm entered, by the machine's name.
    pub by_name: BTreeMap<String, MeshState>,
    /// Those that registered by themselves, by address.
    pub by_address: BTreeMap<String, Registered>,
}

/// A member that registered by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The name of the entry that the control plane made.
    pub entry: String,
    /// What that says.
    pub state: MeshState,
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
    }
}
