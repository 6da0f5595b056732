//! What user-data is made from, so that a plan can say why machines boot otherwise. Pure.
//!
//! Only for people: whether machines differ is told by the hash of their user-data.

use std::collections::BTreeMap;

use meshvm_provider_api::labels::Hash;
use meshvm_provider_api::template::flatten;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::mesh::kubernetes::MeshRead;
use crate::spec::model::Membership;
use crate::spec::{Fleet, FleetSpec};

/// The setting that says where machines reach the control plane.
pub(super) const GATEWAY: &str = "mesh.eastWest";

/// What some user-data was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Boot {
    /// The hash by which it is told whether a machine has this user-data. What a machine renews by
    /// itself, as the mesh's root certificate, does not count.
    pub user_data: Hash,
    /// The settings, by path in the fleet file, as JSON text.
    pub from: BTreeMap<String, String>,
}

impl Boot {
    /// Returns the settings in which another differs: name, what it was here, what it is there.
    pub fn changed<'a>(
        &'a self,
        later: &'a Self,
    ) -> impl Iterator<Item = (&'a String, Option<&'a String>, Option<&'a String>)> {
        let added = later
            .from
            .keys()
            .filter(|key| !self.from.contains_key(*key));
        self.from
            .keys()
            .chain(added)
            .map(|key| (key, self.from.get(key), later.from.get(key)))
            .filter(|(_, before, after)| before != after)
    }
}

/// Collects what a fleet's user-data is made from, by path in the fleet file.
pub(super) fn settings(
    spec: &FleetSpec,
    fleet: &Fleet,
    membership: Option<&Membership>,
    mesh: Option<&MeshRead>,
) -> BTreeMap<String, String> {
    let mut from = BTreeMap::new();
    let mut put = |prefix: &str, value: Value| {
        for (path, value) in flatten(&value) {
            from.insert(format!("{prefix}.{path}"), value.to_string());
        }
    };
    if fleet.body.external.is_none() {
        put("sidecar", json!(spec.sidecar));
    }
    if let Some(membership) = membership {
        let mut value = json!(membership);
        if let Some(map) = value.as_object_mut() {
            // These are the mesh's business, and no machine's.
            for other in ["service", "serviceEntry", "traffic", "weight", "locality"] {
                map.remove(other);
            }
            // Who made it is all one to a machine.
            let account = membership.service_account.as_str();
            map.insert("serviceAccount".to_owned(), json!(account));
        }
        put("membership", value);
    }
    if let Some(MeshRead { facts, .. }) = mesh {
        put(
            "mesh",
            json!({
                "revision": facts.revision,
                "clusterId": facts.cluster_id,
                "trustDomain": facts.trust_domain,
                "defaultConfig": facts.default_config,
                "eastWest": facts.gateway,
            }),
        );
    }
    // Commands and files may be long, and are not for every eye.
    for (path, value) in flatten(&json!(fleet.body.bootstrap)) {
        let hash = Hash::of(value.to_string());
        from.insert(format!("bootstrap.{path}"), json!(hash).to_string());
    }
    from
}
