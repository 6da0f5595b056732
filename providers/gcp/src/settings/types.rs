//! One machine type, or several in the order to try them in.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, de};

/// Machine types in the order to try them in; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MachineTypes(pub Vec<String>);

impl<'de> Deserialize<'de> for MachineTypes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = MachineTypes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a machine type, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<MachineTypes, E> {
                Ok(MachineTypes(vec![text.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<MachineTypes, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(MachineTypes)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for MachineTypes {
    fn schema_name() -> Cow<'static, str> {
        "MachineTypes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({"type": "string", "minLength": 1});
        json_schema!({
            "description": "A machine type, or several in the order to try them in.",
            "oneOf": [
                one,
                {"type": "array", "items": one, "minItems": 1, "uniqueItems": true},
            ],
        })
    }
}
