//! The user-data as the programs read it that it is made for.

use std::process::Command;

use meshvm_provider_api::UserDataRules;
use tempfile::tempdir;

use super::machine::CloudConfig;
use super::{file, hostile_values, rendered, script_of, sidecar, staged};
use crate::bootstrap::{RenderError, Request, SCRIPT_PATH, encode, render};
use crate::spec::model::Bootstrap;

/// The smallest limit of a cloud (AWS).
const SMALLEST: UserDataRules = UserDataRules {
    limit: 16_384,
    gzip: false,
};

/// Runs a checker of scripts on a script.
fn check(command: &[&str], script: &str) {
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
    for (sidecar, bootstrap) in [
        (Some(&sidecar), ordinary()),
        (Some(&sidecar), Bootstrap::default()),
        (None, ordinary()),
        (None, Bootstrap::default()),
    ] {
        let rendered = rendered(
            sidecar,
            &bootstrap,
            &[staged("/etc/istio/config/mesh", "x")],
        );
        let script = script_of(&rendered);
        check(&["bash", "-n"], script);
        // SC2317: a function that no line calls; not every fleet needs all of them.
        check(&["shellcheck", "--norc", "--exclude=SC2317"], script);
        assert!(encode(&rendered.user_data, &SMALLEST).is_ok());
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
    let rendered = rendered(Some(&sidecar), &hostile(), &[staged("/x", &nasty)]);
    check(&["bash", "-n"], script_of(&rendered));
}

#[test]
fn cloud_init_gets_every_byte() {
    let bootstrap = hostile();
    let rendered = rendered(
        Some(&sidecar()),
        &bootstrap,
        &[staged("/etc/x", "staged\u{2028}")],
    );
    let config = CloudConfig::parse(&rendered.user_data);
    assert_eq!(config.content(SCRIPT_PATH), script_of(&rendered).as_bytes());
    for (number, file) in (1..).zip(&bootstrap.files) {
        let path = format!("/var/lib/meshvm/bootstrap/files/{number}");
        assert_eq!(config.content(&path), file.content.as_bytes());
    }
    let staged = config.content("/var/lib/meshvm/bootstrap/sidecar/1");
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
    let staged = [staged("/etc/x", "y")];
    let first = rendered(Some(&sidecar()), &ordinary(), &staged);
    assert_eq!(first, rendered(Some(&sidecar()), &ordinary(), &staged));
}

#[test]
fn a_package_of_this_computer_leaves_no_trace_of_where_it_was() {
    let mut local = sidecar();
    local.packages[0].path = Some("/home/me/here.deb".to_owned());
    let bootstrap = Bootstrap::default();
    assert_eq!(
        rendered(Some(&local), &bootstrap, &[]),
        rendered(Some(&sidecar()), &bootstrap, &[])
    );
}

#[test]
fn what_is_too_large_is_named_as_the_user_knows_it() {
    let mut bootstrap = ordinary();
    let noise: String = (0u64..9000)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    bootstrap.files.push(file("/srv/big.bin", &noise));
    let rendered = rendered(None, &bootstrap, &[]);
    let error = encode(&rendered.user_data, &SMALLEST)
        .unwrap_err()
        .to_string();
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
        staged: &[],
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
            staged: &[],
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
