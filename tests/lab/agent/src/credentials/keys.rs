//! A new private key, and the request for a certificate of it.

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, SanType,
};

use crate::settings::KeyKind;

/// A key and its request, both in PEM.
pub(super) struct Request {
    /// The private key, PKCS #8.
    pub(super) key: String,
    /// The certificate signing request.
    pub(super) csr: String,
}

/// Makes a key and a request that names an identity. istiod goes by who asks, not by that name.
///
/// # Errors
///
/// When the key cannot be made, or the identity is no URI.
pub(super) fn request(kind: KeyKind, identity: &str) -> Result<Request, rcgen::Error> {
    let key = match kind {
        KeyKind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        KeyKind::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?,
        KeyKind::Rsa(size) => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size)?,
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.try_into()?)];
    let csr = params.serialize_request(&key)?;
    Ok(Request {
        key: key.serialize_pem(),
        csr: csr.pem()?,
    })
}
