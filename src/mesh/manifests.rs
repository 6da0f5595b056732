//! The mesh backend `manifests`: one YAML file an object in a folder.
//!
//! This is what a GitOps repository receives. Files are `NAMESPACE/KIND-NAME.yaml`,
//! with keys in a stable order, and a file whose content is right is not touched.
//! A file belongs to the stack whose label its object carries; a file that no
//! longer parses belongs to the stack that its first line names. Everything
//! else in the folder is somebody else's: never changed, never deleted.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;

use super::{Backend, MeshError, Object, ObjectRef, Owned, Place, Seen};

/// A folder of manifests.
#[derive(Clone, Debug)]
pub struct Manifests {
    root: PathBuf,
    /// Held by who writes or deletes: one removes the folder that another is about to write into.
    turn: Arc<Mutex<()>>,
}

impl Manifests {
    /// Names the folder; it is made at the first write.
    pub fn new(root: PathBuf) -> Self {
        let turn = Arc::default();
        Self { root, turn }
    }

    fn file_of(&self, reference: &ObjectRef) -> PathBuf {
        self.root.join(file_name(reference))
    }

    /// Refuses what stands at `path` and is not the stack's.
    fn check_owner(
        &self,
        stack: &str,
        reference: &ObjectRef,
        path: &Path,
    ) -> Result<(), MeshError> {
        let Some(text) = read(path)? else {
            return Ok(());
        };
        let ours = match parse(&text) {
            Ok(Some(object)) => object.is_of(stack) && object.reference == *reference,
            Ok(None) | Err(_) => text.starts_with(&header(stack)),
        };
        if ours {
            return Ok(());
        }
        Err(MeshError::Foreign {
            object: reference.clone(),
            place: Place::File(path.to_owned()),
            stack: stack.to_owned(),
            owner: None,
        })
    }

    fn observe_now(&self, stack: &str) -> Result<Vec<Seen>, MeshError> {
        let mut objects = Vec::new();
        for path in self.files()? {
            if path.extension().is_none_or(|e| e != "yaml") {
                continue;
            }
            let text = read(&path)?.unwrap_or_default();
            // What does not parse is left to `write`, which knows it by its
            // header; a template of another tool must not stop a plan.
            if let Ok(Some(object)) = parse(&text)
                && object.is_of(stack)
                && self.file_of(&object.reference) == path
            {
                objects.push(Seen {
                    object,
                    owned: Owned::Whole,
                    lost_owner: None,
                    ending: None,
                });
            }
        }
        objects.sort_by(|a, b| a.object.reference.cmp(&b.object.reference));
        Ok(objects)
    }

    /// Lists every file below the folder.
    fn files(&self) -> Result<Vec<PathBuf>, MeshError> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(refused("read", &folder, source)),
            };
            for entry in entries {
                let entry = entry.map_err(|source| refused("read", &folder, source))?;
                let path = entry.path();
                let kind = entry
                    .file_type()
                    .map_err(|source| refused("read", &path, source))?;
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    files.push(path);
                }
            }
        }
        Ok(files)
    }

    fn tidy_now(&self, stack: &str) -> Result<(), MeshError> {
        let prefix = unfinished(stack);
        for path in self.files()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&prefix) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Returns what has to be written, by file; refuses when a file is not the stack's.
    fn outdated(
        &self,
        stack: &str,
        objects: &[Object],
    ) -> Result<Vec<(PathBuf, String)>, MeshError> {
        let mut outdated = Vec::new();
        for object in objects {
            let path = self.file_of(&object.reference);
            let text = render(stack, object).map_err(|reason| MeshError::Unreadable {
                path: path.clone(),
                reason,
            })?;
            let found = read(&path)?;
            // A file that is right already is nobody's business, not even when it was
            // released and is the stack's no more.
            if found.as_deref() == Some(text.as_str()) {
                continue;
            }
            // What was released and nobody has touched since is taken back: by a machine
            // that is adopted again, or that an interrupted run did not let go in the end.
            if found != render(stack, &object.released()).ok() {
                self.check_owner(stack, &object.reference, &path)?;
            }
            outdated.push((path, text));
        }
        Ok(outdated)
    }

    /// As before a write, and whether another file has an object of the same name: two that say
    /// different things of one object are a cluster's to choose from, and nobody's to predict.
    fn check_now(&self, stack: &str, objects: &[Object]) -> Result<(), MeshError> {
        self.outdated(stack, objects)?;
        let wanted: BTreeSet<&ObjectRef> = objects.iter().map(|o| &o.reference).collect();
        for path in self.files()? {
            if !path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                continue;
            }
            let text = read(&path)?.unwrap_or_default();
            let documents = serde_saphyr::from_multiple::<Value>(&text).unwrap_or_default();
            let mut others = documents.into_iter().filter_map(Object::from_manifest);
            let of_same_name = |other: &Object| {
                wanted.contains(&other.reference) && self.file_of(&other.reference) != path
            };
            if let Some(other) = others.find(of_same_name) {
                let object = other.reference;
                return Err(MeshError::Twice { object, path });
            }
        }
        Ok(())
    }

    fn write_now(&self, stack: &str, objects: &[Object]) -> Result<(), MeshError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, text) in self.outdated(stack, objects)? {
            replace(stack, &path, &text).map_err(|source| refused("write", &path, source))?;
        }
        Ok(())
    }

    fn delete_now(&self, stack: &str, objects: &[ObjectRef]) -> Result<(), MeshError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for reference in objects {
            self.check_owner(stack, reference, &self.file_of(reference))?;
        }
        for reference in objects {
            let path = self.file_of(reference);
            remove(&path)?;
            // A folder that others still use stays: removing it fails, and should.
            for folder in [path.parent(), Some(self.root.as_path())]
                .into_iter()
                .flatten()
            {
                fs::remove_dir(folder).ok();
            }
        }
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<T, MeshError> + Send + 'static,
    ) -> Result<T, MeshError> {
        let this = self.clone();
        let root = self.root.clone();
        tokio::task::spawn_blocking(move || work(this))
            .await
            .unwrap_or_else(|error| Err(refused("use", &root, io::Error::other(error))))
    }
}

