//! Fields that two managers want: who has them, and with which values. Pure.

use serde_json::Value;

use super::{HeldField, KubernetesError, Refusal, fields, managers};
use crate::mesh::Object;

/// Returns whether an apply was refused since others hold fields with other values.
pub(super) fn is_conflict(error: &KubernetesError) -> bool {
    match error {
        KubernetesError::Refused { status, .. } => {
            status.code == 409
                && status.details.as_ref().is_some_and(|details| {
                    details
                        .causes
                        .iter()
                        .any(|cause| cause.reason == "FieldManagerConflict")
                })
        }
        _ => false,
    }
}

/// Says which fields others hold, with their values and ours.
pub(super) fn conflict(object: &Object, error: &KubernetesError, live: &Value) -> KubernetesError {
    let causes = match error {
        KubernetesError::Refused { status, .. } => status.details.as_ref().map(|d| &d.causes),
        _ => None,
    };
    // By the fields' owners: a path does not tell a dot in a name from one between two.
    let known = managers::conflicts(live, &object.body);
    let fields = causes
        .into_iter()
        .flatten()
        .map(|cause| {
            let known = known.iter().find(|held| held.field == cause.field);
            let manager = cause.message.trim_start_matches("conflict with ");
            known.cloned().unwrap_or_else(|| HeldField {
                field: cause.field.clone(),
                manager: manager.to_owned(),
                theirs: fields::at(live, &cause.field),
                ours: Some(fields::at(&object.body, &cause.field)),
            })
        })
        .collect();
    let object = object.reference.clone();
    KubernetesError::Conflict(vec![Refusal { object, fields }])
}
