//! Values of the fleet file that are more than a string: names, amounts, durations, modes.
//!
//! Each parses once, here, and keeps a text that can be written back.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A DNS label (RFC 1123) of at most `MAX` characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label<const MAX: usize, const LETTER_FIRST: bool>(String);

/// A name that meshvm makes other names from: short enough for those to fit 63
/// characters, and starting with a letter as Google's clouds want it.
pub type Name = Label<40, true>;

/// A name of Kubernetes.
pub type KubeName = Label<63, false>;

/// The name of a Service, which Kubernetes takes by an older rule than other names (RFC 1035,
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).
pub type ServiceName = Label<63, true>;

impl<const MAX: usize, const LETTER_FIRST: bool> Label<MAX, LETTER_FIRST> {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn rule() -> String {
        let start = if LETTER_FIRST {
            ", starting with a letter"
        } else {
            ""
        };
        format!("1 to {MAX} of a-z, 0-9 and -{start} and not ending with -")
    }
}

impl<const MAX: usize, const LETTER_FIRST: bool> TryFrom<String> for Label<MAX, LETTER_FIRST> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let first = |c: char| c.is_ascii_lowercase() || (!LETTER_FIRST && c.is_ascii_digit());
        let fits = (1..=MAX).contains(&text.len())
            && text.starts_with(first)
            && !text.ends_with('-')
            && text.chars().all(inner);
        if fits {
            Ok(Self(text))
        } else {
            Err(format!(
                "`{text}` is not a name: it must be {}",
                Self::rule()
            ))
        }
    }
}

impl<const MAX: usize, const LETTER_FIRST: bool> From<Label<MAX, LETTER_FIRST>> for String {
    fn from(name: Label<MAX, LETTER_FIRST>) -> Self {
        name.0
    }
}

impl<const MAX: usize, const LETTER_FIRST: bool> fmt::Display for Label<MAX, LETTER_FIRST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize, const LETTER_FIRST: bool> JsonSchema for Label<MAX, LETTER_FIRST> {
    fn schema_name() -> Cow<'static, str> {
        match (MAX, LETTER_FIRST) {
            (63, true) => "ServiceName",
            (_, true) => "Name",
            (_, false) => "KubeName",
        }
        .into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let first = if LETTER_FIRST { "a-z" } else { "a-z0-9" };
        json_schema!({
            "type": "string",
            "description": format!("A name: {}.", Self::rule()),
            "pattern": format!("^[{first}]([-a-z0-9]{{0,{}}}[a-z0-9])?$", MAX - 2),
        })
    }
}

/// A number of machines, or a percentage of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many machines.
    Count(u32),
    /// So many of a hundred.
    Percent(u32),
}

impl Amount {
    /// Returns the amount of `total`, a percentage rounded down.
    pub fn of_rounded_down(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => Self::part(percent, total, 0),
        }
    }

    /// Returns the amount of `total`, a percentage rounded up.
    pub fn of_rounded_up(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => Self::part(percent, total, 99),
        }
    }

    fn part(percent: u32, total: u32, round: u64) -> u32 {
        let part = (u64::from(percent) * u64::from(total) + round) / 100;
        u32::try_from(part).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count such as 2, or a percentage such as 25%")
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Amount, E> {
                u32::try_from(count)
                    .map(Amount::Count)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(count), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                let percent = text.strip_suffix('%').and_then(|n| n.parse().ok());
                match percent {
                    Some(percent) if percent <= 100 => Ok(Amount::Percent(percent)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "description": "A count such as 2, or a percentage such as 25%.",
            "minimum": 0,
            "maximum": 4294967295u32,
            "pattern": "^(100|[0-9]{1,2})%$",
        })
    }
}

/// A span of time such as 30s, 10m or 1h30m.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub std::time::Duration);

/// As a file writes it, in days at most and with what is short: 7d, 1h30m, 500ms.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u128); 5] = [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
            ("ms", 1),
        ];
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in UNITS {
            let count = rest / millis;
            rest %= millis;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(|_| {
            de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"a duration such as 30s, 10m or 1h30m",
            )
        })
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration such as 30s, 10m or 1h30m.",
            "pattern": "^([0-9]+(ms|s|m|h|d) ?)+$",
        })
    }
}

/// The permissions of a file, four octal digits in quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FileMode(#[schemars(regex(pattern = r"^0[0-7]{3}$"))] pub String);

impl Default for FileMode {
    fn default() -> Self {
        Self("0644".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_as_files_write_them() {
        let shown = [
            ("168h", "7d"),
            ("7d", "7d"),
            ("90m", "1h30m"),
            ("36h 30s", "1d12h30s"),
            ("400d", "400d"),
            ("1500ms", "1s500ms"),
            ("0s", "0s"),
        ];
        for (text, expected) in shown {
            let duration: Duration = serde_json::from_value(text.into()).unwrap();
            assert_eq!(duration.to_string(), expected);
            let again: Duration = serde_json::from_value(expected.into()).unwrap();
            assert_eq!(again, duration);
        }
    }
}
