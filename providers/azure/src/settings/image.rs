//! The image of a fleet: one of the marketplace, or a version of a gallery's.

use std::borrow::Cow;
use std::fmt;

use meshvm_provider_api::Hash;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The version that stands for the newest one.
pub(crate) const LATEST: &str = "latest";

/// What the OS disk of a machine begins as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// A version of an image in a compute gallery, by its id.
    Gallery(String),
    /// An image of the marketplace.
    Marketplace {
        /// Who publishes it.
        publisher: String,
        /// What it is an edition of.
        offer: String,
        /// The edition.
        sku: String,
        /// The version; `latest` is the newest one there is.
        version: String,
        /// What a newer version means.
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
    publisher: String,
    offer: String,
    sku: String,
    #[serde(default = "latest")]
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<ImagePolicy>,
}

fn latest() -> String {
    LATEST.to_owned()
}

impl Image {
    /// Returns what a newer image means.
    pub fn policy(&self) -> ImagePolicy {
        match self {
            Self::Gallery(_) => ImagePolicy::Pinned,
            Self::Marketplace { policy, .. } => *policy,
        }
    }

    /// Returns a short hash of what is asked for, which machines carry; `None` where it is one
    /// version, which they show by themselves. The policy is left out, as it is no reason for a
    /// new machine.
    pub fn source(&self) -> Option<Hash> {
        match self {
            Self::Marketplace {
                publisher,
                offer,
                sku,
                version,
                policy: _,
            } if version == LATEST => {
                let text = format!("{publisher} {offer} {sku}");
                Some(Hash::of(text.to_ascii_lowercase()))
            }
            Self::Gallery(_) | Self::Marketplace { .. } => None,
        }
    }

    /// Returns the image's name with this version in place of its own; a gallery's stays as it is.
    pub(crate) fn with_version(&self, version: &str) -> String {
        match self {
            Self::Gallery(id) => id.clone(),
            Self::Marketplace {
                publisher,
                offer,
                sku,
                version: _,
                policy: _,
            } => format!("{publisher}:{offer}:{sku}:{version}"),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self {
            Self::Gallery(_) => "",
            Self::Marketplace { version, .. } => version,
        };
        f.write_str(&self.with_version(version))
    }
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Gallery(id) => serializer.serialize_str(id),
            Self::Marketplace {
                publisher,
                offer,
                sku,
                version,
                policy,
            } => Form {
                publisher: publisher.clone(),
                offer: offer.clone(),
                sku: sku.clone(),
                version: version.clone(),
                policy: (*policy != ImagePolicy::default()).then_some(*policy),
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
                f.write_str(
                    "the id of a gallery's image version, or a map with `publisher`, `offer` and `sku`",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Image, E> {
                Ok(Image::Gallery(text.to_owned()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Image, A::Error> {
                let Form {
                    publisher,
                    offer,
                    sku,
                    version,
                    policy,
                } = Form::deserialize(MapAccessDeserializer::new(map))?;
                if version != LATEST && policy.is_some() {
                    let message = "a version is one image: there is no newer one";
                    return Err(de::Error::custom(message));
                }
                Ok(Image::Marketplace {
                    publisher,
                    offer,
                    sku,
                    version,
                    policy: policy.unwrap_or_default(),
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
            "description": "An image: one of the marketplace, or the id of a gallery's image version.",
            "oneOf": [
                {"type": "string", "pattern": "^/subscriptions/.+/images/[^/]+/versions/[^/]+$"},
                {
                    "type": "object",
                    "properties": {
                        "publisher": text, "offer": text, "sku": text, "version": text,
                        "policy": policy,
                    },
                    "required": ["publisher", "offer", "sku"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> Result<Image, String> {
        Image::deserialize(value).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_survives_being_written() {
        for form in [
            json!(
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/b/versions/1.0.0"
            ),
            json!({"publisher": "p", "offer": "o", "sku": "s", "version": "1.0.0"}),
            json!({"publisher": "p", "offer": "o", "sku": "s", "version": "latest", "policy": "latest"}),
        ] {
            assert_eq!(serde_json::to_value(read(&form).unwrap()).unwrap(), form);
        }
        let least = read(&json!({"publisher": "p", "offer": "o", "sku": "s"})).unwrap();
        assert_eq!(least.to_string(), "p:o:s:latest");
        assert_eq!(least.with_version("1.2.3"), "p:o:s:1.2.3");
    }

    #[test]
    fn one_version_has_no_newer_one() {
        let form =
            json!({"publisher": "p", "offer": "o", "sku": "s", "version": "1", "policy": "latest"});
        let error = read(&form).unwrap_err();
        assert!(error.contains("no newer one"), "{error}");
    }

    #[test]
    fn the_policy_is_no_part_of_the_source() {
        let image = |policy: &str| {
            read(&json!({"publisher": "p", "offer": "o", "sku": "s", "policy": policy})).unwrap()
        };
        assert_eq!(image("pinned").source(), image("latest").source());
        assert!(image("pinned").source().is_some());
    }
}
