//! Tags that the provider keeps for itself, beside the ownership labels.
//!
//! They hold what no listing shows of a machine though the file asks for it: which image was
//! meant, how it was launched, whether it is protected, which of its tags came from the file.
//! Keys and values stay within what every service takes
//! (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>).

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::Labels;

use crate::recipe::Recipe;
use crate::settings::Interruption;

/// The name that the console shows.
pub(crate) const NAME: &str = "Name";
/// The hash of the request that made the machine.
pub(crate) const REQUEST: &str = "meshvm-request";
/// How the machine was launched: words parted by blanks.
pub(crate) const LAUNCH: &str = "meshvm-launch";
/// The names of the tags that came from the file, parted by blanks.
pub(crate) const TAGS: &str = "meshvm-tags";
/// All of them that are no labels.
pub(crate) const OWN: [&str; 3] = [REQUEST, LAUNCH, TAGS];

/// Returns the value of [`TAGS`].
pub(crate) fn names<'a>(tags: impl Iterator<Item = &'a String>) -> String {
    tags.map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// How a machine was launched, as far as no listing shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Launch {
    /// The hash of what its image was found by.
    pub image: Option<String>,
    /// Whether a public address was asked for, or refused.
    pub public: Option<bool>,
    /// Whether EC2 was told to protect it.
    pub is_protected: bool,
    /// What happens to it when it is taken away.
    pub interruption: Option<Interruption>,
    /// Whether its volumes were asked for in the file, so that they are looked at.
    pub has_volumes: bool,
    /// Whether it is in a security group of its fleet's own, so that the group is looked at.
    pub has_group: bool,
}

const IMAGE: &str = "image=";
const PUBLIC: &str = "public";
const PRIVATE: &str = "private";
const PROTECTED: &str = "protected";
const VOLUMES: &str = "volumes";
const GROUP: &str = "group";
const INTERRUPTIONS: [(Interruption, &str); 3] = [
    (Interruption::Terminate, "spot=terminate"),
    (Interruption::Stop, "spot=stop"),
    (Interruption::Hibernate, "spot=hibernate"),
];

impl Launch {
    /// Returns how the machines of a recipe are launched.
    pub fn of(recipe: &Recipe) -> Self {
        let asked = &recipe.asked;
        Self {
            image: asked.image.source().map(|hash| hash.to_string()),
            public: asked.public_address,
            is_protected: asked.termination_protection,
            interruption: asked.spot.as_ref().map(|spot| spot.interruption),
            has_volumes: asked.has_volumes(),
            has_group: asked.security_group.is_some(),
        }
    }

    /// Returns how a machine with these tags was launched.
    pub fn of_tags(tags: &Labels) -> Self {
        Self::read(tags.get(LAUNCH).map(String::as_str).unwrap_or_default())
    }

    /// Reads the value of [`LAUNCH`]; words of other versions say nothing.
    pub fn read(value: &str) -> Self {
        let mut launch = Self::default();
        for word in value.split(' ') {
            match word {
                PUBLIC => launch.public = Some(true),
                PRIVATE => launch.public = Some(false),
                PROTECTED => launch.is_protected = true,
                VOLUMES => launch.has_volumes = true,
                GROUP => launch.has_group = true,
                other => match other.strip_prefix(IMAGE) {
                    Some(hash) => launch.image = Some(hash.to_owned()),
                    None => {
                        let known = INTERRUPTIONS.iter().find(|(_, word)| *word == other);
                        launch.interruption = known.map(|(is, _)| *is).or(launch.interruption);
                    }
                },
            }
        }
        launch
    }

    /// Returns the value of [`LAUNCH`].
    pub fn write(&self) -> String {
        let Self {
            image,
            public,
            is_protected,
            interruption,
            has_volumes,
            has_group,
        } = self;
        let mut words = Vec::new();
        words.extend(image.as_ref().map(|hash| format!("{IMAGE}{hash}")));
        words.extend(public.map(|public| if public { PUBLIC } else { PRIVATE }.to_owned()));
        words.extend(is_protected.then(|| PROTECTED.to_owned()));
        let interruption = interruption
            .and_then(|is| INTERRUPTIONS.iter().find(|(known, _)| *known == is))
            .map(|(_, word)| (*word).to_owned());
        words.extend(interruption);
        words.extend(has_volumes.then(|| VOLUMES.to_owned()));
        words.extend(has_group.then(|| GROUP.to_owned()));
        words.join(" ")
    }
}

/// Returns all tags of new machines: the file's, the labels, which win, and the provider's own.
pub(crate) fn of_new(recipe: &Recipe, labels: &Labels, name: &str, request: &str) -> Labels {
    let mut tags = BTreeMap::from([(NAME.to_owned(), name.to_owned())]);
    tags.extend(recipe.asked.tags.clone());
    tags.extend(labels.clone());
    tags.insert(REQUEST.to_owned(), request.to_owned());
    tags.extend(kept(recipe, &Launch::of(recipe)));
    tags.retain(|key, value| !(OWN.contains(&key.as_str()) && value.is_empty()));
    tags
}

/// Returns the provider's own tags that an update may change; an empty value is no tag at all.
pub(crate) fn kept(recipe: &Recipe, launch: &Launch) -> Labels {
    Labels::from([
        (LAUNCH.to_owned(), launch.write()),
        (TAGS.to_owned(), names(recipe.asked.tags.keys())),
    ])
}

/// Returns which of a machine's tags came from the file.
pub(crate) fn from_file(tags: &Labels) -> BTreeSet<&str> {
    let names = tags.get(TAGS).map(String::as_str).unwrap_or_default();
    names.split(' ').filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_machine_was_launched_survives_its_tag() {
        let all = Launch {
            image: Some("0123456789abcdef".to_owned()),
            public: Some(false),
            is_protected: true,
            interruption: Some(Interruption::Stop),
            has_volumes: true,
            has_group: true,
        };
        for launch in [Launch::default(), all] {
            assert_eq!(Launch::read(&launch.write()), launch);
        }
        assert_eq!(Launch::read("of-another-version"), Launch::default());
    }
}
