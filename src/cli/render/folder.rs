//! The folder that files are rendered into, and what an earlier rendering left there.
//!
//! An index beside the files says what a rendering of the stack made, and of which content. What
//! is in it and is not rendered any more is removed: a token of a fleet that has another name now
//! could be used by whoever finds it. Nothing else is ever removed, and a file that somebody changed
//! since is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::cli::CliError;

/// Files by name, with the SHA-256 of each.
type Index = BTreeMap<String, String>;

/// What became of the files of earlier renderings that are not rendered any more.
#[derive(Debug, Default)]
pub(super) struct Stale {
    /// Those that were removed.
    pub(super) removed: Vec<String>,
    /// Those that somebody changed since, and that stay.
    pub(super) changed: Vec<String>,
}

/// A folder with the renderings of one stack.
pub(super) struct Folder<'a> {
    root: &'a Path,
    /// The index; in the form of `sha256sum`.
    index: PathBuf,
}

impl<'a> Folder<'a> {
    /// Names the folder; it is made at the first write.
    pub(super) fn new(root: &'a Path, stack: &str) -> Self {
        Self {
            root,
            index: root.join(format!(".meshvm-rendered-{stack}.sha256")),
        }
    }

    /// Writes files and secrets, and removes what earlier renderings made and this one does not;
    /// where only some fleets are rendered, only in their folders.
    ///
    /// # Errors
    /// When a file cannot be read, written or removed; what was made until then is in the index.
    pub(super) fn put(
        &self,
        files: &BTreeMap<String, String>,
        secrets: &BTreeMap<String, SecretString>,
        targets: &[String],
    ) -> Result<Stale, CliError> {
        let before = self.read()?;
        let texts = files.iter().map(|(name, text)| (name, text.as_str()));
        let secrets = secrets.iter().map(|(name, s)| (name, s.expose_secret()));
        let all: Vec<(&String, &str)> = texts.chain(secrets).collect();
        let mut index: Index = all
            .iter()
            .map(|&(name, text)| (name.clone(), sha256(text.as_bytes())))
            .collect();
        let is_covered = |name: &str| {
            let of = |fleet: &String| name.split('/').next() == Some(fleet);
            targets.is_empty() || targets.iter().any(of)
        };
        let (stale, kept): (Index, Index) = before
            .into_iter()
            .filter(|(name, _)| !index.contains_key(name))
            .partition(|(name, _)| is_covered(name));
        // Before the files: a rendering that is killed leaves none that no index has.
        index.extend(kept);
        let mut both = index.clone();
        both.extend(stale.clone());
        self.keep(&both)?;
        for (name, text) in all {
            write(&self.root.join(name), text)?;
        }
        let stale = self.remove(stale)?;
        self.keep(&index)?;
        Ok(stale)
    }

    fn read(&self) -> Result<Index, CliError> {
        let text = match fs::read_to_string(&self.index) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::new()),
            Err(error) => return Err(refused("read", &self.index, &error)),
        };
        let entries = text.lines().filter_map(|line| line.split_once("  "));
        let entries = entries.map(|(hash, name)| (name.to_owned(), hash.to_owned()));
        // Whoever can write it shall not have files of other folders removed.
        Ok(entries.filter(|(name, _)| is_inside(name)).collect())
    }

    fn keep(&self, index: &Index) -> Result<(), CliError> {
        let lines = index.iter().map(|(name, hash)| format!("{hash}  {name}\n"));
        write(&self.index, &lines.collect::<String>())
    }

    fn remove(&self, stale: Index) -> Result<Stale, CliError> {
        let mut ended = Stale::default();
        let mut folders = BTreeSet::new();
        for (name, hash) in stale {
            let path = self.root.join(&name);
            // What stands for another file is nobody's rendering.
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_file() => {}
                Ok(_) => {
                    ended.changed.push(name);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(refused("read", &path, &error)),
            }
            let found = fs::read(&path).map_err(|error| refused("read", &path, &error))?;
            if sha256(&found) != hash {
                ended.changed.push(name);
                continue;
            }
            fs::remove_file(&path).map_err(|error| refused("remove", &path, &error))?;
            folders.extend(path.parent().map(Path::to_owned));
            ended.removed.push(name);
        }
        // A folder that others still use stays: removing it fails, and should.
        for folder in folders.iter().filter(|folder| *folder != self.root) {
            fs::remove_dir(folder).ok();
        }
        Ok(ended)
    }
}

fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    parts.all(|part| matches!(part, Component::Normal(_)))
}

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file that nobody else can read.
fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = made.and_then(|()| {
        // In one move: what stands there keeps neither its mode nor, as a link, its target.
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map(drop).map_err(|error| error.error)
    });
    written.map_err(|error| refused("write", path, &error))
}

fn refused(action: &str, path: &Path, error: &io::Error) -> CliError {
    let mut failure = CliError::new(format!("cannot {action} {}", path.display()));
    failure.causes.push(error.to_string());
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> BTreeMap<String, String> {
        let file = |name: &&str| ((*name).to_owned(), format!("text of {name}"));
        names.iter().map(file).collect()
    }

    fn render(root: &Path, names: &[&str], token_of: &str, targets: &[&str]) -> Stale {
        let tokens = [(format!("{token_of}/istio-token"), "secret".into())];
        let targets: Vec<String> = targets.iter().map(|&name| name.to_owned()).collect();
        let folder = Folder::new(root, "shop");
        folder.put(&files(names), &tokens.into(), &targets).unwrap()
    }

    #[test]
    fn what_is_rendered_no_more_goes_and_what_is_anybody_elses_stays() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        render(
            root,
            &["old/user-data", "old/hosts", "mesh/vm/a.yaml"],
            "old",
            &[],
        );
        fs::write(root.join("old/notes"), "mine").unwrap();
        fs::write(root.join("old/hosts"), "edited").unwrap();
        let stale = render(root, &["new/user-data"], "new", &[]);
        let removed = ["mesh/vm/a.yaml", "old/istio-token", "old/user-data"];
        assert_eq!(stale.removed, removed);
        assert_eq!(stale.changed, ["old/hosts"]);
        assert!(root.join("new/istio-token").exists());
        assert!(root.join("old/notes").exists());
        assert!(!root.join("mesh/vm").exists());
        // It is theirs from then on.
        let stale = render(root, &["new/user-data"], "new", &[]);
        assert!(stale.removed.is_empty() && stale.changed.is_empty());
    }

    #[test]
    fn what_is_not_rendered_this_time_stays_known() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        render(root, &["a/user-data", "b/user-data", "a/hosts"], "a", &[]);
        let stale = render(root, &["b/user-data"], "b", &["b"]);
        assert!(stale.removed.is_empty());
        let stale = render(root, &["b/user-data"], "b", &[]);
        assert_eq!(stale.removed, ["a/hosts", "a/istio-token", "a/user-data"]);
    }

    #[test]
    fn nothing_outside_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("out");
        fs::create_dir(&inside).unwrap();
        fs::write(root.path().join("mine"), "mine").unwrap();
        let line = |name: &str| format!("{}  {name}\n", sha256(b"mine"));
        let mine = root.path().join("mine");
        let index = line("../mine") + &line(&mine.display().to_string());
        fs::write(inside.join(".meshvm-rendered-shop.sha256"), index).unwrap();
        assert!(render(&inside, &[], "a", &[]).removed.is_empty());
        assert!(mine.exists());
    }
}
