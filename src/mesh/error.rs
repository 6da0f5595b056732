//! Why the mesh could not be read or written.

use std::fmt;
use std::path::PathBuf;

use meshvm_provider_api::{ErrorClass, labels};
use thiserror::Error;

use super::{KubernetesError, ObjectRef, objects};
use crate::many::{alike, few};

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
    /// Objects were deleted, and are still there.
    #[error("{}", lingering(.0))]
    Lingering(Vec<Lingering>),
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

/// An object that was deleted, and that finalizers keep.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{object} {}", kept(kept_by))]
pub struct Lingering {
    /// The object.
    pub object: ObjectRef,
    /// The finalizers that keep it.
    pub kept_by: Vec<String>,
}

/// Names objects that linger; those that are kept alike are told together.
fn lingering(objects: &[Lingering]) -> String {
    let told = alike(objects.iter().collect(), |lingering| {
        Some((&lingering.object.kind, &lingering.kept_by))
    });
    let told = told.into_iter().map(|alike| match &alike[..] {
        [one, others @ ..] if !others.is_empty() => {
            let names: Vec<String> = others.iter().map(|it| it.object.to_string()).collect();
            let names = few(names.iter().map(String::as_str));
            format!("{one}; so are {} more: {names}", others.len())
        }
        [one, ..] => one.to_string(),
        [] => String::new(),
    });
    told.collect::<Vec<_>>().join("; and ")
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
            Self::Foreign { .. }
            | Self::Ending { .. }
            | Self::Lingering(_)
            | Self::Twice { .. } => ErrorClass::Conflict,
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
            Self::Ending { object, .. } => Some(let_go(object, "apply")),
            Self::Lingering(objects) => {
                let first = objects.first();
                first.map(|lingering| let_go(&lingering.object, "run this"))
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

/// Says how an object comes to its end that finalizers keep; `what` is done again then.
fn let_go(object: &ObjectRef, what: &str) -> String {
    let ObjectRef {
        namespace,
        kind,
        name,
    } = object;
    let kind = kind.to_lowercase();
    format!(
        "let whoever set the finalizers take them away, and {what} again then; `kubectl describe {kind} \
         {name} -n {namespace}` tells more"
    )
}
