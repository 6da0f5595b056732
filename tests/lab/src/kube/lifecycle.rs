//! The ends and the consequences of objects: finalizers, owners, namespaces.
//!
//! What a controller would do later is a [`Chore`], done between requests. A cluster at rest has
//! none left.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::{Api, stamp};
use super::kinds::{Kind, KindId, Nature};
use super::status::Refusal;
use super::store::{Key, Place, owners, uid};

/// The finalizer of an object that waits for what it owns.
const FOREGROUND: &str = "foregroundDeletion";

/// Something that a controller does in a while.
#[derive(Debug, Clone, PartialEq)]
pub enum Chore {
    /// Take away what is owned by an object that is gone.
    Collect(String),
    /// Take away an object if none of its owners is there.
    CheckOwners(Place),
    /// Take away what an object owns, and then itself.
    Foreground(Place),
    /// Give a namespace what each has.
    Furnish(String),
    /// Empty a namespace, and take it away once it is.
    Empty(String),
}

/// How far a deletion came.
#[derive(Debug, PartialEq)]
pub enum Deletion {
    /// The object is gone.
    Gone(Value),
    /// The object lingers, until somebody takes its finalizers away.
    Lingers(Value),
}

/// Checks that the namespace of a new object takes it.
///
/// # Errors
///
/// 404 when there is none, 403 when it is being deleted.
pub fn takes_objects(api: &Api, kind: &Kind, (namespace, name): &Key) -> Result<(), Refusal> {
    if !kind.namespaced {
        return Ok(());
    }
    let place = (String::new(), namespace.clone());
    let Some(found) = api.store.get(api.core("namespaces"), &place) else {
        return Err(Refusal::not_found("", "namespaces", namespace));
    };
    if is_dying(found) {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        return Err(Refusal::forbidden(&kind.group, &kind.plural, name, &why));
    }
    Ok(())
}

