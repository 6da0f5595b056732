//! The image of a fleet: an id, the newest of a name, or what a public parameter says.

use std::borrow::Cow;
use std::fmt;

use meshvm_provider_api::Hash;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the root volume of a machine begins as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// One image, by its id.
    Id(String),
    /// The image that a parameter of Systems Manager names.
    Parameter {
        /// The parameter, such as `/aws/service/debian/release/12/latest/arm64`.
        ssm: String,
        /// What a newer image means.
        policy: ImagePolicy,
    },
    /// The newest image of an owner whose name fits a pattern.
    Newest {
        /// The account, or `amazon`, `aws-marketplace` or `self`.
        owner: String,
        /// The name, in which `*` and `?` stand for others.
        name: String,
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

/// The map form, in which what is not given is absent.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Form {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ssm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<ImagePolicy>,
}

const FORMS: &str = "an image is one of `id`, `ssm`, or `owner` with `name`";

impl TryFrom<Form> for Image {
    type Error = &'static str;

    fn try_from(form: Form) -> Result<Self, &'static str> {
        let Form {
            id,
            ssm,
            owner,
            name,
            policy,
        } = form;
        match (id, ssm, owner, name) {
            (Some(id), None, None, None) if policy.is_none() => Ok(Self::Id(id)),
            (Some(_), None, None, None) => Err("an id is one image: there is no newer one"),
            (None, Some(ssm), None, None) => Ok(Self::Parameter {
                ssm,
                policy: policy.unwrap_or_default(),
            }),
            (None, None, Some(owner), Some(name)) => Ok(Self::Newest {
                owner,
                name,
                policy: policy.unwrap_or_default(),
            }),
            (None, None, Some(_), None) => Err("`owner` needs the `name` of the image"),
            (None, None, None, Some(_)) => {
                Err("`name` needs its `owner`: anybody may publish an image of any name")
            }
            (_, _, _, _) => Err(FORMS),
        }
    }
}

impl Image {
    /// Returns what a newer image means.
    pub fn policy(&self) -> ImagePolicy {
        match self {
            Self::Id(_) => ImagePolicy::Pinned,
            Self::Parameter { policy, .. } | Self::Newest { policy, .. } => *policy,
        }
    }

    /// Returns a short hash of what is asked for, which machines carry; `None` of an id, which
    /// they show by themselves. The policy is left out, as it is no reason for a new machine.
    pub fn source(&self) -> Option<Hash> {
        match self {
            Self::Id(_) => None,
            Self::Parameter { ssm, .. } => Some(Hash::of(format!("ssm {ssm}"))),
            Self::Newest { owner, name, .. } => Some(Hash::of(format!("newest {owner} {name}"))),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Parameter { ssm, .. } => f.write_str(ssm),
            Self::Newest { owner, name, .. } => write!(f, "{name} of {owner}"),
        }
    }
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut form = Form {
            id: None,
            ssm: None,
            owner: None,
            name: None,
            policy: None,
        };
        match self {
            Self::Id(id) => return serializer.serialize_str(id),
            Self::Parameter { ssm, policy } => {
                form.ssm = Some(ssm.clone());
                form.policy = Some(*policy);
            }
            Self::Newest {
                owner,
                name,
                policy,
            } => {
                form.owner = Some(owner.clone());
                form.name = Some(name.clone());
                form.policy = Some(*policy);
            }
        }
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Image;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of an image, or a map with `ssm`, or with `owner` and `name`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Image, E> {
                Ok(Image::Id(text.to_owned()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Image, A::Error> {
                let form = Form::deserialize(MapAccessDeserializer::new(map))?;
                Image::try_from(form).map_err(de::Error::custom)
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
            "description": "An image: its id, or where to find it.",
            "oneOf": [
                {"type": "string", "pattern": "^ami-"},
                {
                    "type": "object",
                    "properties": {"id": {"type": "string", "pattern": "^ami-"}},
                    "required": ["id"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": {"ssm": text, "policy": policy},
                    "required": ["ssm"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": {"owner": text, "name": text, "policy": policy},
                    "required": ["owner", "name"],
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
        let forms = [
            json!("ami-1"),
            json!({"ssm": "/aws/x", "policy": "latest"}),
            json!({"owner": "136693071363", "name": "debian-12-*", "policy": "pinned"}),
        ];
        for form in forms {
            let image = read(&form).unwrap();
            assert_eq!(serde_json::to_value(&image).unwrap(), form);
        }
        assert_eq!(read(&json!({"id": "ami-1"})), read(&json!("ami-1")));
    }

    #[test]
    fn a_name_needs_its_owner() {
        let error = read(&json!({"name": "debian-12-*"})).unwrap_err();
        assert!(error.contains("anybody"), "{error}");
        for wrong in [
            json!({}),
            json!({"id": "ami-1", "ssm": "/x"}),
            json!({"owner": "self"}),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
        assert!(read(&json!({"id": "ami-1", "policy": "latest"})).is_err());
    }

    #[test]
    fn the_policy_is_no_part_of_the_source() {
        let image = |policy| Image::Parameter {
            ssm: "/aws/x".to_owned(),
            policy,
        };
        let (pinned, latest) = (image(ImagePolicy::Pinned), image(ImagePolicy::Latest));
        assert_eq!(pinned.source(), latest.source());
    }
}
