//! Who writes with a request, and how a write of fields is refused.

use crate::kube::api::Request;
use crate::kube::fields::apply::{Refused, Writer, conflict_causes, conflict_text};
use crate::kube::fields::managers::{Manager, Operation};
use crate::kube::fields::{FieldSet, Step};
use crate::kube::kinds::Kind;
use crate::kube::status::Refusal;

/// Returns who writes with a request.
pub fn writer(request: &Request, kind: &Kind, operation: Operation) -> Writer {
    let version = kind.api_version(&request.version);
    let name = match request.query.field_manager.as_str() {
        "" => request.agent.split('/').next().unwrap_or_default(),
        name => name,
    };
    let name = match name {
        "" => "unknown".to_owned(),
        name => name.chars().take(128).collect(),
    };
    Writer {
        manager: Manager {
            operation,
            name,
            version: match operation {
                Operation::Apply => String::new(),
                Operation::Update => version.clone(),
            },
            subresource: request.subresource.clone(),
        },
        version,
        time: request.time(),
        reset: reset(request, kind),
    }
}

/// Returns the fields that a write to this path never changes.
fn reset(request: &Request, kind: &Kind) -> FieldSet {
    let names: &[&str] = match request.subresource.as_str() {
        "status" => &["spec", "metadata"],
        _ if kind.status => &["status"],
        _ => &[],
    };
    let mut reset = FieldSet::default();
    for name in names {
        reset.insert(&[Step::Field((*name).to_owned())]);
    }
    reset
}

/// Returns the answer to a write of fields that is refused.
pub fn refused(refused: Refused) -> Refusal {
    match refused {
        Refused::Conflict(conflicts) => {
            Refusal::apply_conflict(conflict_text(&conflicts), conflict_causes(&conflicts))
        }
        Refused::Fields(error) => Refusal::bad_request(error.to_string()),
    }
}
