//! What goes on after an answer: an operation is looked at until it has ended.

use serde_json::{Value, json};

use crate::server::Reply;
use crate::world::{World, set, text};
use crate::{LOCATION, SUBSCRIPTION};

/// An operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// What it is on.
    pub target: String,
    /// How many looks it still goes on for.
    pub left: u32,
    /// What it comes to.
    pub end: End,
    /// Whether it has ended.
    pub is_over: bool,
}

/// What an operation comes to.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// A machine runs.
    Runs,
    /// Something failed.
    Fails(String, String),
    /// A machine is stopped and gives its place away.
    Deallocated,
    /// A machine is stopped and keeps its place.
    Stopped,
    /// A change was made.
    Changed,
    /// A machine is gone, with all that goes with it.
    MachineGone,
    /// Something is gone.
    Gone,
    /// A group is gone, with all that is in it.
    GroupGone,
}

impl World {
    /// Begins an operation; returns its id.
    pub fn begin(&mut self, target: &str, end: End) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let operation = Operation {
            target: target.to_owned(),
            left: self.manners.pending,
            end,
            is_over: false,
        };
        self.operations.insert(id.clone(), operation);
        id
    }

    /// Looks at a resource: what goes on with it comes nearer to its end.
    pub fn look_at(&mut self, target: &str) {
        let ids: Vec<String> = self
            .operations
            .iter()
            .filter(|(_, it)| !it.is_over && it.target.eq_ignore_ascii_case(target))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.look(&id);
        }
    }

    /// Returns whether something goes on with a resource.
    pub fn is_busy(&self, target: &str) -> bool {
        let mut all = self.operations.values();
        all.any(|it| !it.is_over && it.target.eq_ignore_ascii_case(target))
    }

    /// Looks at an operation.
    pub fn look(&mut self, id: &str) -> Option<Operation> {
        let operation = self.operations.get_mut(id)?;
        if operation.left > 0 {
            operation.left -= 1;
        } else if !operation.is_over {
            operation.is_over = true;
            let operation = operation.clone();
            self.finish(&operation);
            if self.get(&operation.target).is_none() {
                // Nothing goes on with what is gone, nor with another of its name.
                let target = operation.target.as_str();
                let others = self.operations.values_mut();
                for other in others.filter(|it| it.target.eq_ignore_ascii_case(target)) {
                    other.is_over = true;
                }
            }
        }
        self.operations.get(id).cloned()
    }

    fn finish(&mut self, operation: &Operation) {
        let target = operation.target.as_str();
        let state = "/properties/provisioningState";
        match &operation.end {
            End::Runs | End::Deallocated | End::Stopped => {
                let power = match operation.end {
                    End::Runs => "running",
                    End::Stopped => "stopped",
                    _ => "deallocated",
                };
                // One that is being deleted meanwhile stays so.
                let body = self
                    .get(target)
                    .map(|it| it.body.clone())
                    .unwrap_or_default();
                if text(&body, state) == Some("Deleting") {
                    return;
                }
                self.set(target, state, json!("Succeeded"));
                if let Some(resource) = self.get_mut(target) {
                    resource.power = Some(power);
                }
            }
            End::Changed => self.set(target, state, json!("Succeeded")),
            End::Fails(code, message) => {
                self.set(target, state, json!("Failed"));
                if let Some(resource) = self.get_mut(target) {
                    resource.failure = Some((code.clone(), message.clone()));
                }
            }
            End::MachineGone => self.remove_machine(target),
            End::Gone => self.remove(target),
            End::GroupGone => {
                let below = format!("{}/", target.to_ascii_lowercase());
                self.resources.retain(|id, _| !id.starts_with(&below));
                self.remove(target);
            }
        }
    }

    /// Answers that something goes on.
    pub fn goes_on(
        &mut self,
        status: u16,
        body: Option<Value>,
        id: &str,
        namespace: &str,
    ) -> Reply {
        let base =
            format!("/subscriptions/{SUBSCRIPTION}/providers/{namespace}/locations/{LOCATION}");
        let operation = format!("{base}/operations/{id}?p=1&api-version=2026-04-01");
        let location =
            format!("{base}/operationResults/{id}?p=1&monitor=true&api-version=2026-04-01");
        Reply {
            status,
            body,
            operation: Some(operation),
            location: Some(location),
            is_later: true,
        }
    }

    /// Answers a look at an operation.
    pub fn operation(&mut self, id: &str) -> Reply {
        let Some(operation) = self.look(id) else {
            return Reply::error(404, "OperationNotFound", "There is no such operation.");
        };
        let mut body = json!({"name": id, "startTime": "2026-01-01T00:00:00Z"});
        let is_later = !operation.is_over;
        let status = match (operation.is_over, &operation.end) {
            (false, _) => "InProgress",
            (true, End::Fails(code, message)) => {
                set(
                    &mut body,
                    "/error",
                    json!({"code": code, "message": message}),
                );
                "Failed"
            }
            (true, _) => "Succeeded",
        };
        body["status"] = json!(status);
        Reply {
            is_later,
            ..Reply::of(200, Some(body))
        }
    }

    /// Answers a look at where an operation's result will be.
    pub fn result(&mut self, id: &str) -> Reply {
        let Some(operation) = self.look(id) else {
            return Reply::error(404, "OperationNotFound", "There is no such operation.");
        };
        match (operation.is_over, &operation.end) {
            (false, _) => {
                let mut reply = Reply::of(202, None);
                (reply.location, reply.is_later) = (Some(String::new()), true);
                reply
            }
            (true, End::Fails(code, message)) => Reply::error(409, code, message),
            (true, _) => match self.get(&operation.target) {
                Some(resource) => Reply::of(200, Some(resource.body.clone())),
                None => Reply::of(204, None),
            },
        }
    }
}