fn is_dying(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

fn finalizers(object: &Value) -> &[Value] {
    let found = object.pointer("/metadata/finalizers");
    found.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Sees to the consequences of a write.
pub fn after_write(api: &mut Api, kind: KindId, object: &Value) {
    let key = key_of(object);
    if is_dying(object) {
        if finalizers(object).is_empty() && kind != api.core("namespaces") {
            remove(api, kind, &key);
        }
        return;
    }
    if owners(object).next().is_some() {
        api.chores
            .push_back(Chore::CheckOwners(Place { kind, key }));
    } else if kind == api.core("namespaces") {
        api.chores.push_back(Chore::Furnish(key.1));
    }
}

/// Deletes an object, as far as its finalizers let it.
pub fn delete(
    api: &mut Api,
    kind: KindId,
    object: &Value,
    foreground: bool,
    now: Timestamp,
) -> Deletion {
    let key = key_of(object);
    let namespace = kind == api.core("namespaces");
    let waits = foreground
        && !api
            .store
            .owned_by(uid(object).unwrap_or_default())
            .is_empty();
    if finalizers(object).is_empty() && !waits && !namespace {
        remove(api, kind, &key);
        return Deletion::Gone(object.clone());
    }
    let mut object = object.clone();
    if !is_dying(&object) {
        let metadata = &mut object["metadata"];
        metadata["deletionTimestamp"] = json!(stamp(now));
        metadata["deletionGracePeriodSeconds"] = json!(0);
        if let Some(generation) = metadata["generation"].as_u64() {
            metadata["generation"] = json!(generation + 1);
        }
        if waits {
            let mut all = finalizers(&object).to_vec();
            all.push(json!(FOREGROUND));
            object["metadata"]["finalizers"] = Value::Array(all);
        }
        if namespace {
            object["status"]["phase"] = json!("Terminating");
        }
        object = Value::clone(&api.store.put(kind, key.clone(), object));
    }
    if namespace {
        api.chores.push_back(Chore::Empty(key.1));
    } else if waits {
        api.chores.push_back(Chore::Foreground(Place { kind, key }));
    }
    Deletion::Lingers(object)
}

/// Frees what an object owns from it.
pub fn orphan(api: &mut Api, owner: &str) {
    for place in api.store.owned_by(owner) {
        disown(api, &place, |uid| uid == owner);
    }
}

/// Takes owners away from an object.
fn disown(api: &mut Api, place: &Place, gone: impl Fn(&str) -> bool) {
    let Some(object) = api.store.get(place.kind, &place.key) else {
        return;
    };
    let mut object = Value::clone(object);
    if let Some(owners) = object
        .pointer_mut("/metadata/ownerReferences")
        .and_then(Value::as_array_mut)
    {
        owners.retain(|owner| !owner["uid"].as_str().is_some_and(&gone));
        if owners.is_empty()
            && let Some(metadata) = object["metadata"].as_object_mut()
        {
            metadata.remove("ownerReferences");
        }
    }
    api.store.put(place.kind, place.key.clone(), object);
}

/// Takes an object away, whatever it has.
fn remove(api: &mut Api, kind: KindId, key: &Key) {
    let Some(object) = api.store.remove(kind, key) else {
        return;
    };
    if let Some(uid) = uid(&object) {
        api.chores.push_back(Chore::Collect(uid.to_owned()));
    }
    for owner in owners(&object) {
        if let Some(place) = api.store.place_of(owner) {
            api.chores.push_back(Chore::Foreground(place.clone()));
        }
    }
    let namespace = key.0.clone();
    let home = (String::new(), namespace.clone());
    if let Some(found) = api.store.get(api.core("namespaces"), &home) {
        api.chores.push_back(match is_dying(found) {
            true => Chore::Empty(namespace),
            false => Chore::Furnish(namespace),
        });
    }
}

/// Does all chores, and those that come of them.
pub fn run(api: &mut Api, now: Timestamp) {
    while let Some(chore) = api.chores.pop_front() {
        match chore {
            Chore::Collect(owner) => {
                for place in api.store.owned_by(&owner) {
                    api.chores.push_back(Chore::CheckOwners(place));
                }
            }
            Chore::CheckOwners(place) => check_owners(api, &place, now),
            Chore::Foreground(place) => foreground(api, &place, now),
            Chore::Furnish(namespace) => furnish(api, &namespace, now),
            Chore::Empty(namespace) => empty(api, &namespace, now),
        }
    }
}

fn check_owners(api: &mut Api, place: &Place, now: Timestamp) {
    let Some(object) = api.store.get(place.kind, &place.key).cloned() else {
        return;
    };
    let (there, gone): (Vec<&str>, Vec<&str>) =
        owners(&object).partition(|uid| api.store.place_of(uid).is_some());
    if gone.is_empty() {
        return;
    }
    if there.is_empty() {
        delete(api, place.kind, &object, false, now);
    } else {
        let gone: Vec<String> = gone.into_iter().map(str::to_owned).collect();
        disown(api, place, |uid| gone.iter().any(|gone| gone == uid));
    }
}

fn foreground(api: &mut Api, place: &Place, now: Timestamp) {
    let Some(object) = api.store.get(place.kind, &place.key).cloned() else {
        return;
    };
    if !is_dying(&object) || !finalizers(&object).iter().any(|f| f == FOREGROUND) {
        return;
    }
    let owned = api.store.owned_by(uid(&object).unwrap_or_default());
    for place in &owned {
        if let Some(object) = api.store.get(place.kind, &place.key).cloned()
            && !is_dying(&object)
        {
            delete(api, place.kind, &object, true, now);
        }
    }
    if api
        .store
        .owned_by(uid(&object).unwrap_or_default())
        .is_empty()
    {
        let mut object = Value::clone(&object);
        if let Some(all) = object
            .pointer_mut("/metadata/finalizers")
            .and_then(Value::as_array_mut)
        {
            all.retain(|finalizer| finalizer != FOREGROUND);
        }
        let kept = api.store.put(place.kind, place.key.clone(), object);
        after_write(api, place.kind, &kept);
    }
}

/// Gives a namespace its account and the cluster's certificate, where they are not there.
fn furnish(api: &mut Api, namespace: &str, now: Timestamp) {
    let home = (String::new(), namespace.to_owned());
    let namespaces = api.core("namespaces");
    if api
        .store
        .get(namespaces, &home)
        .is_none_or(|ns| is_dying(ns))
    {
        return;
    }
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount"});
    let certificate = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": api.ca_pem},
    });
    for (plural, name, mut object) in [
        ("serviceaccounts", "default", account),
        ("configmaps", "kube-root-ca.crt", certificate),
    ] {
        let kind = api.core(plural);
        let key = (namespace.to_owned(), name.to_owned());
        if api.store.get(kind, &key).is_none() {
            object["metadata"] = json!({
                "name": name,
                "namespace": namespace,
                "uid": Uuid::new_v4().to_string(),
                "creationTimestamp": stamp(now),
            });
            api.store.put(kind, key, object);
        }
    }
}

/// Empties a namespace that is being deleted.
fn empty(api: &mut Api, namespace: &str, now: Timestamp) {
    let home = (String::new(), namespace.to_owned());
    let namespaces = api.core("namespaces");
    let Some(found) = api.store.get(namespaces, &home).cloned() else {
        return;
    };
    if !is_dying(&found) {
        return;
    }
    let kinds: Vec<KindId> = api
        .kinds
        .iter()
        .filter(|(_, kind)| kind.namespaced && !matches!(kind.nature, Nature::Review(_)))
        .map(|(id, _)| id)
        .collect();
    let mut left = false;
    for kind in kinds {
        let objects: Vec<_> = api
            .store
            .list(kind, Some(namespace), None)
            .map(|(_, object)| object.clone())
            .collect();
        for object in objects {
            if is_dying(&object) && !finalizers(&object).is_empty() {
                left = true;
                continue;
            }
            left |= matches!(delete(api, kind, &object, false, now), Deletion::Lingers(_));
        }
    }
    if !left && finalizers(&found).is_empty() {
        remove(api, namespaces, &home);
    }
}

/// Returns where an object is.
pub fn key_of(object: &Value) -> Key {
    let text = |name: &str| {
        let text = object["metadata"][name].as_str();
        text.unwrap_or_default().to_owned()
    };
    (text("namespace"), text("name"))
}
