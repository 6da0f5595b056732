//! The user-data as the programs read it that it is made for.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshvm_provider_api::UserDataRules;
use sha2::{Digest as _, Sha256};
use tempfile::tempdir;

use secrecy::ExposeSecret as _;

use super::machine::CloudConfig;
use super::{file, full, hostile_values, hosts, istio, rendered, script_of, sidecar};
use crate::bootstrap::{
    IstioFiles, RenderError, Request, SCRIPT_PATH, TOKEN_FILE, encode, render, with_private_files,
};
use crate::spec::model::{Arch, Bootstrap, Package, PackageFormat};

/// The smallest limit of a cloud, before base64
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html>).
const AWS: UserDataRules = UserDataRules {
    limit: 16_384,
    gzip: true,
};

/// Runs a checker of scripts on a script.
pub fn check(command: &[&str], script: &str) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("script.sh");
    std::fs::write(&path, script).unwrap();
    let output = Command::new(command[0])
        .args(&command[1..])
        .arg(&path)
        .output();
    let output =
        output.unwrap_or_else(|error| panic!("these tests need `{}`: {error}", command[0]));
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

fn ordinary() -> Bootstrap {
    Bootstrap {
        packages: vec!["mariadb-server".to_owned()],
        files: vec![file(
            "/etc/mysql/60-bind.cnf",
            "[mysqld]\nbind-address = 0.0.0.0\n",
        )],
        run: vec!["systemctl restart mariadb".to_owned()],
        template: None,
    }
}

fn hostile() -> Bootstrap {
    let values = hostile_values();
    Bootstrap {
        packages: values.clone(),
        files: values
            .iter()
            .map(|value| file(&format!("/{value}."), value))
            .collect(),
        run: values,
        template: None,
    }
}

#[test]
fn the_script_is_clean_with_and_without_a_sidecar() {
    let sidecar = sidecar();
    let (full, plain) = (full(), istio("x"));
    let with_address = IstioFiles {
        hosts: hosts("192.0.2.1"),
        ..istio("x")
    };
    for (sidecar, bootstrap, istio) in [
        (Some(&sidecar), ordinary(), Some(&full)),
        (Some(&sidecar), ordinary(), None),
        (Some(&sidecar), Bootstrap::default(), Some(&plain)),
        (Some(&sidecar), Bootstrap::default(), Some(&with_address)),
        (None, ordinary(), Some(&full)),
        (None, Bootstrap::default(), None),
    ] {
        let rendered = rendered(sidecar, &bootstrap, istio);
        let script = script_of(&rendered);
        check(&["bash", "-n"], script);
        // SC2317: a function that no line calls; not every fleet needs all of them.
        check(&["shellcheck", "--norc", "--exclude=SC2317"], script);
        let comments = script
            .lines()
            .filter(|line| line.trim_start().starts_with('#'));
        assert_eq!(comments.count(), 9, "only those at the top");
    }
}

/// Returns text that does not get smaller, as certificates and tokens do not.
fn noise(length: usize) -> String {
    (0u64..).flat_map(letters).take(length).collect()
}

/// Sixteen characters of base64 that depend on a number.
fn letters(n: u64) -> Vec<char> {
    let digest = Sha256::digest(n.to_le_bytes());
    STANDARD.encode(&digest[..12]).chars().collect()
}