#[async_trait]
impl Backend for Manifests {
    async fn observe(&self, stack: &str) -> Result<Vec<Seen>, MeshError> {
        let stack = stack.to_owned();
        self.blocking(move |this| this.observe_now(&stack)).await
    }

    async fn check(&self, stack: &str, objects: &[Object]) -> Result<(), MeshError> {
        let (stack, objects) = (stack.to_owned(), objects.to_vec());
        self.blocking(move |this| this.check_now(&stack, &objects))
            .await
    }

    async fn write(&self, stack: &str, objects: &[Object]) -> Result<(), MeshError> {
        let (stack, objects) = (stack.to_owned(), objects.to_vec());
        self.blocking(move |this| this.write_now(&stack, &objects))
            .await
    }

    async fn delete(&self, stack: &str, objects: &[ObjectRef]) -> Result<(), MeshError> {
        let (stack, objects) = (stack.to_owned(), objects.to_vec());
        self.blocking(move |this| this.delete_now(&stack, &objects))
            .await
    }

    async fn tidy(&self, stack: &str) -> Result<(), MeshError> {
        let stack = stack.to_owned();
        self.blocking(move |this| this.tidy_now(&stack)).await
    }
}

/// Names the file of an object, below the folder.
pub fn file_name(reference: &ObjectRef) -> String {
    let ObjectRef {
        namespace,
        kind,
        name,
    } = reference;
    format!("{namespace}/{}-{name}.yaml", kind.to_lowercase())
}

/// Renders an object as the text of its file.
///
/// # Errors
/// Says what in the object YAML cannot hold.
pub fn render(stack: &str, object: &Object) -> Result<String, String> {
    let yaml = serde_saphyr::to_string(&object.body).map_err(|error| error.to_string())?;
    let header = if object.is_of(stack) {
        header(stack)
    } else {
        format!("# Released by meshvm from stack {stack}; it is yours now.\n")
    };
    Ok(format!("{header}{yaml}"))
}

fn header(stack: &str) -> String {
    format!("# Written by meshvm for stack {stack}; changes made here are reverted.\n")
}

fn parse(text: &str) -> Result<Option<Object>, String> {
    serde_saphyr::from_str::<Value>(text)
        .map(Object::from_manifest)
        .map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<Option<String>, MeshError> {
    match fs::read(path) {
        // Bytes that are no text cannot be a manifest; their owner is somebody else.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(refused("read", path, source)),
    }
}

/// Returns how the names of files begin that a stack has not finished writing.
///
/// The name of no stack has a dot, so no other stack's begin like this.
fn unfinished(stack: &str) -> String {
    format!(".meshvm-{stack}.")
}

/// Replaces a file so that a reader, or a crash, sees the old text or the new.
fn replace(stack: &str, path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(&unfinished(stack))
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Deletes a file; one that is gone already counts as deleted.
fn remove(path: &Path) -> Result<(), MeshError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(refused("delete", path, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn refused(action: &'static str, path: &Path, source: io::Error) -> MeshError {
    MeshError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
