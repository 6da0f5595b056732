//! The mesh side: membership as Kubernetes objects, and where they are written.
//!
//! [`objects`] makes the objects and is pure; a [`Backend`] reads and writes
//! them. An object is meshvm's when it carries the stack's label; a backend may
//! not change or delete any other.

pub mod kubernetes;
pub mod manifests;
pub mod objects;
mod state;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meshvm_provider_api::ErrorClass;
use meshvm_provider_api::labels::{self, Hash};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

pub use kubernetes::{Cluster, HeldField, Kubernetes, KubernetesError, Logins, Proxies};
pub use manifests::Manifests;
pub use state::{Group, Members, MeshState, Registered};

/// The kind of what tokens are bound to. It is made and deleted, and never read.
pub const SECRET: &str = "Secret";

/// The name of a WorkloadEntry's label with the machine that it stands for.
pub const MACHINE_LABEL: &str = "meshvm-machine";

/// The name of a WorkloadEntry's label with whom its machine's token was made for, where that is not
/// the machine's name.
pub const TOKEN_LABEL: &str = "meshvm-token";

/// What names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectRef {
    /// The namespace.
    pub namespace: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// An object as it is sent and read: a whole manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Object {
    /// What names it.
    pub reference: ObjectRef,
    /// The manifest.
    pub body: Value,
}

impl Object {
    /// Makes an object of a manifest; `None` when that lacks a kind, a name or a namespace.
    pub fn from_manifest(body: Value) -> Option<Self> {
        let text = |pointer: &str| body.pointer(pointer)?.as_str().map(str::to_owned);
        Some(Self {
            reference: ObjectRef {
                namespace: text("/metadata/namespace")?,
                kind: text("/kind")?,
                name: text("/metadata/name")?,
            },
            body,
        })
    }

    /// Returns a label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.body
            .get("metadata")?
            .get("labels")?
            .get(name)?
            .as_str()
    }

    /// Returns whether the object belongs to a stack.
    pub fn is_of(&self, stack: &str) -> bool {
        self.label(labels::STACK) == Some(stack)
    }

    /// Returns the hash in the object's own label: what it was written from.
    pub fn written_spec(&self) -> Option<&str> {
        self.label(labels::SPEC)
    }

    /// Returns the object without the labels that make it a stack's.
    pub fn released(&self) -> Self {
        let mut object = self.clone();
        let labels = object.body.pointer_mut("/metadata/labels");
        if let Some(labels) = labels.and_then(Value::as_object_mut) {
            labels.retain(|name, _| !name.starts_with("meshvm-"));
        }
        object
    }

    /// Puts the hash of the object's content into its label.
    pub fn sealed(mut self) -> Self {
        let hash = Hash::of(self.body.to_string());
        if let Some(labels) = self.body.pointer_mut("/metadata/labels") {
            labels[labels::SPEC] = Value::String(hash.to_string());
        }
        self
    }
}

/// An object as it stands in the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// All of it.
    pub object: Object,
    /// What of it is meshvm's.
    pub owned: Owned,
    /// The object that should own it, and no longer does.
    pub lost_owner: Option<ObjectRef>,
    /// The finalizers that keep it though it is being deleted; `None` when it is not.
    pub ending: Option<Vec<String>>,
}

/// What of an object is meshvm's.
#[derive(Clone, Debug, PartialEq)]
pub enum Owned {
    /// All of it.
    Whole,
    /// These fields, as an API server keeps them for a field manager.
    Fields(Value),
}

impl Seen {
    /// Returns what of the object can be compared with what is wanted.
    pub fn comparable(&self, wanted: &Value) -> Cow<'_, Value> {
        match &self.owned {
            Owned::Whole => Cow::Borrowed(&self.object.body),
            Owned::Fields(fields) => {
                Cow::Owned(kubernetes::comparable(&self.object.body, fields, wanted))
            }
        }
    }

    /// Returns the fields that others hold with other values than are wanted.
    pub fn conflicts(&self, wanted: &Value) -> Vec<HeldField> {
        match &self.owned {
            Owned::Whole => Vec::new(),
            Owned::Fields(_) => kubernetes::conflicts(&self.object.body, wanted),
        }
    }

    /// Returns the fields that others added and that are not wanted. Only of Istio's own kinds: to
    /// others the API server itself adds fields.
    pub fn additions(&self, wanted: &Value) -> Vec<HeldField> {
        let group = wanted["apiVersion"].as_str().unwrap_or_default();
        match &self.owned {
            Owned::Fields(_) if group.starts_with("networking.istio.io/") => {
                kubernetes::additions(&self.object.body, wanted)
            }
            Owned::Whole | Owned::Fields(_) => Vec::new(),
        }
    }

    /// Returns the object as it is written when it is let go.
    pub fn released(&self) -> Object {
        let mut released = self.object.released();
        if let Owned::Fields(_) = &self.owned {
            released.body = self.comparable(&Value::Null).into_owned();
            released = released.released();
        }
        released
    }
}