/// A member of a mesh as large as they are: two formats, two architectures, a
/// 4096-bit root, a load balancer's name, packages, a file and commands.
#[test]
fn a_typical_member_fits_into_the_smallest_cloud() {
    let mut sidecar = sidecar();
    for format in [PackageFormat::Deb, PackageFormat::Rpm] {
        for arch in [Arch::Amd64, Arch::Arm64] {
            let package = Package {
                format,
                arch,
                path: None,
                url: Some(format!(
                    "https://storage.googleapis.com/istio-release/releases/1.30.3/{0}/istio-sidecar-{1}.{0}",
                    format.as_str(),
                    arch.as_str()
                )),
                sha256: noise(64),
            };
            sidecar.packages.push(package);
        }
    }
    let variables = "CANONICAL_REVISION CANONICAL_SERVICE ISTIO_INBOUND_PORTS ISTIO_LOCAL_EXCLUDE_PORTS ISTIO_METAJSON_LABELS ISTIO_META_CLUSTER_ID ISTIO_META_DNS_CAPTURE ISTIO_META_MESH_ID ISTIO_META_NETWORK ISTIO_META_POD_PORTS ISTIO_META_WORKLOAD_NAME ISTIO_NAMESPACE ISTIO_SERVICE ISTIO_SERVICE_CIDR POD_NAMESPACE SERVICE_ACCOUNT TRUST_DOMAIN";
    let lines = |form: fn(&str) -> String| variables.split(' ').map(form).collect::<String>();
    let member = IstioFiles {
        cluster_env: lines(|key| format!("{key}='a value of {key}'\n")),
        mesh_yaml: format!(
            "defaultConfig:\n  discoveryAddress: istiod.istio-system.svc:15012\n  proxyMetadata:\n{}",
            lines(|key| format!("    {key}: a value of {key}\n"))
        ),
        root_cert: format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            noise(1900)
        ),
        hosts: hosts(
            "a0123456789abcdef0123456789abcdef-0123456789abcdef.elb.eu-central-1.amazonaws.com",
        ),
        ..full()
    };
    let rendered = rendered(Some(&sidecar), &ordinary(), Some(&member));
    let with_token =
        with_private_files(&rendered.user_data, &[(TOKEN_FILE, noise(1100).into())]).unwrap();
    for user_data in [rendered.user_data.as_str(), with_token.expose_secret()] {
        let encoded = encode(user_data, &AWS).unwrap();
        println!(
            "{} bytes of user-data, {} for the cloud, gzip: {}",
            user_data.len(),
            encoded.bytes.len(),
            encoded.gzip
        );
        assert!(encoded.bytes.len() < 16_384);
    }
}

#[test]
fn hostile_values_leave_the_script_whole() {
    let mut sidecar = sidecar();
    let nasty = hostile_values().join("'\"\n");
    sidecar.version = nasty.clone();
    sidecar.unit = nasty.clone();
    sidecar.ready_url = nasty.clone();
    sidecar.packages[0].url = Some(nasty.clone());
    sidecar.packages[0].sha256 = nasty.clone();
    let rendered = rendered(Some(&sidecar), &hostile(), Some(&istio(&nasty)));
    check(&["bash", "-n"], script_of(&rendered));
}

#[test]
fn cloud_init_gets_every_byte() {
    let bootstrap = hostile();
    let rendered = rendered(Some(&sidecar()), &bootstrap, Some(&istio("staged\u{2028}")));
    let config = CloudConfig::parse(&rendered.user_data);
    assert_eq!(config.content(SCRIPT_PATH), script_of(&rendered).as_bytes());
    for (number, file) in (1..).zip(&bootstrap.files) {
        let path = format!("/var/lib/meshvm/bootstrap/files/{number}");
        assert_eq!(config.content(&path), file.content.as_bytes());
    }
    let staged = config.content("/var/lib/meshvm/bootstrap/istio/mesh.yaml");
    assert_eq!(staged, "staged\u{2028}".as_bytes());
    for file in &config.write_files {
        assert_eq!(
            (file.owner.as_str(), file.permissions.as_str()),
            ("root:root", "0600")
        );
    }
    assert_eq!(config.runcmd, [["/bin/bash", SCRIPT_PATH]]);
    let large = config
        .write_files
        .iter()
        .find(|file| file.path == SCRIPT_PATH)
        .unwrap();
    assert_eq!(large.encoding, "gz+b64");
    assert_eq!(config.write_files[0].encoding, "b64");
}

