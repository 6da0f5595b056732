//! The condition of an entry that says whether its application is healthy. Pure.

use serde_json::{Value, json};

use crate::istiod::model::HEALTHY;

/// Returns conditions with the one for health replaced, or without it. When it says the same as
/// before, nothing changes.
pub(super) fn conditions(old: &[Value], health: Option<(bool, &str)>, now: &str) -> Vec<Value> {
    let mut new: Vec<Value> = old.to_vec();
    let place = new
        .iter()
        .position(|condition| condition["type"] == HEALTHY);
    let Some((healthy, message)) = health else {
        new.retain(|condition| condition["type"] != HEALTHY);
        return new;
    };
    let status = if healthy { "True" } else { "False" };
    let mut condition = json!({
        "type": HEALTHY,
        "status": status,
        "lastProbeTime": now,
        "lastTransitionTime": now,
    });
    if !message.is_empty() {
        condition["message"] = json!(message);
    }
    match place {
        Some(place) => {
            let was = &new[place];
            let is_same = was["status"] == condition["status"]
                && was["message"].as_str().unwrap_or_default() == message;
            if is_same {
                return new;
            }
            if was["status"] == condition["status"] {
                condition["lastTransitionTime"] = was["lastTransitionTime"].clone();
            }
            new[place] = condition;
        }
        None => new.push(condition),
    }
    new
}
