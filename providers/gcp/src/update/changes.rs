//! What an update asks for of each machine. Pure.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::{ErrorClass, Labels, ProviderError, Update, labels};

use crate::attributes::{DELETION_PROTECTION, FIREWALL, LABEL, MACHINE_TYPE, METADATA, TAGS};
use crate::kept::{self, Named};
use crate::recipe::Recipe;
use crate::settings::GcpSettings;

/// What an update asks for.
#[derive(Default)]
pub(super) struct Changes {
    /// The settings that ask for a firewall rule.
    pub firewall: Option<GcpSettings>,
    /// All network tags that the file names.
    tags: Option<Vec<String>>,
    /// Whether the machines are no fleet's any more.
    are_let_go: bool,
    /// Whether the machines are protected.
    pub protection: Option<bool>,
    /// The machine types, of which each shall have one.
    pub types: Option<Vec<String>>,
    set_labels: Labels,
    remove_labels: BTreeSet<String>,
    set_metadata: BTreeMap<String, String>,
    remove_metadata: BTreeSet<String>,
    named: Option<Named>,
}

impl Changes {
    /// Reads an update.
    ///
    /// # Errors
    /// `Invalid` when an attribute does not change in place.
    pub fn of(update: &Update) -> Result<Self, ProviderError> {
        let mut changes = Self {
            set_labels: update.set_labels.clone(),
            remove_labels: update.remove_labels.iter().cloned().collect(),
            ..Self::default()
        };
        if update.remove_labels.iter().any(|key| key == labels::STACK) {
            // A machine that is let go keeps nothing of what it was known by.
            changes.are_let_go = true;
            changes.remove_labels.insert(kept::REQUEST.to_owned());
            let own = [kept::MADE, kept::NAMED].map(str::to_owned);
            changes.remove_metadata.extend(own);
        }
        let Some(template) = &update.template else {
            return Ok(changes);
        };
        let recipe = Recipe::of(template)?;
        let asked = &recipe.asked;
        for attribute in &update.attributes {
            if let Some(key) = attribute.strip_prefix(LABEL) {
                changes.named = Some(Named::of(&recipe));
                match asked.labels.get(key) {
                    Some(value) => drop(changes.set_labels.insert(key.to_owned(), value.clone())),
                    None => drop(changes.remove_labels.insert(key.to_owned())),
                }
                continue;
            }
            if let Some(key) = attribute.strip_prefix(METADATA) {
                changes.named = Some(Named::of(&recipe));
                match asked.metadata.get(key) {
                    Some(value) => drop(changes.set_metadata.insert(key.to_owned(), value.clone())),
                    None => drop(changes.remove_metadata.insert(key.to_owned())),
                }
                continue;
            }
            match attribute.as_str() {
                TAGS => changes.tags = Some(asked.tags.clone()),
                FIREWALL => {
                    let asks = asked.firewall.is_some();
                    changes.firewall = asks.then(|| asked.clone());
                }
                DELETION_PROTECTION => changes.protection = Some(asked.deletion_protection),
                MACHINE_TYPE => changes.types = Some(asked.machine_type.0.clone()),
                other => {
                    let message = format!("`{other}` does not change on a machine that exists");
                    return Err(ProviderError::new(ErrorClass::Invalid, message));
                }
            }
        }
        Ok(changes)
    }

    /// Returns whether tags may change.
    pub fn has_tags(&self) -> bool {
        self.tags.is_some() || self.firewall.is_some() || self.are_let_go
    }

    /// Returns the tags that a machine shall have; `own` is that of its fleet's firewall rule.
    pub fn tags(&self, before: &BTreeSet<String>, own: Option<&str>) -> BTreeSet<String> {
        let has_own = own.is_some_and(|own| before.contains(own));
        let mut after = match &self.tags {
            Some(named) => named.iter().cloned().collect(),
            None => before.clone(),
        };
        if let Some(own) = own {
            match (has_own || self.firewall.is_some()) && !self.are_let_go {
                true => after.insert(own.to_owned()),
                false => after.remove(own),
            };
        }
        after
    }

    /// Returns the labels that a machine shall have.
    pub fn labels(&self, before: &Labels) -> Labels {
        let mut after = before.clone();
        after.retain(|key, _| !self.remove_labels.contains(key));
        // One that the cloud does not take is in metadata, and no longer here.
        after.retain(|key, _| !self.set_labels.contains_key(key));
        after.extend(kept::part(&self.set_labels).0);
        after
    }

    /// Returns the metadata that a machine shall have.
    pub fn metadata(&self, before: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut after = before.clone();
        after.retain(|key, _| !self.remove_metadata.contains(key));
        after.extend(self.set_metadata.clone());
        if let Some(named) = &self.named {
            after.insert(kept::NAMED.to_owned(), kept::write(named));
        }
        let mut others: Labels = kept::read(before.get(kept::LABELS));
        others.retain(|key, _| !self.remove_labels.contains(key));
        others.retain(|key, _| !self.set_labels.contains_key(key));
        others.extend(kept::part(&self.set_labels).1);
        match others.is_empty() {
            true => drop(after.remove(kept::LABELS)),
            false => drop(after.insert(kept::LABELS.to_owned(), kept::write(&others))),
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn a_label_moves_to_metadata_when_the_cloud_no_longer_takes_it() {
        let changes = Changes {
            set_labels: map(&[("team", "A&B"), ("tier", "1")]),
            ..Changes::default()
        };
        let before = map(&[("team", "a"), ("other", "x")]);
        assert_eq!(
            changes.labels(&before),
            map(&[("other", "x"), ("tier", "1")])
        );
        let items = changes.metadata(&map(&[("ssh-keys", "k")]));
        let expected = map(&[("meshvm-labels", "{\"team\":\"A&B\"}"), ("ssh-keys", "k")]);
        assert_eq!(items, expected);
        let back = Changes {
            set_labels: map(&[("team", "b")]),
            ..Changes::default()
        };
        assert_eq!(back.metadata(&items), map(&[("ssh-keys", "k")]));
    }
}
