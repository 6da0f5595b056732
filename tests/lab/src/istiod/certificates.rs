//! `CreateCertificate`: a certificate for whoever proves who they are.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use meshvm_lab_agent::wire::certificates::IstioCertificateService;
use meshvm_lab_agent::wire::{CertificateRequest, CertificateResponse};

use super::authenticate::Authenticator;
use super::ca::{Ca, CaError, ttl};

/// The service.
pub struct Certificates {
    /// Tells who asks.
    pub authenticator: Authenticator,
    /// Signs.
    pub ca: Arc<Ca>,
    /// How long a certificate lasts for which no time is asked.
    pub default_ttl: Duration,
}

#[tonic::async_trait]
impl IstioCertificateService for Certificates {
    async fn create_certificate(
        &self,
        request: Request<CertificateRequest>,
    ) -> Result<Response<CertificateResponse>, Status> {
        let caller = self.authenticator.authenticate(&request).await?;
        let CertificateRequest {
            csr,
            validity_duration,
            metadata: _,
        } = request.into_inner();
        let identity = caller.spiffe(&self.authenticator.trust_domain);
        let ttl = ttl(validity_duration, self.default_ttl);
        let signed = self
            .ca
            .sign(&csr, &identity, ttl, OffsetDateTime::now_utc());
        let certificate = signed.map_err(|error| match error {
            CaError::Request(source) => Status::invalid_argument(format!("CSR: {source}")),
            CaError::Sign(source) => Status::internal(format!("CSR signing error: {source}")),
        })?;
        Ok(Response::new(CertificateResponse {
            cert_chain: vec![certificate, self.ca.root_pem().to_owned()],
        }))
    }
}
