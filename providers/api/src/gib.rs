//! The size of a disk, in whole gibibytes as clouds count them.

use std::borrow::Cow;
use std::fmt;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number of gibibytes, written with its unit such as `40GiB` or `1TiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gib(u32);

impl Gib {
    /// Makes a size of so many gibibytes.
    pub const fn of(count: u32) -> Self {
        Self(count)
    }

    /// Returns the number of gibibytes.
    pub const fn count(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Gib {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a whole number of GiB such as 40GiB");
        // A bare number could be anything: the user must say.
        if !text.ends_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(wrong());
        }
        let bytes = text.parse::<ByteSize>().map_err(|_| wrong())?.0;
        if bytes == 0 || !bytes.is_multiple_of(1 << 30) {
            return Err(wrong());
        }
        u32::try_from(bytes >> 30).map(Self).map_err(|_| wrong())
    }
}

impl From<Gib> for String {
    fn from(size: Gib) -> Self {
        size.to_string()
    }
}

impl fmt::Display for Gib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}GiB", self.0)
    }
}

impl JsonSchema for Gib {
    fn schema_name() -> Cow<'static, str> {
        "Gib".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+ ?[GT]i?B$",
            "description": "A whole number of gibibytes, written with its unit, such as `40GiB`.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_gibibytes_are_read_and_nothing_else() {
        let read = |text: &str| Gib::try_from(text.to_owned());
        assert_eq!(read("40GiB"), Ok(Gib::of(40)));
        assert_eq!(read("2TiB").unwrap().to_string(), "2048GiB");
        for wrong in ["40", "0GiB", "40GB", "512MiB", "much"] {
            assert!(read(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
