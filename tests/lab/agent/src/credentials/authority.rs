//! Asking for a certificate.

use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tonic::Code;

use super::connect::{ConnectError, Peer, authorized, connect};
use super::{Material, keys, not_after};
use crate::settings::Settings;
use crate::wire::CertificateRequest;
use crate::wire::certificates::IstioCertificateServiceClient;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum IssueError {
    /// No key can be made.
    #[error("cannot make a key")]
    Key(#[from] rcgen::Error),
    /// istiod cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// istiod does not know who asks.
    #[error("create certificate: authentication failure: {0}")]
    Unauthenticated(String),
    /// istiod refuses for another reason.
    #[error("create certificate: {code:?}: {message}")]
    Refused {
        /// Its class.
        code: Code,
        /// Its words.
        message: String,
    },
    /// What it answered is no certificate.
    #[error("create certificate: the answer is no certificate with a root")]
    Answer,
}

/// Asks for a certificate of a new key.
///
/// # Errors
///
/// When the authority cannot be reached or refuses. Only a missing root gets no better by itself.
pub async fn issue(settings: &Settings) -> Result<Material, IssueError> {
    let Settings {
        trust_domain,
        namespace,
        service_account,
        ..
    } = settings;
    let identity = format!("spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}");
    let made = keys::request(settings.key, &identity)?;
    let channel = connect(settings, Peer::Authority).await?;
    let seconds = settings.secret_ttl.as_secs();
    let mut request = authorized(
        settings,
        CertificateRequest {
            csr: made.csr,
            validity_duration: i64::try_from(seconds).unwrap_or(i64::MAX),
            metadata: None,
        },
    );
    request.set_timeout(PATIENCE);
    let mut client = IstioCertificateServiceClient::new(channel);
    let answer = client.create_certificate(request).await;
    let mut chain = match answer {
        Ok(answer) => answer.into_inner().cert_chain,
        Err(status) => {
            let message = status.message().to_owned();
            return Err(match status.code() {
                Code::Unauthenticated => IssueError::Unauthenticated(message),
                code => IssueError::Refused { code, message },
            });
        }
    };
    let root = chain.pop().ok_or(IssueError::Answer)?;
    let chain: String = chain.iter().map(|pem| ended(pem)).collect();
    let end = not_after(&chain).ok_or(IssueError::Answer)?;
    Ok(Material {
        key: made.key,
        chain,
        root: ended(&root),
        made: Timestamp::now(),
        end,
    })
}

/// Returns a text that ends its last line, so that another can follow.
fn ended(pem: &str) -> String {
    format!("{}\n", pem.trim_end())
}
