//! The mesh's certificate authority.
//!
//! Self-signed, and kept in a Secret of the cluster as istiod keeps its own
//! (`security/pkg/pki/ca` in istio/istio), so that a control plane that is started again has the
//! same root. Signing goes by who asks: what a request says of names is passed over.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use thiserror::Error;
use time::OffsetDateTime;

/// The longest that a certificate may last: `MAX_WORKLOAD_CERT_TTL` of istiod.
pub const LONGEST_TTL: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How long the root lasts.
const ROOT_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Certificates begin a little before they are made, for clocks that are late.
const SKEW: Duration = Duration::from_secs(120);

/// Why nothing is signed.
#[derive(Debug, Error)]
pub enum CaError {
    /// The request is none, or nobody proves to have its key.
    #[error("the certificate signing request cannot be used")]
    Request(#[source] rcgen::Error),
    /// It cannot be signed.
    #[error("cannot make keys and certificates")]
    Sign(#[from] rcgen::Error),
}

/// A certificate with its key, both in PEM.
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// The authority.
pub struct Ca {
    root_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// Makes a new authority.
    ///
    /// # Errors
    ///
    /// When the computer has no randomness.
    pub fn generate(trust_domain: &str, now: OffsetDateTime) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let mut params = params(trust_domain);
        (params.not_before, params.not_after) = (now - SKEW, now + ROOT_TTL);
        let root_pem = params.self_signed(&key)?.pem();
        Ok(Self {
            root_pem,
            issuer: Issuer::new(params, key),
        })
    }

    /// Takes an authority that was kept.
    ///
    /// # Errors
    ///
    /// When the key is none.
    pub fn kept(trust_domain: &str, root_pem: String, key_pem: &str) -> Result<Self, CaError> {
        let key = KeyPair::from_pem(key_pem)?;
        Ok(Self {
            root_pem,
            issuer: Issuer::new(params(trust_domain), key),
        })
    }

    /// Returns the root certificate in PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Returns the private key in PEM, to be kept.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs the key of a request for an identity; returns the certificate in PEM.
    ///
    /// # Errors
    ///
    /// When the request is none, or is not signed with the key in it.
    pub fn sign(
        &self,
        csr_pem: &str,
        identity: &str,
        ttl: Duration,
        now: OffsetDateTime,
    ) -> Result<String, CaError> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem);
        let request = request.map_err(CaError::Request)?;
        let mut params = leaf(now, ttl);
        params.subject_alt_names = vec![SanType::URI(identity.try_into()?)];
        Ok(params.signed_by(&request.public_key, &self.issuer)?.pem())
    }

    /// Makes a key and a certificate of a server with these names.
    ///
    /// # Errors
    ///
    /// When the computer has no randomness, or a name is none.
    pub fn server(&self, names: &[String], now: OffsetDateTime) -> Result<Signed, CaError> {
        let key = KeyPair::generate()?;
        let mut params = leaf(now, ROOT_TTL / 2);
        for name in names {
            params
                .subject_alt_names
                .push(SanType::DnsName(name.as_str().try_into()?));
        }
        Ok(Signed {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// What identifies the authority; the same each time, so that what it signed stays its own.
fn params(trust_domain: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, trust_domain);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf(now: OffsetDateTime, ttl: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    (params.not_before, params.not_after) = (now - SKEW, now + ttl);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params
}

/// Returns how long a certificate lasts for which this many seconds are asked.
pub fn ttl(asked: i64, default: Duration) -> Duration {
    match u64::try_from(asked) {
        Ok(0) | Err(_) => default,
        Ok(seconds) => Duration::from_secs(seconds).min(LONGEST_TTL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_that_is_not_asked_for_is_the_default_and_none_is_too_long() {
        let day = Duration::from_secs(86_400);
        assert_eq!(ttl(0, day), day);
        assert_eq!(ttl(-5, day), day);
        assert_eq!(ttl(60, day), Duration::from_secs(60));
        assert_eq!(ttl(i64::MAX, day), LONGEST_TTL);
    }

    #[test]
    fn a_request_that_was_tampered_with_is_refused() {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let ca = Ca::generate("cluster.local", now).unwrap();
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let identity = "spiffe://cluster.local/ns/vm/sa/web";
        assert!(
            ca.sign(&csr.pem().unwrap(), identity, ROOT_TTL, now)
                .is_ok()
        );
        let mut der = csr.der().to_vec();
        // The last byte is one of the signature.
        if let Some(last) = der.last_mut() {
            *last ^= 1;
        }
        let der = rcgen::CertificateSigningRequestParams::from_der(&der.as_slice().into());
        assert!(der.is_err());
    }

    #[test]
    fn what_was_kept_signs_for_the_same_root() {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let ca = Ca::generate("cluster.local", now).unwrap();
        let kept = Ca::kept("cluster.local", ca.root_pem().to_owned(), &ca.key_pem()).unwrap();
        let names = ["istiod.istio-system.svc".to_owned()];
        let (one, two) = (
            ca.server(&names, now).unwrap(),
            kept.server(&names, now).unwrap(),
        );
        for signed in [one, two] {
            let pem = x509_parser::pem::parse_x509_pem(signed.certificate.as_bytes())
                .unwrap()
                .1;
            let root = x509_parser::pem::parse_x509_pem(ca.root_pem().as_bytes())
                .unwrap()
                .1;
            let root = root.parse_x509().unwrap();
            let key = root.public_key();
            pem.parse_x509()
                .unwrap()
                .verify_signature(Some(key))
                .unwrap();
        }
    }
}
