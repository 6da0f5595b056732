//! What goes wrong on purpose, and a count of what was asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Something that goes wrong with requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The verb that it happens to, such as `create` or `watch`; left out for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    /// The resource that it happens to, such as `workloadentries` or `serviceaccounts/token`;
    /// left out for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// How many times it happens.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    pub effect: Effect,
}

fn once() -> u32 {
    1
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Effect {
    /// The server has too much to do: 429, with `Retry-After`.
    TooMany {
        /// The seconds to wait.
        retry_after: u32,
    },
    /// The server answers with an error, and does nothing.
    Status {
        /// The HTTP code.
        code: u16,
    },
    /// The connection is reset before anything is done.
    Reset,
    /// All is done, and then the connection is reset.
    LoseReply,
    /// The answer takes so long.
    Slow {
        /// The milliseconds.
        millis: u64,
    },
    /// A watch, or the rest of a list, is told that its version is gone: 410.
    Gone,
}

/// The faults that are still to happen.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// Adds a fault; those that were added first happen first.
    pub fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Takes all faults back.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Returns the faults that are still to happen.
    pub fn left(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    /// Returns what happens to a request, and counts it down.
    pub(super) fn next(&self, verb: &str, resource: &str) -> Option<Effect> {
        let mut faults = self.lock();
        let fits = |fault: &Fault| {
            fault.times > 0
                && fault.verb.as_deref().is_none_or(|v| v == verb)
                && fault.resource.as_deref().is_none_or(|r| r == resource)
        };
        let at = faults.iter().position(fits)?;
        faults[at].times -= 1;
        let effect = faults[at].effect.clone();
        faults.retain(|fault| fault.times > 0);
        Some(effect)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often was asked for what.
#[derive(Debug, Default)]
pub struct Requests(Mutex<BTreeMap<(String, String), u64>>);

/// How often one verb was asked of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// The verb, such as `patch`.
    pub verb: String,
    /// The resource, such as `workloadentries` or `serviceaccounts/token`.
    pub resource: String,
    /// How often.
    pub count: u64,
}

impl Requests {
    /// Returns how often one verb was asked of one resource.
    pub fn of(&self, verb: &str, resource: &str) -> u64 {
        let key = (verb.to_owned(), resource.to_owned());
        self.lock().get(&key).copied().unwrap_or_default()
    }

    /// Returns all counts.
    pub fn all(&self) -> Vec<Count> {
        let counts = self.lock();
        let counts = counts.iter().map(|((verb, resource), count)| Count {
            verb: verb.clone(),
            resource: resource.clone(),
            count: *count,
        });
        counts.collect()
    }

    /// Returns how many requests there were.
    pub fn total(&self) -> u64 {
        self.lock().values().sum()
    }

    /// Counts from nothing again.
    pub fn reset(&self) {
        self.lock().clear();
    }

    pub(super) fn count(&self, verb: &str, resource: &str) {
        let key = (verb.to_owned(), resource.to_owned());
        *self.lock().entry(key).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_often_as_it_should() {
        let faults = Faults::default();
        let text = r#"{"verb": "create", "times": 2, "effect": {"tooMany": {"retryAfter": 1}}}"#;
        faults.add(serde_json::from_str(text).unwrap());
        faults.add(serde_json::from_str(r#"{"effect": "reset"}"#).unwrap());
        assert_eq!(faults.next("get", "secrets"), Some(Effect::Reset));
        let too_many = Some(Effect::TooMany { retry_after: 1 });
        assert_eq!(faults.next("create", "secrets"), too_many);
        assert_eq!(faults.next("get", "secrets"), None);
        assert_eq!(faults.next("create", "services"), too_many);
        assert_eq!(faults.next("create", "secrets"), None);
        assert!(faults.left().is_empty());
    }
}
