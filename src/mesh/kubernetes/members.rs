//! What a cluster says of a fleet's members: whether they are registered, and healthy.

use kube::Api;
use kube::api::ListParams;
use kube::core::DynamicObject;
use meshvm_provider_api::labels;
use serde_json::Value;

use super::{Kubernetes, pages, resource};
use crate::mesh::{Group, MACHINE_LABEL, Members, MeshError, MeshState, Registered};

/// The annotation of an entry that the control plane made, with its WorkloadGroup
/// (<https://istio.io/latest/docs/reference/config/annotations/>).
const REGISTERED_BY: &str = "istio.io/autoRegistrationGroup";

impl Kubernetes {
    pub(super) async fn members_of(&self, group: &Group<'_>) -> Result<Members, MeshError> {
        let resource = resource("WorkloadEntry")?;
        let client = self.client().await?.clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, group.namespace, &resource);
        let action = format!("list WorkloadEntries in {}", group.namespace);
        let first = if group.by_itself {
            // What the control plane makes has no label of ours.
            ListParams::default()
        } else {
            ListParams::default().labels(&format!(
                "{}={},{}={}",
                labels::STACK,
                group.stack,
                labels::FLEET,
                group.fleet
            ))
        };
        let mut members = Members::default();
        for entry in pages(&api, &action, first).await? {
            let entry = serde_json::to_value(entry).unwrap_or_default();
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let metadata = &entry["metadata"];
            if group.by_itself {
                if metadata["annotations"][REGISTERED_BY] == group.fleet {
                    let address = text(&entry["spec"]["address"]).unwrap_or_default();
                    let registered = Registered {
                        entry: text(&metadata["name"]).unwrap_or_default(),
                        state: MeshState::of(&entry),
                    };
                    members.by_address.insert(address, registered);
                }
            } else if let Some(name) = text(&metadata["labels"][MACHINE_LABEL]) {
                members.by_name.insert(name, MeshState::of(&entry));
            }
        }
        Ok(members)
    }
}
