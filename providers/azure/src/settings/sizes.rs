//! One size of machines, or several in the order to try them in.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, de};

/// Sizes of machines in the order to try them in; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct VmSizes(pub Vec<String>);

impl<'de> Deserialize<'de> for VmSizes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = VmSizes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a size, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<VmSizes, E> {
                Ok(VmSizes(vec![text.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<VmSizes, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(VmSizes)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for VmSizes {
    fn schema_name() -> Cow<'static, str> {
        "VmSizes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({"type": "string", "minLength": 1});
        json_schema!({
            "description": "A size, or several in the order to try them in.",
            "oneOf": [
                one,
                {"type": "array", "items": one, "minItems": 1, "uniqueItems": true},
            ],
        })
    }
}
