//! Who gets a certificate, and of what it is.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams};
use meshvm_lab_agent::credentials::{IssueError, Material, issue};
use serde_json::json;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use super::{Lab, Machine, make};

/// Returns the URIs of a certificate, once it is checked that the root signed it.
fn uris(material: &Material) -> Vec<String> {
    let chain = parse_x509_pem(material.chain.as_bytes()).unwrap().1;
    let root = parse_x509_pem(material.root.as_bytes()).unwrap().1;
    let (certificate, root) = (chain.parse_x509().unwrap(), root.parse_x509().unwrap());
    certificate
        .verify_signature(Some(root.public_key()))
        .unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let names = names.value.general_names.iter();
    names
        .map(|name| match name {
            GeneralName::URI(uri) => (*uri).to_owned(),
            other => panic!("{other}"),
        })
        .collect()
}

async fn refused(machine: &Machine) -> String {
    match issue(&machine.settings).await {
        Err(IssueError::Unauthenticated(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_token_for_the_authority_gets_a_certificate() {
    let lab = Lab::new().await;
    let machine = lab.machine("web").await;
    let material = issue(&machine.settings).await.unwrap();
    assert_eq!(uris(&material), ["spiffe://cluster.local/ns/vm/sa/web"]);
    assert_eq!(material.root.trim(), lab.istiod.root_pem().trim());
    let lasts = material.end.duration_since(material.made).as_secs();
    assert!((3500..=3600).contains(&lasts), "{lasts}");
}

#[tokio::test]
async fn a_lifetime_is_at_most_ninety_days() {
    let lab = Lab::new().await;
    let mut machine = lab.machine("web").await;
    machine.settings.secret_ttl = Duration::from_secs(365 * 86_400);
    let material = issue(&machine.settings).await.unwrap();
    let days = material.end.duration_since(material.made).as_hours() / 24;
    assert!((89..=90).contains(&days), "{days}");
}

#[tokio::test]
async fn what_the_request_says_of_names_is_passed_over() {
    let lab = Lab::new().await;
    let mut machine = lab.machine("web").await;
    machine.settings.service_account = "db".to_owned();
    machine.settings.namespace = "istio-system".to_owned();
    let material = issue(&machine.settings).await.unwrap();
    assert_eq!(uris(&material), ["spiffe://cluster.local/ns/vm/sa/web"]);
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() {
    let lab = Lab::new().await;
    let token = lab.token("web", "vault", None).await;
    let why = refused(&lab.machine_with("web", Some(&token))).await;
    assert!(why.contains("request authenticate failure"), "{why}");
    assert!(!why.contains(&token), "the token is told");
    let nothing = refused(&lab.machine_with("web", None)).await;
    assert!(nothing.contains("no client certificate"), "{nothing}");
    refused(&lab.machine_with("web", Some("no token"))).await;
    // The API server's own administrator is no service account.
    let admin = lab.cluster.admin_token().to_owned();
    refused(&lab.machine_with("web", Some(&admin))).await;
}

#[tokio::test]
async fn a_token_that_ended_is_refused() {
    let lab = Lab::new().await;
    let machine = lab.machine("web").await;
    lab.cluster.advance(601);
    refused(&machine).await;
}

#[tokio::test]
async fn a_token_whose_secret_is_deleted_is_refused() {
    let lab = Lab::new().await;
    let secrets: Api<Secret> = Api::namespaced(lab.client.clone(), "vm");
    let secret = make(&secrets, json!({ "metadata": { "name": "m1" } })).await;
    let token = lab.token("web", "istio-ca", Some(&secret)).await;
    let machine = lab.machine_with("web", Some(&token));
    issue(&machine.settings).await.unwrap();
    secrets
        .delete("m1", &DeleteParams::default())
        .await
        .unwrap();
    refused(&machine).await;
}

#[tokio::test]
async fn another_cluster_is_told_which_one_this_is() {
    let lab = Lab::new().await;
    let mut machine = lab.machine("web").await;
    machine.settings.cluster_id = "elsewhere".to_owned();
    let why = refused(&machine).await;
    let said = r#"client claims to be in cluster "elsewhere", but we only know about local cluster "Kubernetes""#;
    assert!(why.contains(said), "{why}");
}

#[tokio::test]
async fn a_certificate_gets_the_next_without_a_token() {
    let lab = Lab::new().await;
    let mut machine = lab.machine("web").await;
    let first = issue(&machine.settings).await.unwrap();
    first
        .write_to(&machine.folder.path().join("certs"))
        .unwrap();
    machine.settings.token = None;
    // Whoever has a certificate stays who it is, whatever it says.
    machine.settings.service_account = "db".to_owned();
    let second = issue(&machine.settings).await.unwrap();
    assert_eq!(uris(&second), ["spiffe://cluster.local/ns/vm/sa/web"]);
    assert!(first.key != second.key, "the key is the old one");
}

#[tokio::test]
async fn other_kinds_of_keys_are_signed_as_well() {
    use meshvm_lab_agent::settings::KeyKind;
    let lab = Lab::new().await;
    let mut machine = lab.machine("web").await;
    for kind in [KeyKind::P384, KeyKind::Rsa(rcgen::RsaKeySize::_2048)] {
        machine.settings.key = kind;
        let material = issue(&machine.settings).await.unwrap();
        assert_eq!(uris(&material), ["spiffe://cluster.local/ns/vm/sa/web"]);
    }
}