/// Where membership is written, as a plan keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Target {
    /// A folder of manifests, absolute.
    Manifests(PathBuf),
    /// A cluster.
    Kubernetes(Cluster),
}

impl Target {
    /// Opens the backend. Creates nothing, and asks nobody yet.
    pub fn open(&self, logins: &Logins) -> Arc<dyn Backend> {
        match self {
            Self::Manifests(path) => Arc::new(Manifests::new(path.clone())),
            Self::Kubernetes(cluster) => Arc::new(Kubernetes::new(cluster.clone(), logins.clone())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifests(path) => write!(f, "manifests in {}", path.display()),
            Self::Kubernetes(cluster) => cluster.fmt(f),
        }
    }
}

/// Reads and writes the objects of a stack.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Lists the stack's objects.
    ///
    /// # Errors
    /// When the mesh cannot be read, or holds what cannot be understood.
    async fn observe(&self, stack: &str) -> Result<Vec<Seen>, MeshError>;

    /// Looks whether objects can be written. Changes nothing.
    ///
    /// # Errors
    /// [`MeshError::Foreign`] when one exists and is not the stack's.
    async fn check(&self, stack: &str, objects: &[Object]) -> Result<(), MeshError>;

    /// Returns which of some objects are there without any stack's label, and may be taken back; what
    /// may not is refused by [`Backend::check`].
    ///
    /// # Errors
    /// When the mesh cannot be read.
    async fn unlabelled(
        &self,
        _stack: &str,
        _objects: &BTreeSet<ObjectRef>,
    ) -> Result<BTreeSet<ObjectRef>, MeshError> {
        Ok(BTreeSet::new())
    }

    /// Writes objects, each whole. Safe to repeat.
    ///
    /// # Errors
    /// [`MeshError::Foreign`] when one exists and is not the stack's; then none is written.
    async fn write(&self, stack: &str, objects: &[Object]) -> Result<(), MeshError>;

    /// Deletes objects of the stack. One that does not exist counts as deleted.
    ///
    /// # Errors
    /// [`MeshError::Foreign`] when one is not the stack's; then none is deleted.
    async fn delete(&self, stack: &str, objects: &[ObjectRef]) -> Result<(), MeshError>;

    /// Returns what tells this mesh from all others of the same name; `None` where nothing does.
    ///
    /// # Errors
    /// When the mesh cannot be read.
    async fn identity(&self) -> Result<Option<String>, MeshError> {
        Ok(None)
    }

    /// Reads what the mesh says of a fleet's members, in pages and not one by one; `None` where
    /// there is nobody who says anything.
    ///
    /// # Errors
    /// When the mesh cannot be read.
    async fn members(&self, _group: &Group<'_>) -> Result<Option<Members>, MeshError> {
        Ok(None)
    }

    /// Returns which of some namespaces a write would make.
    ///
    /// # Errors
    /// When the mesh cannot be read.
    async fn to_make<'a>(
        &self,
        _names: &BTreeSet<&'a str>,
    ) -> Result<BTreeSet<&'a str>, MeshError> {
        Ok(BTreeSet::new())
    }

    /// Makes a token with which one machine proves who it is. Safe to repeat: all tokens of a machine
    /// are revoked together.
    ///
    /// # Errors
    /// [`MeshError::NoTokens`] where there is nobody to ask.
    async fn token(&self, _wanted: &TokenFor<'_>) -> Result<SecretString, MeshError> {
        Err(MeshError::NoTokens)
    }

    /// Removes what a writer that was killed left half-written; nothing where writes are whole.
    ///
    /// Only for the holder of the stack's lock: whatever is half-written counts as left.
    /// Safe to repeat.
    ///
    /// # Errors
    /// When it cannot be removed.
    async fn tidy(&self, _stack: &str) -> Result<(), MeshError> {
        Ok(())
    }
}

