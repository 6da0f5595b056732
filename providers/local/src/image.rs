//! What the disks of machines begin as.

use std::fmt;
use std::path::{Path, PathBuf};

use meshvm_provider_api::Finding;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the disk of a machine begins as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// Debian 12, built on this computer from Debian's packages.
    Debian12,
    /// A file of the user.
    File(ImageFile),
}

/// An image in a file; exactly one of `path` and `url` says where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageFile {
    /// A file of this computer, relative to the fleet file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Where to download it, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The SHA-256 of the file, hexadecimal.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

const DEBIAN_12: &str = "debian-12";

impl Image {
    /// Returns the text that machines are compared by: a file is its content, wherever it lies.
    pub fn attribute(&self) -> String {
        match self {
            Self::Debian12 => DEBIAN_12.to_owned(),
            Self::File(file) => format!("sha256:{}", file.sha256),
        }
    }

    /// Makes a relative path absolute.
    pub(crate) fn anchor(&mut self, base: &Path) {
        match self {
            Self::Debian12 => {}
            Self::File(file) => {
                if let Some(path) = &mut file.path {
                    *path = base.join(&path);
                }
            }
        }
    }

    /// Returns what the schema cannot say.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let Self::File(ImageFile { path, url, sha256 }) = self else {
            return Vec::new();
        };
        let mut findings = Vec::new();
        if path.is_some() == url.is_some() {
            let finding = Finding::at("image", "needs either `path` or `url`");
            findings.push(finding.with_hint("write exactly one of them, beside `sha256`"));
        }
        if let Some(url) = url
            && !["https://", "http://"].iter().any(|s| url.starts_with(s))
        {
            let message = format!("`{url}` is not an http or https address");
            findings.push(Finding::at("image.url", message));
        }
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if sha256.len() != 64 || !sha256.chars().all(hex) {
            let finding = Finding::at("image.sha256", "must be 64 lowercase hexadecimal digits");
            findings.push(finding.with_hint("run `sha256sum FILE`"));
        }
        findings
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian12 => f.write_str(DEBIAN_12),
            Self::File(ImageFile { path, url, sha256 }) => match (path, url) {
                (Some(path), _) => path.display().fmt(f),
                (None, Some(url)) => f.write_str(url),
                (None, None) => f.write_str(sha256),
            },
        }
    }
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Debian12 => serializer.serialize_str(DEBIAN_12),
            Self::File(file) => file.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Image;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "{DEBIAN_12}, or a map with `path` or `url`, and `sha256`"
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Image, E> {
                match text {
                    DEBIAN_12 => Ok(Image::Debian12),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Image, A::Error> {
                ImageFile::deserialize(MapAccessDeserializer::new(map)).map(Image::File)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Image {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Image".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What the disk begins as: debian-12, built here once from Debian's packages; or a file.",
            "oneOf": [
                {"type": "string", "enum": [DEBIAN_12]},
                generator.subschema_for::<ImageFile>(),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_is_a_name_or_a_file() {
        let sha256 = "a".repeat(64);
        for value in [
            json!("debian-12"),
            json!({"path": "x.tar.zst", "sha256": sha256}),
            json!({"url": "https://example.org/x.tar", "sha256": sha256}),
        ] {
            let mut image = Image::deserialize(&value).unwrap();
            assert_eq!(serde_json::to_value(&image).unwrap(), value);
            assert_eq!(image.findings(), []);
            let before = image.attribute();
            image.anchor(Path::new("/fleet"));
            assert_eq!(image.attribute(), before, "a path is no content");
        }
        for value in [json!("debian-11"), json!(12), json!({"path": "x"})] {
            assert!(Image::deserialize(&value).is_err(), "{value}");
        }
        let bad = json!({"path": "x", "url": "ftp://x", "sha256": "A"});
        let places: Vec<_> = Image::deserialize(&bad)
            .unwrap()
            .findings()
            .into_iter()
            .map(|finding| finding.path.join("."))
            .collect();
        assert_eq!(places, ["image", "image.url", "image.sha256"]);
    }
}
