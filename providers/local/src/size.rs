//! An amount of memory or disk, written with its unit.

use std::borrow::Cow;
use std::fmt;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number of bytes; written with the largest unit that keeps it whole, such as `512MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

const UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

impl Size {
    /// Makes a size of so many mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// Makes a size of so many bytes.
    pub const fn of(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // A bare number could be bytes or mebibytes: the user must say.
        let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        match text.parse::<ByteSize>() {
            Ok(size) if has_unit => Ok(Self(size.0)),
            Ok(_) | Err(_) => Err(format!("`{text}` is not a size such as 512MiB or 2GiB")),
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS
            .iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        match whole {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An amount of memory or disk with its unit, such as 512MiB or 2GiB.",
            "pattern": "^[0-9]+(\\.[0-9]+)? *([kKmMgGtT]i?)?[bB]$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_way_to_be_written() {
        let text = |text: &str| Size::try_from(text.to_owned()).map(String::from);
        for (given, written) in [
            ("512MiB", "512MiB"),
            ("0.5 GiB", "512MiB"),
            ("2048MiB", "2GiB"),
            ("1GB", "1000000000B"),
            ("1000KiB", "1000KiB"),
            ("0B", "0B"),
        ] {
            assert_eq!(text(given).as_deref(), Ok(written), "{given}");
        }
        for given in ["512", "", "MiB", "12 parsecs", "-1MiB"] {
            assert!(text(given).is_err(), "{given}");
        }
    }
}