#[test]
fn the_same_request_gives_the_same_bytes() {
    let rendered = || rendered(Some(&sidecar()), &ordinary(), Some(&full()));
    assert_eq!(rendered(), rendered());
}

#[test]
fn a_package_of_this_computer_leaves_no_trace_of_where_it_was() {
    let mut local = sidecar();
    local.packages[0].path = Some("/home/me/here.deb".to_owned());
    let bootstrap = Bootstrap::default();
    assert_eq!(
        rendered(Some(&local), &bootstrap, None),
        rendered(Some(&sidecar()), &bootstrap, None)
    );
}

#[test]
fn what_is_too_large_is_named_as_the_user_knows_it() {
    let mut bootstrap = ordinary();
    bootstrap.files.push(file("/srv/big.bin", &noise(100_000)));
    let rendered = rendered(None, &bootstrap, None);
    let error = encode(&rendered.user_data, &AWS).unwrap_err().to_string();
    assert!(
        error.contains("the largest part is file /srv/big.bin with "),
        "{error}"
    );
}

fn with_template(template: &str) -> Result<String, RenderError> {
    let bootstrap = ordinary();
    let sidecar = sidecar();
    let request = Request {
        stack: "bookinfo",
        fleet: "ratings",
        sidecar: Some(&sidecar),
        bootstrap: &bootstrap,
        istio: None,
        own_template: Some(template),
    };
    render(&request).map(|rendered| rendered.user_data)
}

#[test]
fn an_own_template_sees_everything() {
    let text = with_template(
        "#cloud-config\n\
         hostname: {{yaml fleet}}\n\
         write_files:\n\
         {{#each writeFiles}}\n  - {path: {{yaml path}}, encoding: {{yaml encoding}}, content: {{yaml content}}}\n{{/each}}\n\
         x: {{base64 bootstrap}}\n\
         runcmd: [[bash, {{yaml bootstrapPath}}]]\n\
         y: [{{yaml sidecar.version}}, {{yaml packages}}, {{#each files}}{{yaml path}}, {{/each}}{{#each run}}{{yaml text}}{{/each}}]\n",
    )
    .unwrap();
    let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(value["hostname"], "ratings");
    assert_eq!(value["write_files"].as_array().unwrap().len(), 2);
    assert_eq!(
        value["y"],
        serde_json::json!([
            "1.2.3",
            ["mariadb-server"],
            "/etc/mysql/60-bind.cnf",
            "systemctl restart mariadb"
        ])
    );
}

#[test]
fn a_wrong_template_says_where() {
    let error = with_template("#cloud-config\nhostname: {{fleet}}\n")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("line 2 of the template: `{{fleet}}` inserts a value without quoting it; write `{{yaml fleet}}`"), "{error}");
    let error = with_template("#cloud-config\n{{#if sidecar}}\n")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("line "), "{error}");
    let error = with_template("hostname: {{yaml fleet}}\n").unwrap_err();
    let first_line = "hostname: \"ratings\"".to_owned();
    assert_eq!(error, RenderError::NoHeader { first_line });
}

#[test]
fn what_no_machine_could_take_is_refused_by_its_place() {
    let mut bootstrap = ordinary();
    bootstrap.run.push("a\0b".to_owned());
    let error = |bootstrap: &Bootstrap| {
        let request = Request {
            stack: "s",
            fleet: "f",
            sidecar: None,
            bootstrap,
            istio: None,
            own_template: None,
        };
        render(&request).unwrap_err()
    };
    let field = "run.1.text".to_owned();
    assert_eq!(error(&bootstrap), RenderError::Nul { field });
    for path in ["etc/x", "/etc/", "", "/"] {
        let bootstrap = Bootstrap {
            files: vec![file(path, "")],
            ..Bootstrap::default()
        };
        let path = path.to_owned();
        assert_eq!(error(&bootstrap), RenderError::Path { path });
    }
}
