//! Encoding: from the text of the user-data to the bytes that a cloud accepts.

use std::fmt;

use meshvm_provider_api::UserDataRules;
use thiserror::Error;

use super::gzip::gzip;

/// User-data as a cloud gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes; what a cloud's API does with them, base64 for instance, comes after.
    pub bytes: Vec<u8>,
    /// Whether they are gzip.
    pub gzip: bool,
}

/// User-data is larger than its cloud accepts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the user-data has {size} bytes{}, {limit} are allowed; the largest part is {largest}",
    if *.gzip { " even after gzip" } else { "" }
)]
pub struct TooLarge {
    /// Its size in bytes, the smallest that could be had.
    pub size: usize,
    /// Whether that is the size after gzip.
    pub gzip: bool,
    /// The most bytes that the cloud accepts.
    pub limit: usize,
    /// What to make smaller.
    pub largest: Largest,
}

/// The longest line of a user-data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Largest {
    /// The line, from 1.
    pub line: usize,
    /// Its bytes.
    pub bytes: usize,
    /// What it is, where the user-data says so.
    pub what: Option<String>,
}

impl fmt::Display for Largest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, bytes, what } = self;
        match what {
            Some(what) => write!(f, "{what} with {bytes} bytes"),
            None => write!(f, "line {line} with {bytes} bytes"),
        }
    }
}

/// Encodes user-data for a cloud: plain when it fits, else gzip where the cloud takes that.
///
/// # Errors
/// [`TooLarge`] when neither fits.
pub fn encode(user_data: &str, rules: &UserDataRules) -> Result<Encoded, TooLarge> {
    let plain = Encoded {
        bytes: user_data.as_bytes().to_vec(),
        gzip: false,
    };
    if plain.bytes.len() <= rules.limit {
        return Ok(plain);
    }
    let packed = Encoded {
        bytes: gzip(user_data.as_bytes()),
        gzip: true,
    };
    let smallest = match rules.gzip && packed.bytes.len() < plain.bytes.len() {
        true => packed,
        false => plain,
    };
    if smallest.bytes.len() <= rules.limit {
        return Ok(smallest);
    }
    Err(TooLarge {
        size: smallest.bytes.len(),
        gzip: smallest.gzip,
        limit: rules.limit,
        largest: largest(user_data),
    })
}

/// Finds the longest line; an entry of our template has its name in a comment above it.
fn largest(user_data: &str) -> Largest {
    let lines: Vec<&str> = user_data.lines().collect();
    let longest = lines.iter().enumerate().max_by_key(|(_, line)| line.len());
    let (index, bytes) = longest.map_or((0, 0), |(index, line)| (index, line.len()));
    let above = lines.iter().take(index).rev();
    let what = above
        .take_while(|line| line.starts_with(' '))
        .find_map(|line| line.trim().strip_prefix("# "))
        .and_then(|name| serde_json::from_str(name).ok());
    Largest {
        line: index + 1,
        bytes,
        what,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const fn rules(limit: usize, gzip: bool) -> UserDataRules {
        UserDataRules { limit, gzip }
    }

    #[test]
    fn plain_when_it_fits() {
        let encoded = encode("12345", &rules(5, true)).unwrap();
        assert_eq!(
            (encoded.bytes.as_slice(), encoded.gzip),
            (&b"12345"[..], false)
        );
    }

    #[test]
    fn gzip_only_when_needed_and_allowed() {
        let text = "a line like the others\n".repeat(100);
        let encoded = encode(&text, &rules(1000, true)).unwrap();
        assert!(encoded.gzip && encoded.bytes.len() <= 1000);
        let mut back = String::new();
        flate2::read::GzDecoder::new(encoded.bytes.as_slice())
            .read_to_string(&mut back)
            .unwrap();
        assert_eq!(back, text);
        let error = encode(&text, &rules(1000, false)).unwrap_err();
        assert_eq!((error.size, error.gzip), (text.len(), false));
    }

    #[test]
    fn what_is_too_large_names_its_largest_part() {
        let text = "#cloud-config\nwrite_files:\n  # \"file /a\"\n  - path: x\n    content: \"1\"\n  # \"file /b\"\n  - path: y\n    content: \"222222222222222222222\"\n";
        let error = encode(text, &rules(20, false)).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "the user-data has {} bytes, 20 are allowed; the largest part is file /b with 36 bytes",
                text.len()
            )
        );
        let error = encode("#!/bin/sh\necho 1234567890\n", &rules(5, true)).unwrap_err();
        assert_eq!(error.largest.to_string(), "line 2 with 15 bytes");
    }
}
