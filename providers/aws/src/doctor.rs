//! Whose credentials reach a scope.

use meshvm_provider_api::{ProviderError, Requests, Scope};

use crate::client::Client;
use crate::connect;
use crate::policy::Action;

/// Who the credentials in use belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's number.
    pub account: String,
    /// The user or role, as an ARN.
    pub arn: String,
}

/// Asks whose credentials reach a scope; changes nothing, and needs no right.
///
/// # Errors
/// `Environment` when there are no credentials, `PermissionDenied` when they are not taken.
pub async fn identity(scope: &Scope) -> Result<Identity, ProviderError> {
    let config = connect::config(scope, None).await?;
    let client = Client::new(&config, Requests::default());
    let answer = client
        .send(Action::GetCallerIdentity, || {
            client.sts.get_caller_identity().send()
        })
        .await?;
    Ok(Identity {
        account: answer.account.unwrap_or_default(),
        arn: answer.arn.unwrap_or_default(),
    })
}
