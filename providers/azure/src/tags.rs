//! Tags that the provider keeps for itself, beside the ownership labels.
//!
//! They hold what no listing shows of a machine though the file asks for it: which image was
//! meant, and which of its tags came from the file.

use std::collections::BTreeSet;

use meshvm_provider_api::Labels;

use crate::recipe::Recipe;

/// The hash of the request that made the machine.
pub(crate) const REQUEST: &str = "meshvm-request";
/// The machine that an interface or address was made for.
pub(crate) const MACHINE: &str = "meshvm-machine";
/// The hash of what the machine's image was found by.
pub(crate) const IMAGE: &str = "meshvm-image";
/// The names of the tags that came from the file, parted by blanks.
pub(crate) const TAGS: &str = "meshvm-tags";
/// All of them that are no labels.
pub(crate) const OWN: [&str; 4] = [REQUEST, MACHINE, IMAGE, TAGS];

/// Returns the value of [`TAGS`].
pub(crate) fn names<'a>(tags: impl Iterator<Item = &'a String>) -> String {
    tags.map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Returns all tags of a new machine: the file's, the labels, which win, and the provider's own.
pub(crate) fn of_new(recipe: &Recipe, labels: &Labels, request: &str) -> Labels {
    let mut tags = recipe.asked.tags.clone();
    tags.extend(labels.clone());
    tags.insert(REQUEST.to_owned(), request.to_owned());
    if let Some(source) = recipe.asked.image.source() {
        tags.insert(IMAGE.to_owned(), source.to_string());
    }
    if !recipe.asked.tags.is_empty() {
        tags.insert(TAGS.to_owned(), names(recipe.asked.tags.keys()));
    }
    tags
}

/// Returns the tags of what is made for a machine alone.
pub(crate) fn of_part(tags: &Labels, machine: &str) -> Labels {
    let mut tags = tags.clone();
    tags.insert(MACHINE.to_owned(), machine.to_owned());
    tags
}

/// Returns which of a machine's tags came from the file.
pub(crate) fn from_file(tags: &Labels) -> BTreeSet<&str> {
    let names = tags.get(TAGS).map(String::as_str).unwrap_or_default();
    names.split(' ').filter(|name| !name.is_empty()).collect()
}
