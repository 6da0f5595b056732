//! The service account of a membership, as the fleet file writes it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::spec::scalars::KubeName;

/// A service account: written by its name alone where meshvm makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount(NamedAccount);

/// A service account, and whether it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NamedAccount {
    /// The name.
    name: KubeName,
    /// Make it, and delete it with the stack. Where this is false it has to be there already: machines
    /// have its identity, and it is neither written nor deleted.
    #[serde(default = "is_made")]
    create: bool,
}

fn is_made() -> bool {
    true
}

impl ServiceAccount {
    /// Returns its name.
    pub fn as_str(&self) -> &str {
        self.0.name.as_str()
    }

    /// Returns whether meshvm makes it, and so may delete it.
    pub fn is_made(&self) -> bool {
        self.0.create
    }
}

impl Serialize for ServiceAccount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.is_made() {
            true => self.0.name.serialize(serializer),
            false => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ServiceAccount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = ServiceAccount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a map with `name`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ServiceAccount, E> {
                let name = KubeName::try_from(text.to_owned()).map_err(E::custom)?;
                Ok(ServiceAccount(NamedAccount { name, create: true }))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ServiceAccount, A::Error> {
                NamedAccount::deserialize(MapAccessDeserializer::new(map)).map(ServiceAccount)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for ServiceAccount {
    fn schema_name() -> Cow<'static, str> {
        "ServiceAccount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (name, account) = (
            generator.subschema_for::<KubeName>(),
            generator.subschema_for::<NamedAccount>(),
        );
        json_schema!({"anyOf": [name, account]})
    }
}
