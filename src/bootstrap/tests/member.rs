//! A member of a mesh: its files, what it finds out about itself, and what starts it again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::machine::{Machine, mode};
use super::{hosts, istio, member, sidecar};
use crate::bootstrap::{IstioFiles, MachineValue, RenderError, Request, SCRIPT_PATH, render};
use crate::spec::model::Bootstrap;

const ENV: &str = "root/var/lib/istio/envoy/cluster.env";
const MESH: &str = "root/var/lib/istio/config/mesh";
const ROOT: &str = "root/etc/certs/root-cert.pem";
const DROP_IN: &str = "root/etc/systemd/system/test-sidecar.service.d/meshvm.conf";

fn knowing(values: &[(&str, MachineValue)]) -> IstioFiles {
    let machine_env = values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), *value));
    IstioFiles {
        machine_env: machine_env.collect(),
        ..istio("mesh: 1")
    }
}

fn env(machine: &Machine) -> String {
    String::from_utf8(machine.read(ENV)).unwrap()
}

#[test]
fn the_files_are_where_the_package_looks_and_its_user_s_alone() {
    let machine = Machine::new();
    let text = member(&istio("mesh: 1"));
    assert!(machine.boot(&text).success(), "{}", machine.log());
    assert_eq!(env(&machine), "ISTIO_NAMESPACE='vm'\n");
    assert_eq!(machine.read(MESH), b"mesh: 1");
    assert_eq!(machine.read(ROOT), b"root\n");
    let link = machine.path("root/etc/istio");
    assert!(
        link.symlink_metadata().unwrap().is_symlink(),
        "/etc/istio is no link"
    );
    assert!(machine.path("root/etc/istio/proxy").is_dir());
    for path in [ENV, MESH, ROOT] {
        assert_eq!(mode(&machine.path(path)), 0o600, "{path}");
    }
    // They had their permissions before they were in their places.
    let moved = String::from_utf8(machine.read("fake/moved")).unwrap();
    for path in [ENV, "root/etc/istio/config/mesh", ROOT] {
        let wanted = format!("600 {}", machine.path(path).display());
        assert!(moved.lines().any(|line| line == wanted), "{moved}");
    }
    let given = super::rendered(Some(&sidecar()), &Bootstrap::default(), Some(&istio("x")));
    assert!(super::script_of(&given).contains("\nproxy_user=istio-proxy\n"));
}

#[test]
fn a_folder_in_the_place_of_the_link_is_filled_too() {
    let machine = Machine::new();
    machine.write("fake/db/test-sidecar", "1.2.3\n");
    machine.write("root/etc/istio/precious", "");
    assert!(
        machine.boot(&member(&istio("mesh: 1"))).success(),
        "{}",
        machine.log()
    );
    assert_eq!(machine.read("root/etc/istio/config/mesh"), b"mesh: 1");
    assert!(
        machine.path("root/etc/istio/proxy").is_dir() && machine.has("root/etc/istio/precious")
    );
}

#[test]
fn the_platform_says_who_the_machine_is() {
    let machine = Machine::new();
    machine.write("fake/metadata/name", "ratings-1\n");
    machine.write("fake/metadata/address", "192.168.7.9\n");
    let text = member(&knowing(&[
        ("ISTIO_SVC_IP", MachineValue::Address),
        ("ISTIO_META_WORKLOAD_ENTRY", MachineValue::Name),
    ]));
    assert!(machine.boot(&text).success(), "{}", machine.log());
    assert_eq!(
        env(&machine),
        "ISTIO_NAMESPACE='vm'\nISTIO_SVC_IP='192.168.7.9'\nISTIO_META_WORKLOAD_ENTRY='ratings-1'\n"
    );
    assert_eq!(mode(&machine.path(ENV)), 0o600);
    machine.calls(&[]);
    assert!(machine.run().success());
    assert_eq!(machine.calls(&["systemctl restart"]), [""; 0]);
    // It moved.
    machine.write("fake/metadata/address", "192.168.7.10\n");
    assert!(machine.run().success());
    assert_eq!(machine.calls(&["systemctl restart"]).len(), 1);
    assert!(env(&machine).contains("ISTIO_SVC_IP='192.168.7.10'\n"));
}

