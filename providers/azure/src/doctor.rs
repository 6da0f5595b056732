//! Whose credentials reach a scope.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshvm_provider_api::{ErrorClass, ProviderError, Requests, Scope};
use serde::Deserialize;

use crate::cloud::Place;
use crate::connect;
use crate::group;

/// Who the credentials in use belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's name, or the application's id.
    pub name: String,
    /// The tenant.
    pub tenant: String,
    /// The subscription that was reached.
    pub subscription: String,
}

/// What a token says of its owner. It is told and never believed: Azure looks at it by itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Claims {
    upn: Option<String>,
    unique_name: Option<String>,
    appid: Option<String>,
    oid: Option<String>,
    tid: Option<String>,
}

/// Asks whose credentials reach a scope, and whether they reach its resource group; changes
/// nothing.
///
/// # Errors
/// `Environment` when there are no credentials, `PermissionDenied` when they are not taken.
pub async fn identity(scope: &Scope) -> Result<Identity, ProviderError> {
    let place = Place::of(scope)?;
    let credential = connect::credential(scope, &place)?;
    let token = credential.get_token(&[&place.audience], None).await;
    let token = token.map_err(|error| {
        let message = "no credentials give a token";
        ProviderError::new(ErrorClass::Environment, message).with_source(error)
    })?;
    let claims = claims(token.token.secret());
    let client = connect::client(scope, Requests::default())?;
    match group::exists(&client).await {
        // One that is not there yet was looked for, and that was allowed.
        Err(error) if error.class == ErrorClass::NotFound => {}
        answer => answer?,
    }
    let name = claims.upn.or(claims.unique_name).or(claims.appid);
    Ok(Identity {
        name: name.or(claims.oid).unwrap_or_else(|| "somebody".to_owned()),
        tenant: claims.tid.unwrap_or_default(),
        subscription: place.subscription,
    })
}

fn claims(token: &str) -> Claims {
    let read = || {
        let payload = token.split('.').nth(1)?;
        let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    // A token is its service's own affair: one that cannot be read is used all the same.
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_owner() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"appid":"a","tid":"t"}"#);
        let claims = claims(&format!("x.{payload}.y"));
        assert_eq!(claims.appid.as_deref(), Some("a"));
        assert_eq!(claims.tid.as_deref(), Some("t"));
        assert_eq!(super::claims("opaque").appid, None);
    }
}
