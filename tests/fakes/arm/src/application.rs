//! An application that shows by a certificate who it is.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// What the directory knows of it.
pub(crate) struct Application {
    /// The SHA-256 of its certificate, as assertions name it.
    thumbprint: String,
    key: DecodingKey,
}

/// Who says what of whom.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    jti: String,
}

impl Application {
    /// Makes the key and certificate of one, in one file, as `az ad sp create-for-rbac
    /// --create-cert` leaves them.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn make(file: &Path) {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an application of meshvm's tests");
        let certificate = params.self_signed(&key).expect("a certificate");
        let both = format!("{}{}", key.serialize_pem(), certificate.pem());
        std::fs::write(file, both).expect("a writable folder");
    }

    /// Reads what the directory is told of one: its certificate.
    ///
    /// # Panics
    /// When the file is not what [`Application::make`] writes.
    pub fn of(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("the file of the application");
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).expect("a certificate");
        let key = KeyPair::from_pem(&text).expect("a key");
        Self {
            thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate)),
            key: DecodingKey::from_rsa_der(key.public_key_raw()),
        }
    }

    /// Returns whether an assertion is its own, for one who asks at an address
    /// (<https://learn.microsoft.com/entra/identity-platform/certificate-credentials>).
    pub fn has_signed(&self, assertion: &str, client: &str, address: &str) -> bool {
        let is_named = decode_header(assertion).is_ok_and(|header| {
            header.x5t_s256.as_deref() == Some(self.thumbprint.as_str())
                && header.typ.as_deref() == Some("JWT")
        });
        let mut wanted = Validation::new(Algorithm::PS256);
        wanted.set_audience(&[address]);
        wanted.set_required_spec_claims(&["aud", "exp", "iss", "nbf", "sub"]);
        wanted.validate_nbf = true;
        let claims = decode::<Claims>(assertion, &self.key, &wanted);
        is_named
            && claims.is_ok_and(|token| {
                let Claims { iss, sub, jti } = token.claims;
                iss == client && sub == client && !jti.is_empty()
            })
    }
}
