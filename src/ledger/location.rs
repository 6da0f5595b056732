//! Reads the URL of a ledger. Pure: nothing is looked at or created here.
//!
//! Invariant: text that may be a credential gets into no [`Location`] and into
//! no error.

use std::path::{Path as FsPath, PathBuf};

use object_store::path::Path;

use super::error::{LedgerError, UrlProblem};

/// Where a ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// In a folder of this computer.
    Folder {
        /// The folder; made by the first write.
        path: PathBuf,
        /// The folder that must exist already, so that a disk that is not
        /// mounted is not mistaken for an empty ledger.
        anchor: PathBuf,
    },
    /// In this process.
    Memory(String),
    /// In a bucket or container of a cloud.
    Bucket {
        /// Which cloud.
        cloud: Cloud,
        /// The bucket or container.
        name: String,
        /// What the names of all its objects start with.
        prefix: Path,
    },
}

/// The clouds whose object stores can hold a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cloud {
    /// Amazon S3, or a store that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
}

impl Cloud {
    /// Returns its scheme in a URL.
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
        }
    }
}

impl Location {
    /// Reads a URL; relative folders start at `base_dir`.
    ///
    /// A folder is taken as it is written: nothing in it is decoded or expanded.
    pub(super) fn parse(url: &str, base_dir: &FsPath) -> Result<Self, LedgerError> {
        let Some((scheme, rest)) = url.split_once("://") else {
            let shown = if url.contains(['@', ':', '?']) {
                "…"
            } else {
                url
            };
            return Err(bad(shown, UrlProblem::NoScheme));
        };
        match scheme {
            "file" => folder(rest, base_dir).map_err(|problem| bad(url, problem)),
            "memory" if rest.is_empty() => Err(bad(url, UrlProblem::Nameless("name"))),
            "memory" => Ok(Self::Memory(rest.to_owned())),
            "s3" => bucket(Cloud::S3, rest),
            "gs" => bucket(Cloud::Gs, rest),
            "az" => bucket(Cloud::Az, rest),
            other => Err(bad(
                &format!("{other}://…"),
                UrlProblem::UnknownScheme(other.to_owned()),
            )),
        }
    }

    /// Returns the location as a person would name it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Folder { path, anchor: _ } => path.display().to_string(),
            Self::Memory(name) => format!("memory://{name}"),
            Self::Bucket {
                cloud,
                name,
                prefix,
            } => {
                let scheme = cloud.scheme();
                if prefix.is_root() {
                    format!("{scheme}://{name}")
                } else {
                    format!("{scheme}://{name}/{prefix}")
                }
            }
        }
    }
}

fn bad(url: &str, problem: UrlProblem) -> LedgerError {
    LedgerError::BadUrl {
        url: url.to_owned(),
        problem,
    }
}

fn folder(rest: &str, base_dir: &FsPath) -> Result<Location, UrlProblem> {
    if rest.is_empty() {
        return Err(UrlProblem::Nameless("folder"));
    }
    if rest == "~" || rest.starts_with("~/") {
        return Err(UrlProblem::Tilde);
    }
    let whole = |path: PathBuf| std::path::absolute(path).map_err(|_| UrlProblem::BadPath);
    let path = whole(base_dir.join(rest))?;
    let anchor = if FsPath::new(rest).is_absolute() {
        path.parent().unwrap_or(&path).to_owned()
    } else {
        whole(base_dir.to_owned())?
    };
    Ok(Location::Folder { path, anchor })
}

fn bucket(cloud: Cloud, rest: &str) -> Result<Location, LedgerError> {
    let scheme = cloud.scheme();
    // A secret may hold any of these, so what stands between them tells nothing.
    if rest.contains(['@', ':', '?', '#']) {
        return Err(bad(&format!("{scheme}://…"), UrlProblem::Credentials));
    }
    let problem = |problem| bad(&format!("{scheme}://{rest}"), problem);
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() {
        let what = match cloud {
            Cloud::S3 | Cloud::Gs => "bucket",
            Cloud::Az => "container",
        };
        return Err(problem(UrlProblem::Nameless(what)));
    }
    let prefix = match Path::parse(prefix) {
        Ok(path) if !prefix.starts_with('/') => path,
        Ok(_) | Err(_) => return Err(problem(UrlProblem::BadPath)),
    };
    Ok(Location::Bucket {
        cloud,
        name: name.to_owned(),
        prefix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Location, LedgerError> {
        Location::parse(url, FsPath::new("/base/dir"))
    }

    fn at(path: &str, anchor: &str) -> Location {
        Location::Folder {
            path: path.into(),
            anchor: anchor.into(),
        }
    }

    #[test]
    fn folders_are_relative_to_the_fleet_file() {
        assert_eq!(
            parse("file://.meshvm").unwrap(),
            at("/base/dir/.meshvm", "/base/dir")
        );
        assert_eq!(
            parse("file://./a/b").unwrap(),
            at("/base/dir/a/b", "/base/dir")
        );
        assert_eq!(parse("file:///a b/c%20").unwrap(), at("/a b/c%20", "/a b"));
    }

    #[test]
    fn buckets_have_prefixes() {
        let location = parse("s3://acme-meshvm/teams/bookinfo/").unwrap();
        assert_eq!(location.shown(), "s3://acme-meshvm/teams/bookinfo");
        assert_eq!(parse("az://box").unwrap().shown(), "az://box");
    }

    #[test]
    fn problems_are_named_and_credentials_are_not_shown() {
        let cases = [
            (
                ".meshvm",
                "`.meshvm` is not the URL of a ledger: it has no scheme",
            ),
            (
                "file://",
                "`file://` is not the URL of a ledger: it names no folder",
            ),
            (
                "file://~/x",
                "`file://~/x` is not the URL of a ledger: `~` stands for no folder here",
            ),
            (
                "gs://",
                "`gs://` is not the URL of a ledger: it names no bucket",
            ),
            (
                "s3://a//b",
                "`s3://a//b` is not the URL of a ledger: its path has an empty, relative or unprintable part",
            ),
            (
                "ftp://me:secret@x",
                "`ftp://…` is not the URL of a ledger: no store has the scheme `ftp`",
            ),
        ];
        for (url, message) in cases {
            let error = parse(url).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(error.hint().is_some());
        }
        for url in [
            "s3://AKIA:secret@bucket/x",
            "s3://AKIA:sec/secret@bucket",
            "s3://AKIA:secret/x",
            "az://box/x?sv=1&sig=secret",
            "az://box/x#secret",
            "me:secret@host/x",
        ] {
            let error = parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }
}
