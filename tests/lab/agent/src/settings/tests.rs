//! What is made of an environment.

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter();
    variables
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::read(&environment(variables), &ProxyConfig::default())
}

#[test]
fn without_a_word_all_is_as_istio_has_it() {
    let settings = read(&[]).unwrap();
    assert_eq!(settings.ca_address, "istiod.istio-system.svc:15012");
    assert_eq!(settings.trust_domain, "cluster.local");
    assert_eq!(settings.secret_ttl, Duration::from_secs(24 * 60 * 60));
    assert_eq!(settings.key, KeyKind::P256);
    assert_eq!(settings.ready_port, 15021);
    let token = settings.token.unwrap();
    assert_eq!(token, PathBuf::from("./var/run/secrets/tokens/istio-token"));
    assert_eq!(settings.prov_cert, None);
}

#[test]
fn an_empty_folder_of_certificates_is_none() {
    let settings = read(&[("PROV_CERT", ""), ("OUTPUT_CERTS", "./etc/certs")]).unwrap();
    assert_eq!(settings.prov_cert, None);
    assert_eq!(settings.output_certs, Some(PathBuf::from("./etc/certs")));
}

#[test]
fn another_name_of_istiod_counts_for_the_authority_only_without_its_own_address() {
    let san = ("ISTIOD_SAN", "istiod.istio-system.svc");
    let settings = read(&[san]).unwrap();
    assert_eq!(settings.ca_san.as_deref(), Some("istiod.istio-system.svc"));
    let settings = read(&[san, ("CA_ADDR", "ca.example:15012")]).unwrap();
    assert_eq!(settings.ca_address, "ca.example:15012");
    assert_eq!(settings.ca_san, None);
    assert!(settings.istiod_san.is_some());
}

#[test]
fn metadata_and_labels_are_told_apart() {
    let settings = read(&[
        ("ISTIO_META_WORKLOAD_ENTRY", "web-1"),
        ("ISTIO_METAJSON_LABELS", r#"{"app":"web"}"#),
        ("ISTIO_METAJSON_MORE", r#"{"NETWORK":"vms"}"#),
    ])
    .unwrap();
    assert_eq!(settings.meta("WORKLOAD_ENTRY"), "web-1");
    assert_eq!(settings.meta("NETWORK"), "vms");
    assert_eq!(settings.meta("LABELS"), "");
    assert_eq!(settings.labels["app"], "web");
}

#[test]
fn a_policy_of_existing_certificates_uses_no_token() {
    assert_eq!(read(&[("JWT_POLICY", "none")]).unwrap().token, None);
    assert!(
        read(&[("JWT_POLICY", "first-party-jwt")])
            .unwrap()
            .token
            .is_some()
    );
}

#[test]
fn rsa_is_the_kind_without_a_signature_algorithm() {
    let rsa = [
        ("ECC_SIGNATURE_ALGORITHM", ""),
        ("WORKLOAD_RSA_KEY_SIZE", "4096"),
    ];
    assert_eq!(read(&rsa).unwrap().key, KeyKind::Rsa(RsaKeySize::_4096));
}

#[test]
fn what_cannot_be_is_refused() {
    for (name, value) in [
        ("SECRET_TTL", "soon"),
        ("ECC_CURVE", "P521"),
        ("CREDENTIAL_FETCHER_TYPE", "GoogleComputeEngine"),
        ("XDS_ROOT_CA", "SYSTEM"),
        ("ISTIO_METAJSON_LABELS", "[]"),
        ("FILE_MOUNTED_CERTS", "true"),
    ] {
        let error = read(&[(name, value)]).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}
