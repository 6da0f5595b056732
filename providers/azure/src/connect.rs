//! Connects to a scope: its cloud, and whose credentials are used there.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::policies::{Policy, auth::BearerTokenAuthorizationPolicy};
use azure_core::http::{ClientOptions, Pipeline, RetryOptions};
use azure_identity::{
    ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, DeveloperToolsCredential, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use meshvm_provider_api::{ErrorClass, ProviderError, Requests, Scope};
use tokio::net::TcpStream;

use crate::certificate::Certificate;
use crate::client::Client;
use crate::cloud::Place;
use crate::settings::{CLIENT_ID, CREDENTIAL, CredentialSource, TENANT};

/// The tenant of an application.
const TENANT_VARIABLE: &str = "AZURE_TENANT_ID";
/// The application.
const CLIENT_VARIABLE: &str = "AZURE_CLIENT_ID";
/// The application's secret.
const SECRET_VARIABLE: &str = "AZURE_CLIENT_SECRET";
/// The file with its certificate and key, in place of a secret.
const CERTIFICATE_VARIABLE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
/// Whether the certificate is sent, for applications that trust a subject of an issuer.
const CHAIN_VARIABLE: &str = "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN";
/// Who gives out tokens, where no cloud is named.
const AUTHORITY_VARIABLE: &str = "AZURE_AUTHORITY_HOST";
/// Who gives out tokens of the public cloud.
const PUBLIC_AUTHORITY: &str = "https://login.microsoftonline.com";
/// The file with the token of a Kubernetes workload.
const WORKLOAD_VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// Where services hand out the tokens of their identities.
const SERVICE_VARIABLE: &str = "IDENTITY_ENDPOINT";
/// Where machines are handed out the tokens of their identities
/// (<https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>).
const METADATA: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)),
    80,
);
/// How long to wait for it where it may not exist: it is one hop away where it does.
const METADATA_PATIENCE: Duration = Duration::from_millis(500);

/// Prepares the client of a scope. Reads the environment; sends nothing.
///
/// # Errors
/// `Invalid` when the scope lacks a part, `Environment` when the credentials that it names are
/// not there.
pub(crate) fn client(scope: &Scope, requests: Requests) -> Result<Client, ProviderError> {
    let place = Place::of(scope)?;
    let credential = credential(scope, &place)?;
    let policy = BearerTokenAuthorizationPolicy::new(credential, [place.audience.clone()]);
    let policies: Vec<Arc<dyn Policy>> = vec![Arc::new(policy)];
    let options = ClientOptions {
        // Retries are the layers' work: those of the SDK would be counted and paced by nobody.
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    };
    let (name, version) = (
        option_env!("CARGO_PKG_NAME"),
        option_env!("CARGO_PKG_VERSION"),
    );
    let pipeline = Pipeline::new(name, version, options, Vec::new(), policies, None);
    Ok(Client::new(place, pipeline, requests))
}

