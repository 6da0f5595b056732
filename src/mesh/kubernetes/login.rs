//! Why logging in to a cluster fails, in words that hold no secret.
//!
//! The texts of `kube` quote what a login program was given and what it wrote, lines of a
//! kubeconfig and of a key, and the password in a proxy's URL. None of them is kept: a fault has
//! nothing in it that could hold a secret.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use http::HeaderValue;
use kube::client::{AuthError, RustlsTlsError};
use kube::config::{AuthInfo, KubeconfigError, LoadDataError};
use secrecy::ExposeSecret as _;
use thiserror::Error;

/// What is wrong with credentials.
#[derive(Debug, Error)]
pub enum LoginFault {
    /// The login program is not there.
    #[error("it is not installed")]
    NotInstalled,
    /// The login program cannot be started.
    #[error("it cannot be started ({0})")]
    NotStarted(io::ErrorKind),
    /// The login program failed.
    #[error("it failed ({0})")]
    Failed(ExitStatus),
    /// The login program wrote something else.
    #[error("what it wrote is no ExecCredential")]
    NotUnderstood,
    /// The login program wrote no credentials.
    #[error("it gave no credentials")]
    NoCredentials,
    /// A time cannot be read.
    #[error("the time when its token ends cannot be read")]
    BadExpiry,
    /// A token or a password is no text of a header.
    #[error("the token, or the password, has characters that cannot be sent")]
    BadToken,
    /// A token's file cannot be read.
    #[error("the token's file {path} cannot be read ({kind})", path = path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
    /// The user has an `exec` without a command.
    #[error("the user's `exec` names no `command`")]
    NoCommand,
    /// What the user has is not supported.
    #[error("the user's way to log in is not supported, or its settings are incomplete")]
    Unsupported,
}

impl LoginFault {
    /// Returns what an error is, without what it quotes.
    pub(super) fn of(error: &AuthError) -> Self {
        match error {
            AuthError::AuthExecStart(error) => match error.kind() {
                io::ErrorKind::NotFound => Self::NotInstalled,
                kind => Self::NotStarted(kind),
            },
            AuthError::AuthExecRun { out, cmd: _ } => Self::Failed(out.status),
            AuthError::AuthExecParse(_) | AuthError::ParseTokenKey(_) => Self::NotUnderstood,
            AuthError::ExecPluginFailed | AuthError::UnrefreshableTokenResponse => {
                Self::NoCredentials
            }
            AuthError::MalformedTokenExpirationDate(_) => Self::BadExpiry,
            AuthError::InvalidBasicAuth(_) | AuthError::InvalidBearerToken(_) => Self::BadToken,
            AuthError::ReadTokenFile(error, path) => Self::TokenFile {
                path: path.clone(),
                kind: error.kind(),
            },
            AuthError::MissingCommand => Self::NoCommand,
            // Further ones come and go with the features of `kube`.
            _ => Self::Unsupported,
        }
    }
}

/// Checks the token that a user has in the kubeconfig: `kube` panics at one that is no text of a
/// header.
pub(super) fn check_token(user: &AuthInfo) -> Result<(), LoginFault> {
    let Some(token) = &user.token else {
        return Ok(());
    };
    match HeaderValue::from_str(token.expose_secret()) {
        Ok(_) => Ok(()),
        Err(_) => Err(LoginFault::BadToken),
    }
}

/// Returns the name of the program that a user logs in with, without its folder and arguments.
pub(super) fn program(user: &AuthInfo) -> Option<String> {
    let exec = user.exec.as_ref();
    let provider = user.auth_provider.as_ref();
    let command = exec
        .and_then(|exec| exec.command.as_ref())
        .or_else(|| provider?.config.get("cmd-path"))?;
    let name = command.rsplit('/').next()?.split_whitespace().next()?;
    Some(name.to_owned())
}

