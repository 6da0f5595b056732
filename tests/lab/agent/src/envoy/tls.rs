//! Mutual TLS, both ways round. Pure.

use serde_json::{Value, json};

use super::files::Files;

const SOCKET: &str = "envoy.transport_sockets.tls";
const PACKAGE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

fn sds(name: &str, path: &std::path::Path) -> Value {
    json!({
        "name": name,
        "sds_config": {
            "resource_api_version": "V3",
            "path_config_source": { "path": path },
        },
    })
}

/// Returns what both ways have: the own certificate, and whom to believe.
fn common(files: &Files, sans: Value) -> Value {
    json!({
        "tls_params": { "tls_minimum_protocol_version": "TLSv1_2" },
        "tls_certificate_sds_secret_configs": [sds("default", &files.certificate())],
        "combined_validation_context": {
            "default_validation_context": { "match_typed_subject_alt_names": sans },
            "validation_context_sds_secret_config": sds("ROOTCA", &files.root()),
        },
    })
}

fn uri(matcher: Value) -> Value {
    json!({ "san_type": "URI", "matcher": matcher })
}

/// Returns the socket of those who come in: anybody of the trust domain, nobody without a
/// certificate.
pub(super) fn downstream(files: &Files, trust_domain: &str) -> Value {
    let anybody = uri(json!({ "prefix": format!("spiffe://{trust_domain}/") }));
    json!({
        "name": SOCKET,
        "typed_config": {
            "@type": format!("{PACKAGE}.DownstreamTlsContext"),
            "require_client_certificate": true,
            "common_tls_context": common(files, json!([anybody])),
        },
    })
}

/// Returns the socket to endpoints that must prove one of these identities.
pub(super) fn upstream<'a>(
    files: &Files,
    server_name: &str,
    identities: impl Iterator<Item = &'a str>,
) -> Value {
    let identities: Vec<Value> = identities
        .map(|identity| uri(json!({ "exact": identity })))
        .collect();
    json!({
        "name": SOCKET,
        "typed_config": {
            "@type": format!("{PACKAGE}.UpstreamTlsContext"),
            "sni": server_name,
            "common_tls_context": common(files, json!(identities)),
        },
    })
}
