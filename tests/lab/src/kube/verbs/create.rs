//! Making an object.

use serde_json::{Value, json};
use uuid::Uuid;

use super::admit;
use super::read::in_version;
use super::writer::{refused, writer};
use crate::kube::api::{Answer, Api, Request, stamp};
use crate::kube::fields::apply::update;
use crate::kube::fields::managers::{Managers, Operation};
use crate::kube::kinds::{Kind, Nature, Version};
use crate::kube::lifecycle;
use crate::kube::rules;
use crate::kube::status::{FieldFault, Refusal};
use crate::kube::store::Key;

/// Makes the object in the body.
///
/// # Errors
///
/// What a real server would refuse it with.
pub fn create(api: &mut Api, request: &Request) -> Result<Answer, Refusal> {
    let (kind, version) = api.kind_of(request)?;
    let mut object = admit::decode(request, kind)?;
    admit::place(&mut object, request, false)?;
    let warnings = admit::fit(request, kind, version, &mut object)?;
    let managers = Managers::default();
    let made = insert(api, request, object, Ownership::Updated(managers))?;
    Ok(Answer {
        code: 201,
        body: made,
        warnings,
    })
}

/// How the managers of a new object are known.
pub enum Ownership {
    /// All that is in it is the writer's, on top of these.
    Updated(Managers),
    /// It was applied, and these own it.
    Applied(Managers),
}

/// Completes, checks and keeps a new object. Returns it in the version of the request.
///
/// # Errors
///
/// 404 and 403 when its namespace takes nothing, 409 when it is there already, 422 when it is
/// not right.
pub fn insert(
    api: &mut Api,
    request: &Request,
    mut object: Value,
    ownership: Ownership,
) -> Result<Value, Refusal> {
    let (kind, version) = api.kind_of(request)?;
    name(kind, &mut object)?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let key: Key = (request.namespace.clone(), name.to_owned());
    lifecycle::takes_objects(api, kind, &key)?;
    strip(kind, &mut object);
    let metadata = &mut object["metadata"];
    metadata["uid"] = json!(Uuid::new_v4().to_string());
    metadata["creationTimestamp"] = json!(stamp(request.now));
    if kind.counts_generations() {
        metadata["generation"] = json!(1);
    }
    admit::complete(kind, version, &mut object);
    rules::allocate(api, kind, &mut object)?;
    admit::check(kind, version, &object, None)?;
    let managers = match ownership {
        Ownership::Applied(managers) => managers,
        Ownership::Updated(managers) => {
            let writer = writer(request, kind, Operation::Update);
            let empty = nothing(kind, version, &object);
            update(&version.schema, &empty, &object, managers, &writer).map_err(refused)?
        }
    };
    object["metadata"]["managedFields"] = managers.to_entries();
    if api.store.get(request.kind, &key).is_some() {
        return Err(Refusal::already_exists(&kind.group, &kind.plural, &key.1));
    }
    if request.query.dry_run {
        return Ok(in_version(kind, &version.name, &object));
    }
    object["apiVersion"] = json!(kind.api_version(&kind.storage().name));
    let kept = api.store.put(request.kind, key, object);
    lifecycle::after_write(api, request.kind, &kept);
    let (kind, version) = api.kind_of(request)?;
    Ok(in_version(kind, &version.name, &kept))
}

/// Makes up a name where only its beginning is given.
fn name(kind: &Kind, object: &mut Value) -> Result<(), Refusal> {
    // The letters that real servers use, which make no words.
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let metadata = &mut object["metadata"];
    if metadata["name"]
        .as_str()
        .is_some_and(|name| !name.is_empty())
    {
        return Ok(());
    }
    let Some(prefix) = metadata["generateName"].as_str().filter(|p| !p.is_empty()) else {
        let fault = FieldFault::required("metadata.name", "name or generateName is required");
        return admit::refuse(kind, object, &[fault]);
    };
    let random = Uuid::new_v4();
    let letters = random.as_bytes()[..5].iter();
    let end: String = letters
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect();
    metadata["name"] = json!(format!("{prefix}{end}"));
    Ok(())
}

/// Takes out what a client cannot set on a new object.
fn strip(kind: &Kind, object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in [
            "resourceVersion",
            "selfLink",
            "managedFields",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            metadata.remove(field);
        }
    }
    if kind.status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
}

/// Returns what a new object is compared with. The parts that the server's own types always have
/// are nobody's.
fn nothing(kind: &Kind, version: &Version, object: &Value) -> Value {
    let mut nothing = json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {},
    });
    if kind.nature == Nature::Builtin {
        for part in ["spec", "status"] {
            if version.schema.names(part) && object.get(part).is_some() {
                nothing[part] = json!({});
            }
        }
    }
    nothing
}