/// What is wrong with a kubeconfig's settings.
#[derive(Debug, Error)]
pub enum KubeconfigFault {
    /// It cannot be read.
    #[error("it cannot be read ({0})")]
    NotRead(io::ErrorKind),
    /// It is no YAML of a kubeconfig.
    #[error("it is no YAML of a kubeconfig: see line {line}, column {column}")]
    Malformed {
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
    },
    /// It is no YAML of a kubeconfig, and nobody knows where.
    #[error("it is no YAML of a kubeconfig")]
    NoKubeconfig,
    /// Several do not fit together.
    #[error("it is of another kind or version than the other kubeconfigs")]
    Mixed,
    /// The server is no URL, or none is named.
    #[error("its cluster's `server` is no URL")]
    BadServer,
    /// The proxy is no URL, or of a kind that is not supported.
    #[error("its `proxy-url`, or HTTPS_PROXY, is no URL of an http, https or socks5 proxy")]
    Proxy,
    /// A field that should be base64 is not.
    #[error("its `{0}-data` is no base64")]
    NoBase64(&'static str),
    /// A file that a field names cannot be read.
    #[error("the file {path} of its `{field}` cannot be read ({kind})", path = path.display())]
    File {
        /// The field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
    /// Of a certificate and its key there is only one.
    #[error("its `{0}` is missing")]
    Missing(&'static str),
    /// A certificate authority's certificate cannot be used.
    #[error("its `certificate-authority` holds no certificates in PEM")]
    Authority,
    /// The client's certificate or key cannot be used.
    #[error("its `client-certificate` and `client-key` are no certificate and key in PEM")]
    Identity,
    /// The name of the server is none.
    #[error("its `tls-server-name` is no name")]
    ServerName,
    /// Something else.
    #[error("its settings make no client")]
    Other,
}

const AUTHORITY: &str = "certificate-authority";
const CERTIFICATE: &str = "client-certificate";
const KEY: &str = "client-key";

impl KubeconfigFault {
    /// Returns what an error of reading is, without what it quotes.
    pub(super) fn of(error: KubeconfigError) -> Self {
        match error {
            KubeconfigError::ReadConfig(error, _) => Self::NotRead(error.kind()),
            KubeconfigError::Parse(error) => match error.location() {
                Some(at) => Self::Malformed {
                    line: at.line(),
                    column: at.column(),
                },
                None => Self::NoKubeconfig,
            },
            KubeconfigError::KindMismatch | KubeconfigError::ApiVersionMismatch => Self::Mixed,
            KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => {
                Self::BadServer
            }
            KubeconfigError::ParseProxyUrl(_) => Self::Proxy,
            KubeconfigError::LoadCertificateAuthority(error) => Self::data(AUTHORITY, error),
            KubeconfigError::LoadClientCertificate(error) => Self::data(CERTIFICATE, error),
            KubeconfigError::LoadClientKey(error) => Self::data(KEY, error),
            KubeconfigError::ParseCertificates(_) => Self::Authority,
            // Further ones come and go with the features of `kube`.
            _ => Self::Other,
        }
    }

    fn data(field: &'static str, error: LoadDataError) -> Self {
        match error {
            LoadDataError::DecodeBase64(_) => Self::NoBase64(field),
            LoadDataError::ReadFile(error, path) => Self::File {
                field,
                path,
                kind: error.kind(),
            },
            LoadDataError::NoBase64DataOrFile => Self::Missing(field),
        }
    }

    /// Returns what an error of making a client is, without what it quotes.
    pub(super) fn of_client(error: kube::Error) -> Self {
        match error {
            kube::Error::ProxyProtocolUnsupported { .. }
            | kube::Error::ProxyProtocolDisabled { .. } => Self::Proxy,
            kube::Error::InferKubeconfig(error) => Self::of(error),
            kube::Error::RustlsTls(error) => match error {
                RustlsTlsError::InvalidIdentityPem(_)
                | RustlsTlsError::MissingPrivateKey
                | RustlsTlsError::MissingCertificate
                | RustlsTlsError::InvalidPrivateKey(_)
                | RustlsTlsError::UnknownPrivateKeyFormat => Self::Identity,
                RustlsTlsError::AddRootCertificate(_) | RustlsTlsError::NoValidNativeRootCA(_) => {
                    Self::Authority
                }
                RustlsTlsError::InvalidServerName(_) => Self::ServerName,
            },
            _ => Self::Other,
        }
    }
}
