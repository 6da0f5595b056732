//! What the provider keeps on a machine beside the ownership labels. Pure.
//!
//! It is what no listing shows of a machine though the file asks for it: its image, the types of
//! its disks, which labels and metadata came from the file. And the user's labels that Compute
//! Engine does not take as such
//! (<https://cloud.google.com/compute/docs/labeling-resources#requirements>): they are kept in
//! metadata, so nothing can be listed by them.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::Labels;
use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;

/// The label with the hash of the request that made the machine.
pub(crate) const REQUEST: &str = "meshvm-request";
/// The metadata that cloud-init reads.
pub(crate) const USER_DATA: &str = "user-data";
/// The metadata with [`Made`].
pub(crate) const MADE: &str = "meshvm-made";
/// The metadata with [`Named`].
pub(crate) const NAMED: &str = "meshvm-named";
/// The metadata with labels that are none of Compute Engine's.
pub(crate) const LABELS: &str = "meshvm-labels";
/// All metadata that is meshvm's own.
pub(crate) const ITEMS: [&str; 4] = [USER_DATA, MADE, NAMED, LABELS];

/// How a machine was made, as far as no listing shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Made {
    /// The image's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The hash of what the image was found by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The types of disks that the file asked for, by the disk's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disk_types: BTreeMap<String, String>,
}

/// Which of a machine's labels and metadata came from the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Named {
    /// The keys of its labels.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// The keys of its metadata.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub metadata: BTreeSet<String>,
}

impl Named {
    /// Returns what a recipe names.
    pub fn of(recipe: &Recipe) -> Self {
        Self {
            labels: recipe.asked.labels.keys().cloned().collect(),
            metadata: recipe.asked.metadata.keys().cloned().collect(),
        }
    }
}

/// Reads an item; one of another version says nothing.
pub(crate) fn read<T: for<'a> Deserialize<'a> + Default>(item: Option<&String>) -> T {
    item.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Writes an item; what cannot be written says nothing.
pub(crate) fn write<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Returns whether a label is one that Compute Engine takes.
pub(crate) fn fits(key: &str, value: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.len() <= 63
        && value.len() <= 63
        && key.chars().chain(value.chars()).all(is_plain)
}

/// Parts labels into those that Compute Engine takes, and the others.
pub(crate) fn part(labels: &Labels) -> (Labels, Labels) {
    let labels = labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()));
    labels.partition(|(key, value)| fits(key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_parted_by_what_the_cloud_takes() {
        let labels = [
            ("team", "a_1"),
            ("Team", "a"),
            ("mail", "a@b"),
            ("1", "a"),
            ("empty", ""),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let (taken, others) = part(&labels.into());
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["empty", "team"]);
        assert_eq!(others.keys().collect::<Vec<_>>(), ["1", "Team", "mail"]);
    }

    #[test]
    fn what_is_kept_survives_and_what_others_wrote_says_nothing() {
        let made = Made {
            image: Some("projects/p/global/images/i".to_owned()),
            source: Some("0123456789abcdef".to_owned()),
            disk_types: [("boot".to_owned(), "pd-ssd".to_owned())].into(),
        };
        assert_eq!(read::<Made>(Some(&write(&made))), made);
        assert_eq!(read::<Made>(Some(&"?".to_owned())), Made::default());
    }
}
