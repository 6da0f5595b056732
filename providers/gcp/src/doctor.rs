//! Whose credentials reach a scope.

use std::path::PathBuf;

use meshvm_provider_api::{ProviderError, Requests, Scope};
use serde_json::Value;

use crate::client::Client;
use crate::connect;
use crate::policy::Action;
use crate::settings::IMPERSONATE;

/// Who the credentials in use belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The project that they reach.
    pub project: String,
    /// Whose they are, as far as this computer knows.
    pub who: String,
}

/// Asks for the project of a scope, with the credentials that reach it; changes nothing.
///
/// # Errors
/// `Environment` when there are no credentials, `PermissionDenied` when they are not taken.
pub async fn identity(scope: &Scope) -> Result<Identity, ProviderError> {
    let client = Client::new(connect::apis(scope).await?, Requests::default());
    let apis = &client.apis;
    let call = || apis.projects.get().set_project(&apis.project).send();
    let project = client.send(Action::GetProject, call).await?;
    let own = own();
    let who = match scope.part(IMPERSONATE) {
        Some(account) => format!("{account}, by {own}"),
        None => own,
    };
    Ok(Identity {
        project: project.name.unwrap_or_default(),
        who,
    })
}

/// Returns whose the default credentials are, by the file that they come from
/// (<https://cloud.google.com/docs/authentication/application-default-credentials>).
fn own() -> String {
    let named = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let known = home.map(|it| it.join(".config/gcloud/application_default_credentials.json"));
    let file = named.or(known);
    let text = file.and_then(|file| std::fs::read_to_string(file).ok());
    let credentials = text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    match credentials {
        Some(credentials) => who(&credentials),
        None => "the service account of this machine".to_owned(),
    }
}

/// Reads whose a file of credentials is; none of its secrets is returned.
fn who(credentials: &Value) -> String {
    let text = |name: &str| credentials[name].as_str().unwrap_or_default();
    match (text("type"), text("client_email"), text("account")) {
        (_, "", "") => format!("credentials of type {}", text("type")),
        (_, "", account) => account.to_owned(),
        (_, email, _) => email.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_says_whose_it_is_and_none_of_its_secrets() {
        let account =
            json!({"type": "service_account", "client_email": "a@p.iam", "private_key": "k"});
        assert_eq!(who(&account), "a@p.iam");
        let user = json!({"type": "authorized_user", "refresh_token": "secret"});
        assert_eq!(who(&user), "credentials of type authorized_user");
    }
}