/// Finds the credentials of a scope.
///
/// # Errors
/// Those of [`client`].
pub(crate) fn credential(
    scope: &Scope,
    place: &Place,
) -> Result<Arc<dyn TokenCredential>, ProviderError> {
    let named = scope.part(CREDENTIAL).map(String::as_str);
    let from = From {
        tenant: scope
            .part(TENANT)
            .cloned()
            .or_else(|| variable(TENANT_VARIABLE)),
        client: scope
            .part(CLIENT_ID)
            .cloned()
            .or_else(|| variable(CLIENT_VARIABLE)),
        authority: place.authority.clone(),
    };
    use CredentialSource as Source;
    let all = [
        Source::Environment,
        Source::WorkloadIdentity,
        Source::ManagedIdentity,
        Source::DeveloperTools,
    ];
    if let Some(source) = all
        .into_iter()
        .find(|source| Some(source.as_str()) == named)
    {
        return from.source(source);
    }
    let mut sources = Vec::new();
    let is_set = |name: &&str| variable(name).is_some();
    if [SECRET_VARIABLE, CERTIFICATE_VARIABLE].iter().any(is_set) {
        sources.push(from.source(Source::Environment)?);
    }
    if variable(WORKLOAD_VARIABLE).is_some() {
        sources.push(from.source(Source::WorkloadIdentity)?);
    }
    // What is not of this computer is known only when it is asked.
    sources.push(Arc::new(OnAzure(from.source(Source::ManagedIdentity)?)));
    sources.push(from.source(Source::DeveloperTools)?);
    Ok(Arc::new(Chain {
        sources,
        chosen: OnceLock::new(),
    }))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What credentials are made from.
struct From {
    tenant: Option<String>,
    client: Option<String>,
    authority: Option<String>,
}

impl From {
    fn options(&self) -> ClientOptions {
        let cloud = self.authority.as_ref().map(|authority| {
            let mut custom = CustomConfiguration::default();
            custom.authority_host.clone_from(authority);
            Arc::new(CloudConfiguration::from(custom))
        });
        ClientOptions {
            cloud,
            // What fails for a moment is tried again by the layers.
            retry: RetryOptions::none(),
            ..ClientOptions::default()
        }
    }

    /// Makes the credential of a service principal: by its secret, else by its certificate, as
    /// Microsoft's libraries look for them.
    fn principal(&self) -> Result<azure_core::Result<Arc<dyn TokenCredential>>, ProviderError> {
        let needed = |value: Option<String>, name: &str| {
            value.ok_or_else(|| {
                let message = format!("{name} is not set");
                ProviderError::new(ErrorClass::Environment, message)
                    .with_hint("set it, or choose another `credential`")
            })
        };
        let tenant = || needed(self.tenant.clone(), TENANT_VARIABLE);
        let client = || needed(self.client.clone(), CLIENT_VARIABLE);
        if let (None, Some(file)) = (variable(SECRET_VARIABLE), variable(CERTIFICATE_VARIABLE)) {
            let (tenant, client) = (tenant()?, client()?);
            let authority = self.authority.clone();
            let authority = authority.or_else(|| variable(AUTHORITY_VARIABLE));
            let authority = authority.unwrap_or_else(|| PUBLIC_AUTHORITY.to_owned());
            let authority = authority.trim_end_matches('/');
            let address = format!("{authority}/{tenant}/oauth2/v2.0/token");
            let whole = variable(CHAIN_VARIABLE);
            let whole = whole.is_some_and(|it| it == "1" || it.eq_ignore_ascii_case("true"));
            let certificate = Certificate::read(Path::new(&file), &client, address, whole)?;
            let options = ClientAssertionCredentialOptions {
                client_options: self.options(),
            };
            let made = ClientAssertionCredential::new(tenant, client, certificate, Some(options));
            return Ok(made.map(|made| made as Arc<dyn TokenCredential>));
        }
        let secret = needed(variable(SECRET_VARIABLE), SECRET_VARIABLE)?;
        let options = ClientSecretCredentialOptions {
            client_options: self.options(),
        };
        let made =
            ClientSecretCredential::new(&tenant()?, client()?, Secret::new(secret), Some(options));
        Ok(made.map(|made| made as Arc<dyn TokenCredential>))
    }

    fn source(&self, source: CredentialSource) -> Result<Arc<dyn TokenCredential>, ProviderError> {
        let made = match source {
            CredentialSource::Environment => self.principal()?,
            CredentialSource::WorkloadIdentity => {
                let options = WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions {
                        client_options: self.options(),
                    },
                    client_id: self.client.clone(),
                    tenant_id: self.tenant.clone(),
                    ..WorkloadIdentityCredentialOptions::default()
                };
                WorkloadIdentityCredential::new(Some(options))
                    .map(|made| made as Arc<dyn TokenCredential>)
            }
            CredentialSource::ManagedIdentity => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: self.client.clone().map(UserAssignedId::ClientId),
                    client_options: self.options(),
                };
                ManagedIdentityCredential::new(Some(options))
                    .map(|made| made as Arc<dyn TokenCredential>)
            }
            CredentialSource::DeveloperTools | CredentialSource::Automatic => {
                DeveloperToolsCredential::new(None).map(|made| made as Arc<dyn TokenCredential>)
            }
        };
        made.map_err(|error| {
            let message = format!("credentials by {} cannot be had", source.as_str());
            ProviderError::new(ErrorClass::Environment, message).with_source(error)
        })
    }
}

/// The managed identity of this machine, which is asked for only where somebody answers.
#[derive(Debug)]
struct OnAzure(Arc<dyn TokenCredential>);

#[async_trait]
impl TokenCredential for OnAzure {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        if variable(SERVICE_VARIABLE).is_none() {
            let connected = TcpStream::connect(METADATA);
            let reached = tokio::time::timeout(METADATA_PATIENCE, connected).await;
            if !matches!(reached, Ok(Ok(_))) {
                return Err(azure_core::Error::with_message(
                    ErrorKind::Credential,
                    "this is no machine with a managed identity",
                ));
            }
        }
        self.0.get_token(scopes, options).await
    }
}

/// Several credentials; the first that gives a token is kept.
#[derive(Debug)]
struct Chain {
    sources: Vec<Arc<dyn TokenCredential>>,
    chosen: OnceLock<usize>,
}

#[async_trait]
impl TokenCredential for Chain {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        if let Some(source) = self.chosen.get().and_then(|index| self.sources.get(*index)) {
            return source.get_token(scopes, options).await;
        }
        let mut last = None;
        for (index, source) in self.sources.iter().enumerate() {
            match source.get_token(scopes, options.clone()).await {
                Ok(token) => {
                    self.chosen.set(index).ok();
                    return Ok(token);
                }
                // The first is the one that the user set up: its error tells most.
                Err(error) => last = last.or(Some(error)),
            }
        }
        Err(last.unwrap_or_else(|| {
            azure_core::Error::with_message(ErrorKind::Credential, "there are no credentials")
        }))
    }
}
