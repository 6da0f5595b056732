//! What a cluster answers when it does not do what it was asked, and what that means.

#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::io;
use std::iter;
use std::path::PathBuf;
use std::time::Duration;

use kube::client::AuthError;
use kube::core::Status;
use meshvm_provider_api::{ErrorClass, labels};
use serde::Serialize;
use thiserror::Error;

use super::HeldField;
use super::later::TooLate;
use super::login::{KubeconfigFault, LoginFault};
use crate::many::{alike, few};
use crate::mesh::{ObjectRef, objects};

/// What the API server says, with code 500 and no reason, of an object that does not fit its
/// schema: asking again never helps
/// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>).
const UNFIT: &str = "failed to create typed patch object";

/// What it says, with code 403, of a namespace that is on its way out
/// (<https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespacelifecycle>).
const ENDING: &str = "because it is being terminated";

const NOT_KUBERNETES: &str =
    "is the kubeconfig's server a Kubernetes API server? `kubectl version` asks it";

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
        source: KubeconfigFault,
    },
    /// The kubeconfig says no current context.
    #[error("the kubeconfig says no current context; it has {known}")]
    NoCurrentContext {
        /// The contexts that there are, for people.
        known: String,
    },
    /// A context is not in the kubeconfig.
    #[error("the kubeconfig has no context `{context}`; it has {known}")]
    NoContext {
        /// The context asked for.
        context: String,
        /// Those that there are, for people.
        known: String,
    },
    /// A context names what is not in the kubeconfig.
    #[error("the kubeconfig's context `{context}` names the {what} `{name}`, and there is {known}")]
    NoEntry {
        /// What it names.
        what: &'static str,
        /// Its name.
        name: String,
        /// The context.
        context: String,
        /// Those that there are, for people.
        known: String,
    },
    /// The user of the kubeconfig cannot log in.
    #[error(
        "cannot log in to the cluster{}",
        program.as_ref().map(|name| format!(" with the program `{name}`")).unwrap_or_default()
    )]
    Login {
        /// The program that makes its credentials, where it is known that one does.
        program: Option<String>,
        /// What is wrong.
        source: LoginFault,
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
    Client(#[source] KubeconfigFault),
    /// The API server answered with an error.
    #[error("cannot {action}: {}", said(status))]
    Refused {
        /// What was tried.
        action: String,
        /// The answer.
        status: Box<Status>,
    },
    /// The API server wants the request later than anybody waits.
    #[error(
        "cannot {action}: the API server answers {code}, and wants no request before {} s have passed",
        after.as_secs()
    )]
    TooLate {
        /// What was tried.
        action: String,
        /// The HTTP code.
        code: u16,
        /// After how long it wants it.
        after: Duration,
    },
    /// Something answered, and not as an API server does.
    #[error("cannot {action}: what the server answers is no answer of Kubernetes")]
    NotKubernetes {
        /// What was tried.
        action: String,
    },
    /// The API server and this computer do not come to trust each other.
    #[error("cannot {action}: no trusted connection to the API server")]
    NotTrusted {
        /// What was tried.
        action: String,
        /// Why.
        source: rustls::Error,
    },
    /// The request itself is impossible.
    #[error("cannot {action}: there is no such request")]
    NoRequest {
        /// What was tried.
        action: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The API server could not be asked.
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
    /// A token was asked for of an account that is not there.
    #[error("cannot make a token: the ServiceAccount {namespace}/{account} does not exist")]
    NoAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        account: String,
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
    #[error("{}", held(.0))]
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
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(rename_all = "camelCase")]
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
            kube::Error::Api(status) => return Self::Refused { action, status },
            // Its text quotes what the server answered, and that may be a token.
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
                return Self::NotKubernetes { action };
            }
            kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => {
                return Self::NoRequest {
                    action,
                    source: Box::new(error),
                };
            }
            _ => {}
        }
        for cause in causes(&error) {
            if let Some(error) = cause.downcast_ref::<AuthError>() {
                return Self::Login {
                    program: None,
                    source: LoginFault::of(error),
                };
            }
            if let Some(&TooLate { code, after }) = cause.downcast_ref() {
                return Self::TooLate {
                    action,
                    code,
                    after,
                };
            }
            if let Some(error) = cause.downcast_ref::<rustls::Error>() {
                return Self::NotTrusted {
                    action,
                    source: error.clone(),
                };
            }
        }
        Self::Unreachable {
            action,
            source: Box::new(error),
        }
    }

    /// Returns the HTTP code that the API server answered with.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(status.code),
            Self::TooLate { code, .. } => Some(*code),
            Self::NoConfig { .. }
            | Self::Kubeconfig { .. }
            | Self::NoCurrentContext { .. }
            | Self::NoContext { .. }
            | Self::NoEntry { .. }
            | Self::Login { .. }
            | Self::NotKubernetes { .. }
            | Self::NotTrusted { .. }
            | Self::NoRequest { .. }
            | Self::InCluster(_)
            | Self::BadUrl { .. }
            | Self::Client(_)
            | Self::Unreachable { .. }
            | Self::NoControlPlane { .. }
            | Self::NoAccount { .. }
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
            | Self::NoCurrentContext { .. }
            | Self::NoContext { .. }
            | Self::NoEntry { .. }
            | Self::Login { .. }
            | Self::InCluster(_)
            | Self::BadUrl { .. }
            | Self::Client(_)
            | Self::NotKubernetes { .. }
            | Self::NotTrusted { .. } => ErrorClass::Environment,
            Self::TooLate { .. } => ErrorClass::Throttled,
            Self::NoRequest { .. } => ErrorClass::Invalid,
            Self::Unreachable { .. } => ErrorClass::Unavailable,
            Self::NoControlPlane { .. } | Self::NoAccount { .. } => ErrorClass::NotFound,
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
            Self::NoContext { .. } | Self::NoCurrentContext { .. } => {
                "set `mesh.kubernetes.context` to one of these"
            }
            Self::NoEntry { .. } => {
                "let the context name one of these; `kubectl config set-context` does"
            }
            Self::Login {
                program: Some(program),
                ..
            } => {
                return Some(format!(
                    "log in again, and see what `{program}` says by itself; `kubectl version` runs it \
                     as the kubeconfig says"
                ));
            }
            Self::Login { program: None, .. } => {
                "log in again; `kubectl version` shows whether that helped"
            }
            Self::InCluster(_) => {
                "let the pod mount its service account's token, or set `mesh.kubernetes.kubeconfig`"
            }
            Self::TooLate { .. } => {
                "try again then; the API server, or what is before it, is overloaded"
            }
            Self::NotKubernetes { .. } => NOT_KUBERNETES,
            Self::NotTrusted {
                source: rustls::Error::InvalidCertificate(_),
                ..
            } => {
                "is `certificate-authority-data` of the kubeconfig that of this cluster, and `server` \
                 a name that its certificate has? Fetch the kubeconfig anew"
            }
            Self::NotTrusted { .. } => {
                "does `server` of the kubeconfig speak TLS, and take this client's certificate? Fetch \
                 the kubeconfig anew"
            }
            Self::NoRequest { .. } => return None,
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
            Self::NoAccount { namespace, account } => {
                let label = labels::STACK;
                return Some(format!(
                    "with `create: false` it is its owner's to make: `kubectl create serviceaccount \
                     {account} -n {namespace}`; without, `meshvm apply` makes it. One that is made \
                     before is handed over with `kubectl label serviceaccount {account} -n {namespace} \
                     {label}=STACK`, or {}",
                    objects::use_account(account)
                ));
            }
            Self::Incomplete { .. } | Self::Unreadable { .. } => return None,
            Self::Refused { status, .. } if is_foreign(status) => NOT_KUBERNETES,
            Self::Refused { status, .. } => match status.code {
                401 => "the cluster does not know these credentials; log in again",
                403 if status.message.contains(ENDING) => {
                    "the namespace is being deleted: wait until it is gone, and make it anew; `kubectl \
                     describe namespace` tells what keeps it"
                }
                403 => {
                    "grant the role in docs/rbac.md; `kubectl auth can-i --list` shows what there is"
                }
                404 if status.message.contains("the server could not find") => {
                    "the cluster lacks Istio's CRDs (networking.istio.io/v1); install Istio 1.24 or later"
                }
                429 => "try again later; the API server is asked for too much",
                500 if is_unfit(status) => {
                    "the object does not fit the cluster's CRDs: Istio is too old there, or its CRDs \
                     are not installed; install Istio 1.24 or later"
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
        500 if is_unfit(status) => ErrorClass::Invalid,
        500..=599 => ErrorClass::Unavailable,
        _ => ErrorClass::Unrecognized,
    }
}

