//! Operations: pending, running, done; and done may be failed.

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

/// What an operation does to an instance when it ends.
#[derive(Clone, Debug)]
pub enum Effect {
    /// These run.
    Run(Vec<u64>),
    /// It is stopped.
    Stop(u64),
    /// It is suspended.
    Suspend(u64),
    /// It is gone, with the disks that were made for it.
    Remove(u64),
    /// Nothing: its effect was at once.
    Nothing,
}

/// An operation.
pub struct Operation {
    pub name: String,
    pub zone: String,
    /// How many further calls it takes to end.
    pub left: u32,
    pub effect: Effect,
    /// What it looks like in the end.
    pub ends: Value,
    pub body: Value,
}

impl Operation {
    /// Begins one; it is pending.
    pub fn new(
        root: &str,
        project: &str,
        zone: &str,
        number: u64,
        kind: &str,
        target: &str,
    ) -> Self {
        // The name is as long as those of the cloud, and the id a number, as clients insist on.
        let name = format!("operation-1764190800000-{number:013x}-0a1b2c3d-4e5f6a7b");
        let now = Timestamp::now().to_string();
        let place = match zone {
            "" => format!("{root}/projects/{project}/global"),
            zone => format!("{root}/projects/{project}/zones/{zone}"),
        };
        let mut body = json!({
            "kind": "compute#operation",
            "id": (7_000_000_000_000_000_000_u64 + number).to_string(),
            "name": name,
            "operationType": kind,
            "targetLink": target,
            "status": "PENDING",
            "progress": 0,
            "user": "tester@example.com",
            "insertTime": now,
            "startTime": now,
            "selfLink": format!("{place}/operations/{name}"),
        });
        // One that is no zone's is the whole project's.
        if !zone.is_empty() {
            body["zone"] = json!(place);
        }
        Self {
            name,
            zone: zone.to_owned(),
            left: 0,
            effect: Effect::Nothing,
            ends: json!({}),
            body,
        }
    }

    /// Makes it end in an error.
    pub fn fails(&mut self, status: u16, code: &str, message: &str) {
        self.ends["httpErrorStatusCode"] = json!(status);
        let word = StatusCode::from_u16(status)
            .expect("a status")
            .canonical_reason();
        self.ends["httpErrorMessage"] = json!(word.unwrap_or_default().to_uppercase());
        let errors = self.ends["error"]["errors"].as_array().cloned();
        let mut errors = errors.unwrap_or_default();
        let error = json!({"code": code, "message": message});
        // What befell many machines is said once.
        if !errors.contains(&error) {
            errors.push(error);
        }
        self.ends["error"] = json!({"errors": errors});
    }

    pub fn is_done(&self) -> bool {
        self.body["status"] == "DONE"
    }

    /// Goes one step; returns what it does when that was the last.
    pub fn step(&mut self) -> Option<Effect> {
        if self.is_done() {
            return None;
        }
        if self.left > 0 {
            self.left -= 1;
            self.body["status"] = json!("RUNNING");
            return None;
        }
        self.body["status"] = json!("DONE");
        self.body["progress"] = json!(100);
        self.body["endTime"] = json!(Timestamp::now().to_string());
        for (name, value) in self.ends.as_object().into_iter().flatten() {
            self.body[name] = value.clone();
        }
        let has_failed = self.body["error"].is_object();
        match (&self.effect, has_failed) {
            // Making machines may fail in part.
            (Effect::Run(_), _) | (_, false) => Some(self.effect.clone()),
            (Effect::Stop(_) | Effect::Suspend(_) | Effect::Remove(_) | Effect::Nothing, true) => {
                None
            }
        }
    }
}
