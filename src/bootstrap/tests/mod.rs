//! Tests of the rendered bootstrap as a whole: its texts read by the programs
//! that will read them, and the script run for real.
//!
//! They need `sh`, `bash`, `shellcheck` and the usual tools of a Debian machine.

mod failure;
mod hostile;
mod hosts;
mod machine;
mod member;
mod private;
mod rpm;
mod script;
mod token;
mod user_data;

use crate::spec::model::{Arch, Bootstrap, File, Package, PackageFormat, Sidecar};
use crate::spec::scalars::FileMode;

use super::{Hosts, IstioFiles, MachineValue, Rendered, Request, render};

/// Values that break a text which inserts them without care.
fn hostile_values() -> Vec<String> {
    let mut values: Vec<String> = [
        "",
        " ",
        "'",
        "''",
        r"'\''",
        "\"",
        "\\",
        "a\nb\n\n",
        "\r\n",
        "\ttab",
        "$(touch /nonexistent/pwned)",
        "`touch /nonexistent/pwned`",
        "${HOME}",
        "$HOME $$ $? $'x'",
        "'; exit 9; '",
        "{{x}}",
        "{{{x}}} {{#if}} {{!--",
        "}}",
        "# not a comment",
        "a: b # c",
        "---",
        "...",
        "- item",
        "-rf",
        "--",
        "& * ! | > % @ , [ ] { } ?",
        "~ null true 0x1f 1e3 012 yes",
        "%s %d \\x41 \\u0041",
        "#cloud-config",
        "EOF",
        "next\u{85}line",
        "line\u{2028}separators\u{2029}",
        "\u{feff}mark",
        "\u{fffe}\u{ffff}\u{1fffe}",
        "\u{1b}[31m\u{7f}\u{9f}\u{1}",
        "emoji 😀 👩‍👩‍👧 ünïcode",
        "*?[a-z]",
        "!history",
        "a&b",
    ]
    .map(str::to_owned)
    .into();
    values.push("long'\"$(x) ".repeat(20_000));
    values
}

fn sidecar() -> Sidecar {
    let package = |arch, sha256: &str| Package {
        format: PackageFormat::Deb,
        arch,
        path: None,
        url: Some("https://example.com/sidecar.deb".to_owned()),
        sha256: sha256.to_owned(),
    };
    Sidecar {
        version: "1.2.3".to_owned(),
        packages: vec![
            package(Arch::Amd64, machine::DEB_SHA256),
            package(Arch::Arm64, &"0".repeat(64)),
        ],
        unit: "test-sidecar.service".to_owned(),
        ready_url: "http://127.0.0.1:15021/healthz/ready".to_owned(),
        config: Default::default(),
    }
}

fn file(path: &str, content: &str) -> File {
    File {
        path: path.to_owned(),
        mode: FileMode("0640".to_owned()),
        owner: machine::user(),
        content: content.to_owned(),
    }
}

/// Returns the files of a mesh that differ by a text, and nothing that a machine must find out.
fn istio(mesh: &str) -> IstioFiles {
    IstioFiles {
        cluster_env: "ISTIO_NAMESPACE='vm'".to_owned(),
        mesh_yaml: mesh.to_owned(),
        root_cert: "root\n".to_owned(),
        hosts: None,
        machine_env: Vec::new(),
        token: false,
    }
}

/// Returns a line for the control plane.
fn hosts(address: &str) -> Option<Hosts> {
    Some(Hosts {
        address: address.into(),
        name: "istiod.istio-system.svc".to_owned(),
    })
}

/// Returns the files of a mesh with everything that there may be.
fn full() -> IstioFiles {
    IstioFiles {
        hosts: hosts("gateway.example.com"),
        machine_env: vec![
            ("ISTIO_SVC_IP".to_owned(), MachineValue::Address),
            ("ISTIO_META_WORKLOAD_ENTRY".to_owned(), MachineValue::Name),
        ],
        token: true,
        ..istio("mesh: 1")
    }
}

/// Renders with the names of the examples.
fn rendered(
    sidecar: Option<&Sidecar>,
    bootstrap: &Bootstrap,
    istio: Option<&IstioFiles>,
) -> Rendered {
    let request = Request {
        stack: "bookinfo",
        fleet: "ratings",
        sidecar,
        bootstrap,
        istio,
        own_template: None,
    };
    render(&request).unwrap()
}

fn script_of(rendered: &Rendered) -> &str {
    let (name, script) = &rendered.files[0];
    assert_eq!(name, "bootstrap.sh");
    script
}

/// Renders with a mesh.
fn user_data(sidecar: Option<&Sidecar>, bootstrap: &Bootstrap, mesh: &str) -> String {
    rendered(sidecar, bootstrap, Some(&istio(mesh))).user_data
}

/// Renders a member of a mesh.
fn member(istio: &IstioFiles) -> String {
    rendered(Some(&sidecar()), &Bootstrap::default(), Some(istio)).user_data
}

/// Renders a fleet with a sidecar and nothing else.
fn plain() -> String {
    user_data(Some(&sidecar()), &Bootstrap::default(), "mesh: 1")
}

fn running(command: &str) -> Bootstrap {
    Bootstrap {
        run: vec![command.to_owned()],
        ..Bootstrap::default()
    }
}