#[test]
fn without_the_platform_s_word_the_machine_looks_itself() {
    let machine = Machine::new();
    let both = knowing(&[("IP", MachineValue::Address), ("NAME", MachineValue::Name)]);
    assert!(machine.boot(&member(&both)).success(), "{}", machine.log());
    assert_eq!(
        env(&machine),
        "ISTIO_NAMESPACE='vm'\nIP='10.0.0.7'\nNAME='db-1'\n"
    );

    fs::remove_file(machine.path("fake/route4")).unwrap();
    machine.write(
        "fake/route6",
        "2001:db8::1 from :: via fd00::1 dev eth0 src fd00::2 metric 1024\n",
    );
    assert!(machine.run().success(), "{}", machine.log());
    assert!(env(&machine).contains("IP='fd00::2'\n"));

    // An address that only the next machine can use is none.
    machine.write(
        "fake/route6",
        "2001:db8::1 from :: dev eth0 src fe80::2 metric 1024\n",
    );
    assert!(!machine.run().success());
    let reason = machine.failure("config");
    assert!(
        reason.starts_with("the machine has no route to other networks"),
        "{reason}"
    );
    assert_eq!(machine.calls(&["sleep"]).len(), 4);
}

#[test]
fn a_platform_that_does_not_answer_is_not_one_that_says_nothing() {
    let machine = Machine::new();
    fs::remove_file(machine.path("bin/cloud-init")).unwrap();
    // As `timeout` ends when its command did not in time.
    machine.write("bin/cloud-init", "#!/bin/sh\nexit 124\n");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(machine.path("bin/cloud-init"), executable).unwrap();
    let text = member(&knowing(&[("IP", MachineValue::Address)]));
    assert!(!machine.boot(&text).success());
    let reason = machine.failure("config");
    assert!(
        reason.starts_with("cloud-init does not say what the machine's address is"),
        "{reason}"
    );
    assert!(!machine.has(ENV));
}

#[test]
fn what_the_platform_says_is_data() {
    let machine = Machine::new();
    let nasty = "it's $(touch \"$FAKE/pwned\") `touch $FAKE/pwned` \\ \"&\" %s";
    machine.write("fake/metadata/name", nasty);
    let text = member(&knowing(&[("NAME", MachineValue::Name)]));
    assert!(machine.boot(&text).success(), "{}", machine.log());
    assert!(env(&machine).ends_with(
        "\nNAME='it'\"'\"'s $(touch \"$FAKE/pwned\") `touch $FAKE/pwned` \\ \"&\" %s'\n"
    ));
    // As istio-start.sh reads it.
    machine.write(
        "root/read.sh",
        format!(
            "set -eu; . {}; printf %s \"$NAME\" >\"$FAKE/read\"",
            machine.path(ENV).display()
        ),
    );
    assert!(machine.bash(&["root/read.sh"]).success());
    assert_eq!(machine.read("fake/read"), nasty.as_bytes());
    assert!(!machine.has("fake/pwned"));

    machine.write("fake/metadata/address", "10.0.0.1'; reboot");
    let text = member(&knowing(&[("IP", MachineValue::Address)]));
    assert!(!machine.boot(&text).success());
    let reason = machine.failure("config");
    assert!(
        reason.contains("the machine's address is 10.0.0.1'; reboot, which is none"),
        "{reason}"
    );
}

#[test]
fn each_change_starts_the_sidecar_again_and_nothing_else_does() {
    let machine = Machine::new();
    let mut files = IstioFiles {
        hosts: hosts("192.0.2.10"),
        ..istio("mesh: 1")
    };
    let restarts = |files: &IstioFiles| {
        machine.calls(&[]);
        assert!(machine.boot(&member(files)).success(), "{}", machine.log());
        machine.calls(&["systemctl restart"]).len()
    };
    assert_eq!(restarts(&files), 0);
    assert_eq!(restarts(&files), 0);
    files.cluster_env = "CA_ADDR='istiod-canary.istio-system.svc:15012'\n".to_owned();
    assert_eq!(restarts(&files), 1);
    files.mesh_yaml = "mesh: 2".to_owned();
    assert_eq!(restarts(&files), 1);
    files.hosts = hosts("192.0.2.11");
    assert_eq!(restarts(&files), 1);
    files.root_cert = "another root\n".to_owned();
    assert_eq!(restarts(&files), 1);
    assert_eq!(restarts(&files), 0);
    assert_eq!(machine.read(MESH), b"mesh: 2");
}

