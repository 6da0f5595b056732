//! The tokens of service accounts: JWTs that the cluster signs.
//!
//! Their claims are those of a real cluster
//! (<https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>).
//!
//! Invariants: a token is good only while its account, and the Secret it is bound to, are still
//! the same objects. Never logged.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::User;
use crate::kube::kinds::Kinds;
use crate::kube::store::{Store, uid};

/// Who signs, and for whom a token is that says nothing else.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// For whom it is.
    pub aud: Vec<String>,
    /// When it ends.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// Who made it.
    pub iss: String,
    /// Its id.
    pub jti: String,
    /// What it is about.
    #[serde(rename = "kubernetes.io")]
    pub about: About,
    /// When it begins.
    pub nbf: i64,
    /// Whose it is.
    pub sub: String,
}

/// What a token is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct About {
    /// The namespace of the account.
    pub namespace: String,
    /// The account.
    pub serviceaccount: Bound,
    /// The Secret that it ends with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Bound>,
}

/// An object that a token is bound to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bound {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: String,
}

/// The key that signs tokens.
pub struct Signer {
    key_id: String,
    sign: EncodingKey,
    check: DecodingKey,
    point: Vec<u8>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.key_id)
    }
}

impl Signer {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// When the computer has no randomness.
    pub fn new() -> Result<Self, rcgen::Error> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let point = pair.der_bytes().to_vec();
        Ok(Self {
            key_id: uuid::Uuid::new_v4().simple().to_string(),
            sign: EncodingKey::from_ec_der(&pair.serialize_der()),
            check: DecodingKey::from_ec_der(&point),
            point,
        })
    }

    /// Signs claims.
    ///
    /// # Errors
    ///
    /// When the key cannot sign.
    pub fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = None;
        header.kid = Some(self.key_id.clone());
        encode(&header, claims, &self.sign)
    }

    /// Returns the claims of a token that this key signed; the time is not looked at.
    fn read(&self, token: &str) -> Option<Claims> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.set_issuer(&[ISSUER]);
        let read = decode::<Claims>(token, &self.check, &validation);
        read.ok().map(|data| data.claims)
    }

    /// Returns the public key as a JWK set, as `/openid/v1/jwks` has it.
    pub fn jwks(&self) -> serde_json::Value {
        use base64::Engine as _;
        let text = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        // An uncompressed point: one byte of form, then both coordinates.
        let (x, y) = self.point[1..].split_at(32);
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256",
            "x": text(x), "y": text(y),
        }]})
    }

    /// Returns whose a token is, and for which of the audiences it is good.
    ///
    /// # Errors
    ///
    /// The text of why it is not good.
    pub fn check(
        &self,
        token: &str,
        audiences: &[String],
        kinds: &Kinds,
        store: &Store,
        now: i64,
    ) -> Result<(User, Vec<String>), String> {
        let claims = self.read(token).ok_or("invalid bearer token")?;
        if now < claims.nbf {
            return Err("[invalid bearer token, service account token is not valid yet]".into());
        }
        if claims.exp < now {
            return Err("[invalid bearer token, service account token has expired]".into());
        }
        let shared: Vec<String> = audiences
            .iter()
            .filter(|audience| claims.aud.contains(audience))
            .cloned()
            .collect();
        if shared.is_empty() {
            return Err(format!(
                "[invalid bearer token, token audiences {:?} is invalid for the target audiences \
                 {audiences:?}]",
                claims.aud
            ));
        }
        let About {
            namespace,
            serviceaccount,
            secret,
        } = &claims.about;
        let same = |plural: &str, bound: &Bound| {
            let kind = kinds.find("", plural)?;
            let key = (namespace.clone(), bound.name.clone());
            let object = store.get(kind, &key)?;
            let alive = object.pointer("/metadata/deletionTimestamp").is_none();
            (alive && uid(object) == Some(bound.uid.as_str())).then_some(())
        };
        same("serviceaccounts", serviceaccount).ok_or_else(|| {
            let name = &serviceaccount.name;
            format!("[invalid bearer token, serviceaccounts {name:?} not found]")
        })?;
        if let Some(secret) = secret {
            same("secrets", secret)
                .ok_or("[invalid bearer token, service account token has been invalidated]")?;
        }
        let mut user = User::service_account(namespace, &serviceaccount.name, &serviceaccount.uid);
        let id = json!([format!("JTI={}", claims.jti)]);
        user.extra
            .insert("authentication.kubernetes.io/credential-id".to_owned(), id);
        Ok((user, shared))
    }
}
