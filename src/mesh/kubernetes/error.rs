//! What a cluster answers when it does not do what it was asked, and what that means.

use std::path::PathBuf;

use kube::core::Status;
use meshvm_provider_api::ErrorClass;
use thiserror::Error;

use super::HeldField;
use crate::mesh::ObjectRef;

/// What the API server says, with code 500 and no reason, of an object that does not fit its
/// schema: asking again never helps
/// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>).
const UNFIT: &str = "failed to create typed patch object";

/// Why a cluster cannot be used.
#[derive(Debug, Error)]
pub enum KubernetesError {
    /// There is neither a kubeconfig nor a service account to log in with.
    #[error(
        "there is no kubeconfig{}, and this is no pod of a cluster",
        tried.iter().map(|path| format!(" at {}", path.display())).collect::<Vec<_>>().join(",")
    )]
    NoConfig {
        /// Where one was looked for.
        tried: Vec<PathBuf>,
    },
    /// A kubeconfig cannot be used.
    #[error("cannot use the kubeconfig {path}", path = path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<kube::config::KubeconfigError>,
    },
    /// A context is not in the kubeconfig.
    #[error("the kubeconfig has no context `{context}`; it has {known}")]
    NoContext {
        /// The context asked for.
        context: String,
        /// Those that there are, for people.
        known: String,
    },
    /// The pod's own service account cannot be used.
    #[error("cannot log in as this pod")]
    InCluster(#[source] Box<kube::config::InClusterError>),
    /// The kubeconfig's server is no URL.
    #[error("the kubeconfig's server `{url}` is no URL of a server")]
    BadUrl {
        /// What it says.
        url: String,
    },
    /// The settings make no client: a certificate or a proxy is wrong.
    #[error("cannot make a client of the kubeconfig's settings")]
    Client(#[source] Box<kube::Error>),
    /// The API server answered with an error.
    #[error("cannot {action}: {}", said(status))]
    Refused {
        /// What was tried.
        action: String,
        /// The answer.
        status: Box<Status>,
    },
    /// The API server could not be asked, or its answer not understood.
    #[error("cannot {action}: the API server does not answer")]
    Unreachable {
        /// What was tried.
        action: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// There is no control plane of the revision.
    #[error(
        "there is no control plane{}: the namespace {namespace} has no ConfigMap {config_map}",
        revision.as_ref().map(|name| format!(" of revision `{name}`")).unwrap_or_default()
    )]
    NoControlPlane {
        /// Where it is looked for.
        namespace: String,
        /// What it would have.
        config_map: String,
        /// The revision, where there is one.
        revision: Option<String>,
    },
    /// A ConfigMap of the control plane cannot be understood.
    #[error("the ConfigMap {config_map} cannot be read: {reason}")]
    Unreadable {
        /// Which.
        config_map: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Others hold fields of objects with other values.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and "))]
    Conflict(Vec<Refusal>),
    /// The API server answered without what was asked for.
    #[error("cannot {action}: the answer has no {missing}")]
    Incomplete {
        /// What was tried.
        action: String,
        /// What is missing.
        missing: &'static str,
    },
}

/// An object that was not written since others hold fields of it.
#[derive(Debug, Error)]
#[error(
    "{object} has fields that others set: {}",
    fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
)]
pub struct Refusal {
    /// The object.
    pub object: ObjectRef,
    /// The fields, each with its manager and both values.
    pub fields: Vec<HeldField>,
}

impl KubernetesError {
    /// Makes an error of what was tried and how that ended.
    pub(super) fn of(action: &str, error: kube::Error) -> Self {
        let action = action.to_owned();
        match error {
            kube::Error::Api(status) => Self::Refused { action, status },
            other => Self::Unreachable {
                action,
                source: Box::new(other),
            },
        }
    }