#[test]
fn a_root_that_the_sidecar_renewed_stays() {
    let machine = Machine::new();
    let mut files = istio("mesh: 1");
    assert!(machine.boot(&member(&files)).success());
    machine.write(ROOT, "root\nnext root\n");
    fs::set_permissions(machine.path(ROOT), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(machine.run().success());
    assert_eq!(machine.read(ROOT), b"root\nnext root\n");
    assert_eq!(mode(&machine.path(ROOT)), 0o600);
    machine.calls(&[]);
    assert!(machine.run().success());
    assert_eq!(machine.calls(&["systemctl restart"]), [""; 0]);

    files.root_cert = "next root\n".to_owned();
    assert!(machine.boot(&member(&files)).success());
    assert_eq!(machine.read(ROOT), b"next root\n");
    fs::remove_file(machine.path(ROOT)).unwrap();
    assert!(machine.run().success());
    assert_eq!(machine.read(ROOT), b"next root\n");
}

#[test]
fn the_unit_waits_for_network_and_time() {
    let machine = Machine::new();
    let mut files = istio("mesh: 1");
    assert!(machine.boot(&member(&files)).success());
    let text = String::from_utf8(machine.read(DROP_IN)).unwrap();
    let unit =
        "[Unit]\nWants=network-online.target\nAfter=network-online.target time-sync.target\n";
    assert_eq!(text, format!("# Made by meshvm.\n{unit}"));
    assert_eq!(mode(&machine.path(DROP_IN)), 0o644);
    files.hosts = hosts("192.0.2.10");
    assert!(machine.boot(&member(&files)).success());
    let text = String::from_utf8(machine.read(DROP_IN)).unwrap();
    let before = format!("[Service]\nExecStartPre=-+/bin/bash {SCRIPT_PATH} hosts\n");
    assert_eq!(text, format!("# Made by meshvm.\n{unit}{before}"));
}

#[test]
fn an_install_that_fails_leaves_the_old_sidecar_running() {
    let machine = Machine::new();
    assert!(machine.boot(&member(&istio("mesh: 1"))).success());
    machine.write("fake/db/test-sidecar", "1.2.2\n");
    machine.calls(&[]);
    fs::remove_file(machine.path("bin/apt-get")).unwrap();
    machine.write(
        "bin/apt-get",
        "#!/bin/sh\necho 'E: unmet dependencies' >&2\nexit 100\n",
    );
    fs::set_permissions(
        machine.path("bin/apt-get"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    assert!(!machine.run().success());
    let reason = machine.failure("sidecar");
    assert!(
        reason.starts_with("the sidecar package cannot be installed: "),
        "{reason}"
    );
    assert!(reason.contains("E: unmet dependencies"), "{reason}");
    assert!(machine.has("fake/active"));
    let calls = machine.calls(&["systemctl stop", "systemctl start --", "systemctl enable"]);
    assert_eq!(
        calls,
        [
            "systemctl stop -- test-sidecar.service",
            "systemctl start -- test-sidecar.service"
        ]
    );
}

#[test]
fn names_that_would_break_a_line_are_refused() {
    let bootstrap = Bootstrap::default();
    let sidecar = sidecar();
    let error = |istio: &IstioFiles| {
        let request = Request {
            stack: "s",
            fleet: "f",
            sidecar: Some(&sidecar),
            bootstrap: &bootstrap,
            istio: Some(istio),
            own_template: None,
        };
        render(&request).unwrap_err()
    };
    let key = "A B".to_owned();
    assert_eq!(
        error(&knowing(&[(&key, MachineValue::Name)])),
        RenderError::Variable { key }
    );
    for bad in ["", "a b", "-x", "a\n127.0.0.1 localhost", "$(x)"] {
        let name = bad.to_owned();
        let mut files = IstioFiles {
            hosts: hosts(bad),
            ..istio("")
        };
        assert_eq!(error(&files), RenderError::HostName { name: name.clone() });
        files.hosts = hosts("192.0.2.1");
        files.hosts.as_mut().unwrap().name = name.clone();
        assert_eq!(error(&files), RenderError::HostName { name });
    }
    let field = "istio.files.1.content".to_owned();
    assert_eq!(error(&istio("a\0b")), RenderError::Nul { field });
}
