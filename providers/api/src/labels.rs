//! Ownership labels: how meshvm knows its own machines without a state file.
//!
//! The names and values fit the strictest cloud: GCP allows lowercase letters,
//! digits, `-` and `_`, at most 63 characters, in keys and values
//! (<https://cloud.google.com/compute/docs/labeling-resources>).
//!
//! Invariant: every machine that meshvm creates carries those of [`ALWAYS`] from
//! its first moment; a machine without [`STACK`] is not meshvm's.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Labels of a machine, by key.
pub type Labels = BTreeMap<String, String>;

/// The stack that owns the object.
pub const STACK: &str = "meshvm-stack";
/// The fleet that the machine belongs to.
pub const FLEET: &str = "meshvm-fleet";
/// The batch that made the machine.
pub const BATCH: &str = "meshvm-batch";
/// The hash of what the object was made from, or last updated to.
pub const SPEC: &str = "meshvm-spec";
/// The hash of the user-data that the machine was given.
pub const USER_DATA: &str = "meshvm-user-data";

/// The zone that the machine was asked for in, where that had no room and it was made in another.
pub const ZONE: &str = "meshvm-zone";

/// The labels that every new machine has.
pub const ALWAYS: [&str; 5] = [STACK, FLEET, BATCH, SPEC, USER_DATA];

/// All labels that are meshvm's own.
pub const ALL: [&str; 6] = [STACK, FLEET, BATCH, SPEC, USER_DATA, ZONE];

/// Returns whether a label's value fits a pattern, in which `*` stands for any text.
pub fn fits(pattern: &str, value: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else {
        return pattern == value;
    };
    let Some(value) = value.strip_prefix(before) else {
        return false;
    };
    // Whatever the star may stand for: the shortest first.
    value
        .char_indices()
        .map(|(at, _)| at)
        .chain([value.len()])
        .any(|at| fits(rest, &value[at..]))
}

/// The idempotency key of a batch: the same key always means the same machines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchKey(pub Uuid);

impl BatchKey {
    /// Returns the eight characters that stand for the key in machine names.
    pub fn short(&self) -> String {
        let mut text = self.0.simple().to_string();
        text.truncate(8);
        text
    }

    /// Returns the name of the batch's machine number `index`, for clouds that want names beforehand.
    pub fn machine_name(&self, fleet: &str, index: u32) -> String {
        format!("{fleet}-{}-{index}", self.short())
    }
}

impl fmt::Display for BatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Debug for BatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BatchKey {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

/// A short content hash: the first 16 hexadecimal digits of a SHA-256.
///
/// It tells versions of one text apart; it authenticates nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(String);

impl Hash {
    /// Hashes bytes.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        let digest = Sha256::digest(bytes.as_ref());
        Self(digest.iter().take(8).map(|b| format!("{b:02x}")).collect())
    }

    /// Takes the text of a hash as it stands in a label.
    pub fn from_label(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the ownership labels of a machine say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ownership {
    /// The stack that owns the machine.
    pub stack: String,
    /// The fleet that it belongs to.
    pub fleet: String,
    /// The batch that made it; absent on an adopted machine.
    pub batch: Option<BatchKey>,
    /// The hash of what it was made from.
    pub spec: Hash,
    /// The hash of its user-data; absent on an adopted machine.
    pub user_data: Option<Hash>,
}

impl Ownership {
    /// Returns the labels that say this.
    pub fn labels(&self) -> Labels {
        let Self {
            stack,
            fleet,
            batch,
            spec,
            user_data,
        } = self;
        let mut labels = Labels::from([
            (STACK.to_owned(), stack.clone()),
            (FLEET.to_owned(), fleet.clone()),
            (SPEC.to_owned(), spec.to_string()),
        ]);
        if let Some(batch) = batch {
            labels.insert(BATCH.to_owned(), batch.to_string());
        }
        if let Some(hash) = user_data {
            labels.insert(USER_DATA.to_owned(), hash.to_string());
        }
        labels
    }

    /// Reads the ownership out of labels; `None` when the machine is not meshvm's.
    pub fn from_labels(labels: &Labels) -> Option<Self> {
        Some(Self {
            stack: labels.get(STACK)?.clone(),
            fleet: labels.get(FLEET)?.clone(),
            batch: labels.get(BATCH).and_then(|text| text.parse().ok()),
            spec: Hash::from_label(labels.get(SPEC).cloned().unwrap_or_default()),
            user_data: labels.get(USER_DATA).map(Hash::from_label),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ownership_survives_its_labels() {
        let owned = Ownership {
            stack: "bookinfo".into(),
            fleet: "ratings".into(),
            batch: Some(BatchKey(Uuid::from_u128(7))),
            spec: Hash::of("spec"),
            user_data: Some(Hash::of("data")),
        };
        let labels = owned.labels();
        assert_eq!(Ownership::from_labels(&labels), Some(owned));
        assert_eq!(labels.len(), ALWAYS.len());
        for (key, value) in &labels {
            let strict = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(key.chars().all(strict) && value.chars().all(strict) && value.len() <= 63);
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, value, fit) in [
            ("web", "web", true),
            ("web", "web-1", false),
            ("web-*", "web-1", true),
            ("web-*", "web", false),
            ("*", "", true),
            ("*-a-*", "x-a-a-", true),
            ("*-b", "a-b-c", false),
            ("web-?", "web-1", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(fits(pattern, value), fit, "{pattern} {value}");
        }
    }

    #[test]
    fn foreign_labels_are_nobodys() {
        let labels = Labels::from([("team".to_owned(), "a".to_owned())]);
        assert_eq!(Ownership::from_labels(&labels), None);
    }
}
