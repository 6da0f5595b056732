//! What is told to those who have no token yet: where to get one, and the tokens themselves.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::application::Application;
use crate::server::Reply;
use crate::{SECRET, TENANT};

/// The kind of assertion that a client signs.
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Answers a call that needs no token; `None` when it does.
pub(crate) fn answer(
    path: &str,
    base: &str,
    body: &[u8],
    application: Option<&Application>,
) -> Option<Reply> {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    match words[..] {
        [.., "oauth2", "v2.0", "token"] => Some(token(path, base, body, application)),
        ["metadata", "endpoints"] => Some(Reply::of(200, Some(cloud(base)))),
        [tenant, "v2.0", ".well-known", "openid-configuration"] => Some(directory(tenant, base)),
        _ => None,
    }
}

/// Describes the cloud, as Azure's command line asks for it when a cloud is registered.
fn cloud(base: &str) -> Value {
    json!({
        "name": "double",
        "resourceManager": base,
        "authentication": {
            "loginEndpoint": base, "audiences": [base], "tenant": TENANT,
            "identityProvider": "AAD",
        },
        "suffixes": {},
    })
}

/// Describes the directory (<https://openid.net/specs/openid-connect-discovery-1_0.html>).
fn directory(tenant: &str, base: &str) -> Reply {
    if tenant != TENANT {
        let body = json!({"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant not found."});
        return Reply::of(400, Some(body));
    }
    Reply::of(
        200,
        Some(json!({
            "issuer": format!("{base}/{tenant}/v2.0"),
            "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
            "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
            "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
            "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })),
    )
}

/// Gives out a token to those who know the secret, and to the application that signs.
fn token(path: &str, base: &str, body: &[u8], application: Option<&Application>) -> Reply {
    let form: BTreeMap<String, String> = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let value = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let has_signed = application.is_some_and(|application| {
        let is_kind = value("client_assertion_type") == ASSERTION;
        let address = format!("{base}{path}");
        is_kind && application.has_signed(value("client_assertion"), value("client_id"), &address)
    });
    let knows = value("client_secret") == SECRET || has_signed;
    if !knows || value("grant_type") != "client_credentials" || !path.contains(TENANT) {
        let body = json!({"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."});
        return Reply::of(401, Some(body));
    }
    let claims = json!({"appid": value("client_id"), "tid": TENANT, "aud": value("scope")});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!(
        "{}.{}.{}",
        part(&json!({"alg": "none"})),
        part(&claims),
        part(&json!(SECRET))
    );
    let body = json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token});
    Reply::of(200, Some(body))
}