/// For which machine a token is.
#[derive(Clone, Copy, Debug)]
pub struct TokenFor<'a> {
    /// The stack.
    pub stack: &'a str,
    /// The fleet.
    pub fleet: &'a str,
    /// The machine, by name.
    pub machine: &'a str,
    /// The namespace of its membership.
    pub namespace: &'a str,
    /// Its service account.
    pub service_account: &'a str,
    /// How long the token may be used.
    pub ttl: Duration,
}

/// Names the Secret to which a machine's token is bound.
pub fn secret_ref(namespace: &str, machine: &str) -> ObjectRef {
    ObjectRef {
        namespace: namespace.to_owned(),
        kind: SECRET.to_owned(),
        name: format!("meshvm-{machine}"),
    }
}

/// Where an object of somebody else is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In a cluster.
    Cluster(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Cluster(name) => f.write_str(name),
        }
    }
}

/// Why the mesh could not be read or written.
#[derive(Debug, Error)]
pub enum MeshError {
    /// An object of that name belongs to somebody else.
    #[error(
        "{object} exists in {place} and does not belong to stack `{stack}`{}",
        owner.as_ref().map(|owner| format!(", but to stack `{owner}`")).unwrap_or_default()
    )]
    Foreign {
        /// The object.
        object: ObjectRef,
        /// Where it is.
        place: Place,
        /// The stack that wants it.
        stack: String,
        /// The stack that it belongs to, where it says one.
        owner: Option<String>,
    },
    /// An object is being deleted: whatever is written to it goes with it.
    #[error("{object} {}, and cannot be written before it is gone", kept(kept_by))]
    Ending {
        /// The object.
        object: ObjectRef,
        /// The finalizers that keep it.
        kept_by: Vec<String>,
    },
    /// Another file of the folder has an object of that name.
    #[error("{object} is in {path} as well")]
    Twice {
        /// The object.
        object: ObjectRef,
        /// The other file.
        path: PathBuf,
    },
    /// A file of the folder is no manifest.
    #[error("{path} is not a manifest: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// An object is of a kind that a cluster is never asked for.
    #[error("meshvm writes no {kind}")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// There is nobody who makes tokens.
    #[error("manifests make no tokens: a cluster does")]
    NoTokens,
    /// The cluster.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
}

/// Says that an object is being deleted, and what keeps it.
pub fn kept(by: &[String]) -> String {
    let ending = "is being deleted";
    match by {
        [] => ending.to_owned(),
        [one] => format!("{ending} and kept by the finalizer {one}"),
        many => format!("{ending} and kept by the finalizers {}", many.join(", ")),
    }
}

impl MeshError {
    /// Returns what the error means for the engine.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Foreign { .. } | Self::Ending { .. } | Self::Twice { .. } => ErrorClass::Conflict,
            Self::Unreadable { .. } | Self::UnknownKind { .. } | Self::NoTokens => {
                ErrorClass::Invalid
            }
            Self::Kubernetes(error) => error.class(),
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => ErrorClass::PermissionDenied,
                _ => ErrorClass::Environment,
            },
        }
    }

    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            // What another stack has is not to be taken from it by a label.
            Self::Foreign {
                object,
                owner: Some(_),
                ..
            } => Some(objects::leave_it(object)),
            Self::Foreign {
                object,
                place,
                stack,
                owner: None,
            } => {
                let label = labels::STACK;
                let how = match place {
                    Place::File(_) => format!("`{label}: {stack}` in its file"),
                    Place::Cluster(_) => format!(
                        "{label}={stack} (`kubectl label {} {} -n {} {label}={stack}`)",
                        object.kind.to_lowercase(),
                        object.name,
                        object.namespace,
                    ),
                };
                Some(format!(
                    "{}, or hand that one over with the label {how}",
                    objects::leave_it(object)
                ))
            }
            Self::Ending { object, .. } => {
                let ObjectRef {
                    namespace,
                    kind,
                    name,
                } = object;
                let kind = kind.to_lowercase();
                Some(format!(
                    "let whoever set the finalizers take them away, and apply again then; `kubectl \
                     describe {kind} {name} -n {namespace}` tells more"
                ))
            }
            Self::Twice { .. } => {
                Some("take it out of that file, or rename the fleet or its objects".to_owned())
            }
            Self::Kubernetes(error) => error.hint(),
            Self::Unreadable { .. }
            | Self::UnknownKind { .. }
            | Self::NoTokens
            | Self::Io { .. } => None,
        }
    }
}