    /// Returns the HTTP code that the API server answered with.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(status.code),
            Self::NoConfig { .. }
            | Self::Kubeconfig { .. }
            | Self::NoContext { .. }
            | Self::InCluster(_)
            | Self::BadUrl { .. }
            | Self::Client(_)
            | Self::Unreachable { .. }
            | Self::NoControlPlane { .. }
            | Self::Unreadable { .. }
            | Self::Conflict(_)
            | Self::Incomplete { .. } => None,
        }
    }

    /// Returns what the error means for the engine.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NoConfig { .. }
            | Self::Kubeconfig { .. }
            | Self::NoContext { .. }
            | Self::InCluster(_)
            | Self::BadUrl { .. }
            | Self::Client(_) => ErrorClass::Environment,
            Self::Unreachable { .. } => ErrorClass::Unavailable,
            Self::NoControlPlane { .. } => ErrorClass::NotFound,
            Self::Unreadable { .. } => ErrorClass::Invalid,
            Self::Conflict(_) => ErrorClass::Conflict,
            Self::Incomplete { .. } => ErrorClass::Unrecognized,
            Self::Refused { status, .. } => class_of(status),
        }
    }

    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoConfig { .. } => {
                "set `mesh.kubernetes.kubeconfig`, or the environment variable KUBECONFIG"
            }
            Self::Kubeconfig { .. } | Self::Client(_) => {
                "`kubectl config view` shows what the kubeconfig says"
            }
            Self::BadUrl { .. } => "write it as https://HOST:PORT",
            Self::NoContext { .. } => "set `mesh.kubernetes.context` to one of these",
            Self::InCluster(_) => {
                "let the pod mount its service account's token, or set `mesh.kubernetes.kubeconfig`"
            }
            Self::Unreachable { .. } => {
                "check that `kubectl version` reaches the cluster from here"
            }
            Self::Conflict(_) => {
                "let that manager give the fields up, or take them with `meshvm apply --force-conflicts`"
            }
            Self::NoControlPlane { .. } => {
                "set `mesh.kubernetes.revision` to one that `istioctl tag list` or `kubectl get \
                 configmaps -n istio-system` shows, and `istioNamespace` where it is another"
            }
            Self::Incomplete { .. } | Self::Unreadable { .. } => return None,
            Self::Refused { status, .. } if is_foreign(status) => {
                "is the kubeconfig's server a Kubernetes API server? `kubectl version` asks it"
            }
            Self::Refused { status, .. } => match status.code {
                401 => "the cluster does not know these credentials; log in again",
                403 => {
                    "grant the role in docs/rbac.md; `kubectl auth can-i --list` shows what there is"
                }
                404 if status.message.contains("the server could not find") => {
                    "the cluster lacks Istio's CRDs (networking.istio.io/v1); install Istio 1.24 or later"
                }
                500..=599 => {
                    "try again; `kubectl get --raw '/readyz?verbose'` tells what the API server lacks"
                }
                _ => return None,
            },
        };
        Some(hint.to_owned())
    }
}

/// Returns what an answer means for the engine.
fn class_of(status: &Status) -> ErrorClass {
    match status.code {
        401 | 403 => ErrorClass::PermissionDenied,
        404 | 410 => ErrorClass::NotFound,
        409 => ErrorClass::Conflict,
        400 | 405 | 406 | 413 | 415 | 422 => ErrorClass::Invalid,
        429 => ErrorClass::Throttled,
        500 if status.message.contains(UNFIT) => ErrorClass::Invalid,
        500..=599 => ErrorClass::Unavailable,
        _ => ErrorClass::Unrecognized,
    }
}

/// Returns whether an answer is none of an API server: `kube` says so in the reason of the status
/// that it makes of one.
fn is_foreign(status: &Status) -> bool {
    status.reason == "Failed to parse error data"
}

/// Returns an answer in words.
fn said(status: &Status) -> String {
    if is_foreign(status) {
        return format!(
            "the server answered {} with what is no answer of Kubernetes",
            status.code
        );
    }
    match (status.message.is_empty(), status.reason.is_empty()) {
        (false, _) => status.message.clone(),
        (true, false) => format!("{} ({})", status.reason, status.code),
        (true, true) => format!("the API server answered {}", status.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, message: &str) -> KubernetesError {
        let status = Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        };
        KubernetesError::of("apply it", kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn what_does_not_fit_its_schema_is_not_tried_again() {
        let unfit = "failed to create typed patch object (vm/w; networking.istio.io/v1, \
                     Kind=WorkloadGroup): .spec.template.ports.http: expected numeric";
        for (code, message, class) in [
            (500, unfit, ErrorClass::Invalid),
            (
                500,
                "etcdserver: request timed out",
                ErrorClass::Unavailable,
            ),
            (503, "", ErrorClass::Unavailable),
            (429, "", ErrorClass::Throttled),
            (422, "is invalid", ErrorClass::Invalid),
            (409, "the object has been modified", ErrorClass::Conflict),
            (403, "forbidden", ErrorClass::PermissionDenied),
            (418, "", ErrorClass::Unrecognized),
        ] {
            assert_eq!(refused(code, message).class(), class, "{code} {message}");
        }
    }

    #[test]
    fn a_page_of_another_server_is_not_shown() {
        let status = Status {
            code: 404,
            message: "<!DOCTYPE HTML>".to_owned(),
            reason: "Failed to parse error data".to_owned(),
            ..Status::default()
        };
        let error = KubernetesError::of("read it", kube::Error::Api(Box::new(status)));
        assert!(!error.to_string().contains("DOCTYPE"), "{error}");
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("kubectl version"))
        );
    }

    #[test]
    fn an_answer_without_words_is_told_by_its_code() {
        let error = refused(503, "").to_string();
        assert_eq!(error, "cannot apply it: the API server answered 503");
    }
}
