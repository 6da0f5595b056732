//! The certificate of a service principal, by which it shows who it is: it signs an assertion of
//! a few minutes, and Entra knows the certificate
//! (<https://learn.microsoft.com/entra/identity-platform/certificate-credentials>).
//!
//! Microsoft's library has the same behind OpenSSL, which would be a second TLS; here the
//! assertion is made, and that library sends it. The key is kept in memory and is never written.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use meshvm_provider_api::{ErrorClass, ProviderError};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// How long an assertion is good: it is used at once.
const LIFETIME: Duration = Duration::from_secs(300);
/// The kind of block that a certificate is.
const CERTIFICATE: &str = "CERTIFICATE";
/// What the kinds of block end with that hold keys.
const KEY: &str = "PRIVATE KEY";
/// The kind of block of keys that a password protects.
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// What signs for a service principal.
pub(crate) struct Certificate {
    client: String,
    /// Where its assertions are sent.
    address: String,
    header: Header,
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: u64,
    exp: u64,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads a file with a certificate and its RSA key, as PEM. With `whole`, assertions carry the
    /// certificates of the file, by which Entra trusts a subject of an issuer.
    ///
    /// # Errors
    /// `Environment` when the file cannot be read, or has no key or certificate.
    pub fn read(
        file: &Path,
        client: &str,
        address: String,
        whole: bool,
    ) -> Result<Self, ProviderError> {
        let wrong = |why: &str| {
            let message = format!("{}: {why}", file.display());
            ProviderError::new(ErrorClass::Environment, message).with_hint(
                "it takes one file with the certificate and its RSA key as PEM; \
                 `openssl pkcs12 -nodes -in FILE.pfx` makes one of a PFX",
            )
        };
        let bytes = std::fs::read(file)
            .map_err(|error| wrong("the client's certificate cannot be read").with_source(error))?;
        // What the parser says may quote the file.
        let blocks = pem::parse_many(bytes).map_err(|_| wrong("is no PEM"))?;
        if blocks.iter().any(|block| block.tag() == ENCRYPTED) {
            return Err(wrong("has a key that a password protects"));
        }
        let key = blocks.iter().find(|block| block.tag().ends_with(KEY));
        let key = key.ok_or_else(|| wrong("has no private key"))?;
        let key = EncodingKey::from_rsa_pem(pem::encode(key).as_bytes())
            .map_err(|_| wrong("has a key that is not RSA"))?;
        let certificates = blocks.iter().filter(|block| block.tag() == CERTIFICATE);
        let certificates: Vec<&[u8]> = certificates.map(|block| block.contents()).collect();
        let own = certificates
            .first()
            .ok_or_else(|| wrong("has no certificate"))?;
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = Some(URL_SAFE_NO_PAD.encode(Sha256::digest(own)));
        let chain = certificates.iter().map(|it| STANDARD.encode(it));
        header.x5c = whole.then(|| chain.collect());
        Ok(Self {
            client: client.to_owned(),
            address,
            header,
            key,
        })
    }

    /// Signs an assertion.
    ///
    /// # Errors
    /// When the key is too small to sign with.
    fn sign(&self, now: SystemTime) -> Result<String, jsonwebtoken::errors::Error> {
        let seconds = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            since.unwrap_or_default().as_secs()
        };
        let claims = Claims {
            aud: &self.address,
            iss: &self.client,
            sub: &self.client,
            jti: uuid::Uuid::new_v4().to_string(),
            nbf: seconds(now),
            exp: seconds(now + LIFETIME),
        };
        encode(&self.header, &claims, &self.key)
    }
}

#[async_trait]
impl ClientAssertion for Certificate {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        self.sign(SystemTime::now())
            .map_err(|error| azure_core::Error::new(ErrorKind::Credential, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_file_is_told_and_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sp.pem");
        let block = |tag: &str| {
            let block = pem::Pem::new(tag, *b"c2VjcmV0");
            pem::encode(&block)
        };
        for (text, told) in [
            (None, "cannot be read"),
            (Some("secret".to_owned()), "no private key"),
            (Some(block("CERTIFICATE")), "no private key"),
            (Some(block("ENCRYPTED PRIVATE KEY")), "password"),
            (Some(block("PRIVATE KEY")), "not RSA"),
        ] {
            if let Some(text) = &text {
                std::fs::write(&file, text).unwrap();
            }
            let read = Certificate::read(&file, "client", String::new(), false);
            let error = read.unwrap_err();
            assert_eq!(error.class, ErrorClass::Environment);
            assert!(error.message.contains(told), "{}", error.message);
            assert!(!format!("{error:?}").contains("c2VjcmV0"), "{error:?}");
        }
    }
}
