//! The image of a fleet: one image, or the newest of a family.

use std::borrow::Cow;
use std::fmt;

use meshvm_provider_api::Hash;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the boot disk of a machine begins as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// One image, as `projects/PROJECT/global/images/NAME`.
    Name(String),
    /// The newest image of a family that is not deprecated.
    Family {
        /// The project that publishes it.
        project: String,
        /// The family, such as `debian-12-arm64`.
        family: String,
        /// What a newer image means.
        policy: ImagePolicy,
    },
}

/// What it means that an image newer than a machine's was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ImagePolicy {
    /// Nothing: new machines are made from it, and those that run keep theirs.
    #[default]
    Pinned,
    /// Machines with an older one are replaced.
    Latest,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Form {
    project: String,
    family: String,
    #[serde(default)]
    policy: ImagePolicy,
}

impl Image {
    /// Returns what a newer image means.
    pub fn policy(&self) -> ImagePolicy {
        match self {
            Self::Name(_) => ImagePolicy::Pinned,
            Self::Family { policy, .. } => *policy,
        }
    }

    /// Returns a short hash of what is asked for, which machines keep; `None` of an image's name.
    /// The policy is left out, as it is no reason for a new machine.
    pub fn source(&self) -> Option<Hash> {
        match self {
            Self::Name(_) => None,
            Self::Family {
                project, family, ..
            } => Some(Hash::of(format!("family {project} {family}"))),
        }
    }

    /// Takes the name of an image apart: its project, and its own name.
    pub fn parts(name: &str) -> Option<(&str, &str)> {
        let rest = name.strip_prefix("projects/")?;
        let (project, name) = rest.split_once("/global/images/")?;
        (!project.is_empty() && !name.is_empty() && !name.contains('/')).then_some((project, name))
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Family {
                project, family, ..
            } => write!(f, "{family} of {project}"),
        }
    }
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => serializer.serialize_str(name),
            Self::Family {
                project,
                family,
                policy,
            } => Form {
                project: project.clone(),
                family: family.clone(),
                policy: *policy,
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Image;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an image, or a map with `project` and `family`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Image, E> {
                Ok(Image::Name(text.to_owned()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Image, A::Error> {
                let Form {
                    project,
                    family,
                    policy,
                } = Form::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Image::Family {
                    project,
                    family,
                    policy,
                })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Image {
    fn schema_name() -> Cow<'static, str> {
        "Image".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let policy = generator.subschema_for::<ImagePolicy>();
        let text = json_schema!({"type": "string", "minLength": 1});
        json_schema!({
            "description": "An image: its name, or the family that it is the newest of.",
            "oneOf": [
                {"type": "string", "pattern": "^projects/[^/]+/global/images/[^/]+$"},
                {
                    "type": "object",
                    "properties": {"project": text, "family": text, "policy": policy},
                    "required": ["project", "family"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_survives_being_written() {
        for form in [
            json!("projects/p/global/images/i"),
            json!({"project": "debian-cloud", "family": "debian-12", "policy": "latest"}),
        ] {
            let image = Image::deserialize(&form).unwrap();
            assert_eq!(serde_json::to_value(&image).unwrap(), form);
        }
        assert!(Image::deserialize(json!({"family": "debian-12"})).is_err());
    }

    #[test]
    fn a_name_is_taken_apart() {
        assert_eq!(Image::parts("projects/p/global/images/i"), Some(("p", "i")));
        for wrong in ["i", "projects/p/global/images/", "projects/p/images/i"] {
            assert_eq!(Image::parts(wrong), None, "{wrong}");
        }
    }
}
