//! Objects that are there, and that a listing by label does not show. Pure.

use std::collections::BTreeSet;

use meshvm_provider_api::labels;

use super::{FieldChange, ObjectAction, ObjectChange, Plan, Reason};
use crate::mesh::ObjectRef;

impl Plan {
    /// Returns the objects that were there, and that no listing by label shows any more.
    pub fn unseen(&self) -> BTreeSet<ObjectRef> {
        let unseen = self.objects.iter().filter(|change| is_unseen(change));
        unseen.map(|change| change.reference.clone()).collect()
    }

    /// Tells of objects that they are not gone: they are there without their label.
    pub fn tell_unlabelled(&mut self, found: &BTreeSet<ObjectRef>) {
        let stack = format!("{:?}", self.desired.stack);
        let label = |before: Option<&String>, after: Option<&String>| FieldChange {
            field: format!("metadata.labels.{}", labels::STACK),
            before: before.cloned(),
            after: after.cloned(),
        };
        let objects = self.objects.iter_mut();
        for change in objects.filter(|c| is_unseen(c) && found.contains(&c.reference)) {
            change.action = ObjectAction::Update;
            change.reason = Reason::Unlabelled;
            change.differences = vec![label(None, Some(&stack))];
            let subject = change.reference.to_string();
            for drift in &mut self.drift {
                if drift.reason == Reason::Missing && drift.subject == subject {
                    drift.reason = Reason::Unlabelled;
                    drift.differences = vec![label(Some(&stack), None)];
                }
            }
        }
    }
}

fn is_unseen(change: &ObjectChange) -> bool {
    change.action == ObjectAction::Create && change.reason == Reason::Missing
}
