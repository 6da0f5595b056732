//! Ports that somebody else gave another number or name.
//!
//! The API server tells the ports of a Service apart by number and protocol, and those of a
//! ServiceEntry by name. One whose number, respectively name, somebody changed is another port to it:
//! an apply puts the wanted one beside that, and both have the same name, respectively number. The
//! server refuses that, forced or not, and no field of the wanted port is in conflict
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy>).

use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Map, Value, json};

use super::managers::{self, HeldField};
use super::{Kubernetes, KubernetesError, MANAGER, Refusal, attempt};
use crate::mesh::Object;

/// What of a port tells it from others to whoever uses it, and is in no two ports.
const UNIQUE: [&str; 2] = ["name", "number"];

/// A port of somebody else in the place of a wanted one.
pub(super) struct Usurper {
    /// Where it is, as the API server writes paths.
    pub path: String,
    /// What tells it from other ports to the API server.
    keys: Map<String, Value>,
    /// Its name, or its number: that of the wanted one.
    place: Value,
    /// In what it differs from the wanted one.
    pub held: HeldField,
}

/// Returns the ports that others made of wanted ones, or in their places.
pub(super) fn usurpers(live: &Value, wanted: &Value) -> Vec<Usurper> {
    let (is, wanted) = (ports(live), ports(wanted));
    let mut found = Vec::new();
    for (manager, owned) in managers::others(live) {
        let items = owned["f:spec"]["f:ports"].as_object();
        for key in items.into_iter().flat_map(Map::keys) {
            let Some(keys) = managers::keys_of(key) else {
                continue;
            };
            let Some(theirs) = is.iter().find(|port| has(port, &keys)) else {
                continue;
            };
            if wanted.iter().any(|port| has(port, &keys)) {
                continue;
            }
            let mut unique = UNIQUE.iter().filter(|field| !keys.contains_key(**field));
            let place = unique.find_map(|field| {
                let value = theirs.get(field)?;
                let ours = wanted.iter().find(|port| port.get(field) == Some(value))?;
                Some((field, value, ours))
            });
            let Some((field, value, ours)) = place else {
                continue;
            };
            let mut other = keys
                .iter()
                .filter(|(key, value)| ours.get(key) != Some(value));
            let Some((key, theirs)) = other.next() else {
                continue;
            };
            found.push(Usurper {
                path: managers::item_path(".spec.ports", &keys),
                place: value.clone(),
                held: HeldField {
                    field: format!(".spec.ports[{field}={value}].{key}"),
                    manager: manager.clone(),
                    theirs: theirs.to_string(),
                    ours: ours.get(key).map(Value::to_string),
                },
                keys: keys.clone(),
            });
        }
    }
    found
}

/// Returns an object to apply with its ports beside those in their places, under names of their own;
/// what a port speaks is told by what its name begins with.
fn beside(body: &Value, usurpers: &[Usurper]) -> Value {
    const MOST: usize = 63;
    let mut body = body.clone();
    let ports = body["spec"]["ports"].as_array_mut();
    for port in ports.into_iter().flatten() {
        if usurpers.iter().any(|it| port["name"] == it.place) {
            let suffix = format!("-{MANAGER}");
            let name = port["name"].as_str().unwrap_or_default();
            let name: String = name.chars().take(MOST - suffix.len()).collect();
            port["name"] = json!(name + &suffix);
        }
    }
    body
}

/// Returns whether a port has these values.
fn has(port: &Value, keys: &Map<String, Value>) -> bool {
    keys.iter().all(|(key, value)| port.get(key) == Some(value))
}

fn ports(object: &Value) -> &[Value] {
    object["spec"]["ports"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

impl Kubernetes {
    /// Removes the ports that are in the places of wanted ones from an object that is about to be
    /// applied as `body`. Safe to repeat: an apply puts the wanted ones there.
    ///
    /// # Errors
    /// [`KubernetesError::Conflict`] where they are not to be taken.
    pub(super) async fn make_room(
        &self,
        api: &Api<DynamicObject>,
        object: &Object,
        body: &Value,
        how: &PatchParams,
    ) -> Result<(), KubernetesError> {
        let reference = &object.reference;
        let is_service = match reference.kind.as_str() {
            "Service" => true,
            "ServiceEntry" => false,
            _ => return Ok(()),
        };
        let name = reference.name.as_str();
        let found = attempt(&format!("read {reference}"), || api.get_opt(name)).await?;
        let mut live = serde_json::to_value(found).unwrap_or_default();
        let found = usurpers(&live, body);
        if found.is_empty() {
            return Ok(());
        }
        if !how.force {
            let (object, fields) = (reference.clone(), managers::conflicts(&live, body));
            return Err(KubernetesError::Conflict(vec![Refusal { object, fields }]));
        }
        let action = format!("remove the ports of others from {reference}");
        if is_service {
            // It has a port at any time, so the wanted ones come first, under names of their own.
            let beside = Patch::Apply(beside(body, &found));
            let applied = attempt(&action, || api.patch(name, how, &beside)).await?;
            live = serde_json::to_value(applied).unwrap_or_default();
        }
        let stays = |port: &&Value| !found.iter().any(|it| has(port, &it.keys));
        let left: Vec<&Value> = ports(&live).iter().filter(stays).collect();
        // Of a port that stays as it is nobody new becomes an owner.
        let without = Patch::Merge(json!({
            "metadata": {"resourceVersion": live["metadata"]["resourceVersion"]},
            "spec": {"ports": left},
        }));
        let how = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let removed = attempt(&action, || api.patch(name, &how, &without)).await;
        removed.map(drop)
    }
}
