//! Finding out who asks: a certificate of the mesh, else a token that the cluster knows.
//!
//! The order and the words are those of istiod's authenticators (`security/pkg/server/ca/
//! authenticate` in istio/istio). Whoever has a certificate needs no token, however old the token
//! is.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::identity::Identity;

/// The audience that tokens must be for.
const AUDIENCE: &str = "istio-ca";
/// The group that all service accounts are in.
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Tells who asks.
#[derive(Clone)]
pub struct Authenticator {
    /// The cluster that knows tokens.
    pub kubernetes: Client,
    /// Its name.
    pub cluster_id: String,
    /// The trust domain of identities.
    pub trust_domain: String,
}

impl Authenticator {
    /// Returns who sent a request.
    ///
    /// # Errors
    ///
    /// `Unauthenticated` when neither a certificate nor a token says so.
    pub async fn authenticate<T>(&self, request: &Request<T>) -> Result<Identity, Status> {
        let by_certificate = match request.peer_certs() {
            Some(certificates) => certificates
                .first()
                .and_then(|certificate| self.of_certificate(certificate))
                .ok_or("the client certificate has no identity of this trust domain"),
            None => Err("no client certificate"),
        };
        let no_certificate = match by_certificate {
            Ok(identity) => return Ok(identity),
            Err(why) => why,
        };
        let by_token = self.of_token(request.metadata()).await;
        by_token.map_err(|why| {
            let said = "request authenticate failure";
            Status::unauthenticated(format!("{said}: {no_certificate}; {why}"))
        })
    }

    /// The connection has checked already that the mesh's authority signed it, and its dates.
    fn of_certificate(&self, der: &[u8]) -> Option<Identity> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.extensions().iter().filter_map(|extension| {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            }
        });
        let mut uris = names.flatten().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        uris.find_map(|uri| Identity::from_spiffe(uri, &self.trust_domain))
    }

    async fn of_token(&self, metadata: &MetadataMap) -> Result<Identity, String> {
        let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let token = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let token =
            token.ok_or("target JWT extraction error: no HTTP authorization header exists")?;
        let cluster = text("clusterid").unwrap_or_default();
        if !cluster.is_empty() && cluster != self.cluster_id {
            let own = &self.cluster_id;
            return Err(format!(
                "client claims to be in cluster {cluster:?}, \
                 but we only know about local cluster {own:?} and remote clusters []"
            ));
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![AUDIENCE.to_owned()]),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.kubernetes.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|error| format!("failed to validate the JWT: {error}"))?;
        let status = answer.status.unwrap_or_default();
        if status.authenticated != Some(true) {
            let why = status.error.unwrap_or_default();
            return Err(format!("the token is not authenticated: {why}"));
        }
        let audiences = status.audiences.unwrap_or_default();
        if !audiences.iter().any(|audience| audience == AUDIENCE) {
            return Err(format!("the token is not for {AUDIENCE}"));
        }
        let user = status.user.unwrap_or_default();
        let groups = user.groups.unwrap_or_default();
        if !groups.iter().any(|group| group == SERVICE_ACCOUNTS) {
            return Err("the token is not a service account".to_owned());
        }
        let name = user.username.unwrap_or_default();
        Identity::from_user(&name).ok_or_else(|| format!("{name:?} is no service account"))
    }
}
