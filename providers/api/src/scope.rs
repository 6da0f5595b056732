//! A part of a cloud that is listed on its own.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// A part of a cloud that is listed on its own: an account and region, a host.
///
/// Scopes are equal where they list the same, however they are reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scope {
    /// The provider's name.
    pub provider: String,
    /// What tells this scope from the provider's others; never a secret.
    pub key: BTreeMap<String, String>,
    /// Whose credentials reach it, and on whose bill: what may change without there being another
    /// machine to list; never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub access: BTreeMap<String, String>,
}

impl Scope {
    /// The name of the part of the key that is a region.
    pub const REGION: &'static str = "region";

    /// Makes one from the parts that there are.
    pub fn new<'a>(
        provider: &str,
        key: impl IntoIterator<Item = (&'a str, Option<String>)>,
        access: impl IntoIterator<Item = (&'a str, Option<String>)>,
    ) -> Self {
        let named = |(name, value): (&str, Option<String>)| Some((name.to_owned(), value?));
        Self {
            provider: provider.to_owned(),
            key: key.into_iter().filter_map(named).collect(),
            access: access.into_iter().filter_map(named).collect(),
        }
    }

    /// Returns a part of the key, or of what it is reached by.
    pub fn part(&self, name: &str) -> Option<&String> {
        self.key.get(name).or_else(|| self.access.get(name))
    }

    /// Returns where a zone is, as region/zone, by which a mesh prefers what is near; `None` where
    /// there are no regions.
    pub fn locality(&self, zone: &str) -> Option<String> {
        let region = self.key.get(Self::REGION)?;
        Some(format!("{region}/{zone}"))
    }

    fn identity(&self) -> (&str, &BTreeMap<String, String>) {
        (&self.provider, &self.key)
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Scope {}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.provider)?;
        for (index, value) in self.key.values().enumerate() {
            write!(f, "{}{value}", if index == 0 { ":" } else { "/" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reaches_it_makes_it_no_other() {
        let scope = |region: &str, by: Option<&str>| {
            let access = [("role", by.map(str::to_owned))];
            Scope::new("p", [("region", Some(region.to_owned()))], access)
        };
        let (plain, by_role) = (scope("a", None), scope("a", Some("r")));
        assert_eq!(plain, by_role);
        assert_eq!(plain.cmp(&by_role), Ordering::Equal);
        assert_ne!(plain, scope("b", None));
        assert_eq!(by_role.part("role").map(String::as_str), Some("r"));
        assert_eq!(plain.to_string(), by_role.to_string());
    }
}
