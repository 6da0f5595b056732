//! How objects of the ledger are written: JSON with the number of its format.
//!
//! Every object but a plan, whose text is the caller's, is a JSON object with
//! the field `format`. A reader knows three kinds of trouble apart, since they
//! call for different acts: text that is not whole JSON was torn by a crash; a
//! higher format is a newer meshvm's; any other misfit is damage or a bug.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// The format that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// Why an object could not be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is not whole JSON: its writing was cut short.
    Torn(serde_json::Error),
    /// It is whole, and not what it should be.
    Misfit(serde_json::Error),
    /// A newer meshvm wrote it, in this format.
    Newer(u32),
}

#[derive(Deserialize)]
struct Header {
    format: u32,
}

/// Reads an object.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice::<IgnoredAny>(bytes).map_err(Unreadable::Torn)?;
    let Header { format } = serde_json::from_slice(bytes).map_err(Unreadable::Misfit)?;
    if format > FORMAT {
        return Err(Unreadable::Newer(format));
    }
    serde_json::from_slice(bytes).map_err(Unreadable::Misfit)
}

/// Writes an object; `value` brings the field `format` itself.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Returns the name of a numbered object.
pub(super) fn name(number: u64, width: usize) -> String {
    format!("{number:0width$}.json")
}

/// Reads the number out of the name of a numbered object.
///
/// Other names, such as an editor's copies, are nobody's.
pub(super) fn number(text: &str, width: usize) -> Option<u64> {
    let number = text.strip_suffix(".json")?.parse().ok()?;
    (name(number, width) == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Thing {
        size: u32,
    }

    #[test]
    fn troubles_are_told_apart() {
        let read = |text: &str| decode::<Thing>(text.as_bytes());
        assert_eq!(read(r#"{"format":1,"size":3}"#).unwrap().size, 3);
        for torn in ["", "\0\0\0\0", r#"{"format":1,"si"#, r#"{"format":2,"#] {
            assert!(matches!(read(torn), Err(Unreadable::Torn(_))), "{torn}");
        }
        for misfit in ["3", "{}", r#"{"format":1}"#, r#"{"format":1,"size":"x"}"#] {
            assert!(
                matches!(read(misfit), Err(Unreadable::Misfit(_))),
                "{misfit}"
            );
        }
        assert!(matches!(read(r#"{"format":2}"#), Err(Unreadable::Newer(2))));
    }

    #[test]
    fn only_exact_names_count() {
        assert_eq!(name(7, 10), "0000000007.json");
        assert_eq!(number("0000000007.json", 10), Some(7));
        assert_eq!(number("12345678901.json", 10), Some(12_345_678_901));
        for other in [
            "7.json",
            "0000000007",
            "0000000007.json#1",
            "+000000007.json",
            ".json",
        ] {
            assert_eq!(number(other, 10), None, "{other}");
        }
    }
}
