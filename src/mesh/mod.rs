//! The mesh side: membership as Kubernetes objects, and where they are written.
//!
//! [`objects`] makes the objects and is pure; a [`Backend`] reads and writes
//! them. An object is meshvm's when it carries the stack's label; a backend may
//! not change or delete any other.

mod error;
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
use meshvm_provider_api::labels::{self, Hash};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use error::{Lingering, MeshError, Place, kept};
pub use kubernetes::{Cluster, HeldField, Kubernetes, KubernetesError, Logins, Proxies};
pub use manifests::Manifests;
pub use state::{Group, Members, MeshState, Registered};

/// The kind of what tokens are bound to. It is made and deleted, and never read.
pub const SECRET: &str = "Secret";

/// The name of a WorkloadEntry's label with the machine that it stands for.
pub const MACHINE_LABEL: &str = "meshvm-machine";

/// The annotation of an account that a stack let go, with its name.
pub const LET_GO_BY: &str = "meshvm-let-go-by";

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

    /// Returns the object without the labels that make it a stack's. An account says whose it was:
    /// others' machines may be it, and whoever takes it back must be who let it go. An entry goes
    /// with its machine, which anybody may adopt.
    pub fn released(&self) -> Self {
        let mut object = self.clone();
        if let (Some(stack), "ServiceAccount") =
            (self.label(labels::STACK), self.reference.kind.as_str())
        {
            object.body["metadata"]["annotations"][LET_GO_BY] = stack.into();
        }
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

    /// Says which objects will be written and deleted by calls to come, so that what must be known of
    /// them before can be asked for together. Changes nothing, and asks nobody yet.
    async fn announce(&self, _writes: &[&ObjectRef], _deletes: &[&ObjectRef]) {}

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