fn is_unfit(status: &Status) -> bool {
    status.message.contains(UNFIT)
}

/// Returns whether an answer is none of an API server: `kube` says so in the reason of the status
/// that it makes of one. An API server that is asked for too much says so in plain text
/// (<https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>).
fn is_foreign(status: &Status) -> bool {
    status.reason == "Failed to parse error data" && status.code != 429
}

/// Returns an error and what caused it, also where the standard library's errors skip one.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    iter::successors(Some(error), |error: &&'e (dyn StdError + 'static)| {
        let error: &'e (dyn StdError + 'static) = *error;
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// Says what others hold; of many objects that are alike, of the first.
fn held(refusals: &[Refusal]) -> String {
    let told = alike(refusals.iter().collect(), |refusal| {
        let fields = refusal.fields.iter();
        let fields: Vec<_> = fields.map(|held| (&held.field, &held.manager)).collect();
        Some((&refusal.object.kind, fields))
    });
    let told = told.into_iter().map(|alike| match &alike[..] {
        [one, others @ ..] if !others.is_empty() => {
            let names: Vec<String> = others.iter().map(|r| r.object.to_string()).collect();
            let names = few(names.iter().map(String::as_str));
            format!("{one}; so have {} more: {names}", others.len())
        }
        [one, ..] => one.to_string(),
        [] => String::new(),
    });
    told.collect::<Vec<_>>().join("; and ")
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
