//! The control plane's line in `/etc/hosts`.

use super::machine::Machine;
use super::{full, hosts, istio, member, rendered};
use crate::bootstrap::{HostAddress, IstioFiles, SCRIPT_PATH};
use crate::spec::model::Bootstrap;

const UNITS: &str = "root/etc/systemd/system";
const LINE: &str = "192.0.2.10 istiod.istio-system.svc # meshvm\n";

fn at(address: &str) -> IstioFiles {
    IstioFiles {
        hosts: hosts(address),
        ..istio("mesh: 1")
    }
}

/// Returns what a machine makes of its `/etc/hosts`.
fn made_of(before: impl AsRef<[u8]>, files: &IstioFiles) -> Vec<u8> {
    let machine = Machine::new();
    machine.write("root/etc/hosts", before);
    assert!(machine.boot(&member(files)).success(), "{}", machine.log());
    let after = machine.read("root/etc/hosts");
    machine.calls(&[]);
    assert!(machine.run().success());
    assert_eq!(
        machine.read("root/etc/hosts"),
        after,
        "the second run changed it"
    );
    assert_eq!(machine.calls(&["systemctl restart"]), [""; 0]);
    after
}

#[test]
fn the_line_is_added_and_the_rest_is_as_it_was() {
    let rest = b"127.0.0.1\tlocalhost  # here\n\n# 192.0.2.10 istiod.istio-system.svc\n::1 localhost\r\n\xff\xfe bytes\n  \\x %s $(x)\n";
    let after = made_of(rest, &at("192.0.2.10"));
    assert_eq!(after, [&rest[..], LINE.as_bytes()].concat());
    assert_eq!(
        made_of("127.0.0.1 a", &at("192.0.2.10")),
        format!("127.0.0.1 a\n{LINE}").into_bytes()
    );
    assert_eq!(made_of("", &at("192.0.2.10")), LINE.as_bytes());
    let six = made_of("", &at("2001:db8::10"));
    assert_eq!(six, b"2001:db8::10 istiod.istio-system.svc # meshvm\n");
}

#[test]
fn there_is_one_line_whatever_was_there() {
    for old in [
        LINE,
        "198.51.100.1 istiod.istio-system.svc # meshvm\n",
        "198.51.100.1 istiod.istio-system.svc\n",
        "198.51.100.1\tISTIOD.istio-system.SVC  # by hand\n",
        "198.51.100.1 istiod.istio-system.svc\r\n",
        // Of another revision of the control plane.
        "198.51.100.1 istiod-old.istio-system.svc # meshvm\n",
    ] {
        let before = format!("127.0.0.1 a\n{old}::1 b\n{old}# end");
        let after = made_of(&before, &at("192.0.2.10"));
        let wanted = format!("127.0.0.1 a\n{LINE}::1 b\n# end");
        assert_eq!(String::from_utf8(after).unwrap(), wanted, "{old:?}");
    }
}

#[test]
fn a_line_with_other_names_too_is_for_its_owner_to_mend() {
    let machine = Machine::new();
    let before = "192.0.2.9 other istiod.istio-system.svc\n";
    machine.write("root/etc/hosts", before);
    assert!(!machine.boot(&member(&at("192.0.2.10"))).success());
    let reason = machine.failure("hosts");
    assert!(reason.starts_with("/etc/hosts has istiod.istio-system.svc beside other names, in the line: 192.0.2.9 other"), "{reason}");
    assert_eq!(machine.read("root/etc/hosts"), before.as_bytes());
}

#[test]
fn without_an_address_the_line_goes() {
    let after = made_of(format!("127.0.0.1 a\n{LINE}x"), &istio("mesh: 1"));
    assert_eq!(after, b"127.0.0.1 a\nx");
    let machine = Machine::new();
    assert!(machine.boot(&member(&istio("mesh: 1"))).success());
    assert!(!machine.has("root/etc/hosts"));
}

#[test]
fn permissions_stay() {
    let machine = Machine::new();
    machine.write("root/etc/hosts", "127.0.0.1 a\n");
    let path = machine.path("root/etc/hosts");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o664)).unwrap();
    assert!(machine.boot(&member(&at("192.0.2.10"))).success());
    assert_eq!(super::machine::mode(&path), 0o664);
    let left = std::fs::read_dir(machine.path("root/etc")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().starts_with(".meshvm")),
        "{left:?}"
    );
}

#[test]
fn what_is_mounted_there_is_written_through() {
    let machine = Machine::new();
    machine.write("root/etc/hosts", "127.0.0.1 a\n");
    // Only the move that would replace it fails.
    std::fs::remove_file(machine.path("bin/mv")).unwrap();
    machine.write("bin/mv", "#!/bin/sh\nfor last; do :; done\ncase $last in */etc/hosts) exit 1 ;; esac\nexec /bin/mv \"$@\"\n");
    std::fs::set_permissions(
        machine.path("bin/mv"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let inode = |machine: &Machine| {
        std::os::unix::fs::MetadataExt::ino(&machine.path("root/etc/hosts").metadata().unwrap())
    };
    let before = inode(&machine);
    assert!(
        machine.boot(&member(&at("192.0.2.10"))).success(),
        "{}",
        machine.log()
    );
    assert_eq!(
        machine.read("root/etc/hosts"),
        format!("127.0.0.1 a\n{LINE}").into_bytes()
    );
    assert_eq!(inode(&machine), before);
}

#[test]
fn the_name_of_a_load_balancer_is_resolved_on_the_machine() {
    let machine = Machine::new();
    let files = at("gateway.example.com");
    assert_eq!(
        files.hosts.as_ref().unwrap().address,
        HostAddress::Name("gateway.example.com".to_owned())
    );
    machine.write("fake/addresses", "192.0.2.10\n192.0.2.11\n");
    assert!(machine.boot(&member(&files)).success(), "{}", machine.log());
    assert_eq!(machine.read("root/etc/hosts"), LINE.as_bytes());
    // It answers in another order; the line is as good as before.
    machine.write("fake/addresses", "192.0.2.12\n192.0.2.10\n");
    machine.calls(&[]);
    assert!(machine.run().success());
    assert_eq!(machine.read("root/etc/hosts"), LINE.as_bytes());
    assert_eq!(machine.calls(&["systemctl restart"]), [""; 0]);
    machine.write("fake/addresses", "192.0.2.12\n");
    assert!(machine.run().success());
    assert_eq!(
        machine.read("root/etc/hosts"),
        b"192.0.2.12 istiod.istio-system.svc # meshvm\n"
    );
    assert_eq!(machine.calls(&["systemctl restart"]).len(), 1);
}

#[test]
fn a_name_that_stands_for_nothing_is_asked_for_again_and_then_named() {
    let machine = Machine::new();
    assert!(!machine.boot(&member(&at("gateway.example.com"))).success());
    let reason = machine.failure("hosts");
    assert!(
        reason.starts_with("the name gateway.example.com of the mesh's gateway cannot be resolved"),
        "{reason}"
    );
    assert_eq!(
        machine.calls(&["getent ahosts gateway.example.com"]).len(),
        6
    );
    machine.write("fake/addresses", "192.0.2.10\n");
    assert!(machine.run().success(), "{}", machine.log());
    assert_eq!(machine.read("root/etc/hosts"), LINE.as_bytes());
}

#[test]
fn each_start_of_the_unit_mends_the_line() {
    let machine = Machine::new();
    machine.write("fake/addresses", "192.0.2.10\n");
    machine.write("root/var/lib/meshvm/private/istio-token", "token");
    assert!(
        machine.boot(&member(&full())).success(),
        "{}",
        machine.log()
    );
    // cloud-init wrote it anew from its template, and the load balancer moved.
    machine.write("root/etc/hosts", "127.0.0.1 localhost\n");
    machine.write("fake/addresses", "192.0.2.12\n");
    assert!(machine.before_start().success());
    let line = "127.0.0.1 localhost\n192.0.2.12 istiod.istio-system.svc # meshvm\n";
    assert_eq!(machine.read("root/etc/hosts"), line.as_bytes());
    // The unit is starting as it is; nothing is left to be done by the next run.
    machine.calls(&[]);
    assert!(machine.run().success());
    assert_eq!(machine.calls(&["systemctl restart"]), [""; 0]);
    // What cannot be resolved now was right the last time.
    std::fs::remove_file(machine.path("fake/addresses")).unwrap();
    assert!(!machine.before_start().success());
    assert_eq!(machine.read("root/etc/hosts"), line.as_bytes());
    assert_eq!(machine.calls(&["getent"]).len(), 2);
}

#[test]
fn the_name_is_looked_up_again_while_the_machine_runs() {
    let machine = Machine::new();
    machine.write("fake/addresses", "192.0.2.10\n");
    machine.write("root/etc/hosts", "127.0.0.1 localhost\n");
    // As it was with a plain address; the timer is no reason to restart the sidecar.
    assert!(machine.boot(&member(&at("192.0.2.10"))).success());
    let enabled = "systemctl enable --now -- meshvm-hosts.timer";
    assert_eq!(machine.calls(&[enabled]), [""; 0]);
    assert!(machine.boot(&member(&at("gateway.example.com"))).success());
    let calls = machine.calls(&["systemctl enable", "systemctl restart", "systemctl daemon"]);
    let unit = "systemctl enable --now -- test-sidecar.service";
    assert_eq!(calls, ["systemctl daemon-reload", unit, enabled]);
    let text = |name: &str| String::from_utf8(machine.read(&format!("{UNITS}/{name}"))).unwrap();
    let command = format!("Type=oneshot\nExecStart=-/bin/bash {SCRIPT_PATH} hosts\n");
    assert!(text("meshvm-hosts.service").ends_with(&command));
    let when = "[Timer]\nOnBootSec=5min\nOnUnitInactiveSec=5min\nRandomizedDelaySec=2min\n[Install]\nWantedBy=timers.target\n";
    assert!(text("meshvm-hosts.timer").ends_with(when));

    // The load balancer moves; then its name is unknown for a while.
    machine.write("fake/addresses", "192.0.2.12\n192.0.2.13\n");
    let looked_up = || machine.before_start();
    assert!(looked_up().success());
    let line = "127.0.0.1 localhost\n192.0.2.12 istiod.istio-system.svc # meshvm\n";
    assert_eq!(machine.read("root/etc/hosts"), line.as_bytes());
    machine.write("fake/addresses", "192.0.2.13\n192.0.2.12\n");
    assert!(looked_up().success());
    std::fs::remove_file(machine.path("fake/addresses")).unwrap();
    assert!(!looked_up().success());
    assert_eq!(machine.read("root/etc/hosts"), line.as_bytes());
    assert_eq!(machine.calls(&["systemctl"]), [""; 0]);
    assert_eq!(machine.result()["state"], "ready");
}

#[test]
fn an_address_is_not_looked_up() {
    let machine = Machine::new();
    machine.write("fake/addresses", "192.0.2.10\n");
    assert!(machine.boot(&member(&at("gateway.example.com"))).success());
    assert!(machine.has(&format!("{UNITS}/meshvm-hosts.timer")));
    machine.calls(&[]);
    for files in [at("192.0.2.10"), istio("mesh: 1")] {
        assert!(machine.boot(&member(&files)).success());
        for unit in ["service", "timer"] {
            assert!(
                !machine.has(&format!("{UNITS}/meshvm-hosts.{unit}")),
                "{unit}"
            );
        }
    }
    assert_eq!(
        machine.calls(&["systemctl disable"]),
        ["systemctl disable --now -- meshvm-hosts.timer"]
    );
}

#[test]
fn the_timer_does_nothing_that_the_bootstrap_did_not() {
    let machine = Machine::new();
    machine.write("fake/addresses", "192.0.2.10\n");
    assert!(machine.boot(&member(&at("gateway.example.com"))).success());
    // Written, and not run: the sidecar is still that of before.
    let mut canary = at("gateway.example.com");
    canary.hosts.as_mut().unwrap().name = "istiod-canary.istio-system.svc".to_owned();
    let left = rendered(None, &Bootstrap::default(), None).user_data;
    for next in [member(&canary), member(&istio("mesh: 2")), left.clone()] {
        machine.give(&next);
        machine.calls(&[]);
        assert!(machine.before_start().success());
        assert_eq!(machine.read("root/etc/hosts"), LINE.as_bytes());
        assert_eq!(machine.calls(&[""]), [""; 0]);
    }
    assert_eq!(
        machine
            .bash(&[&format!("root{SCRIPT_PATH}"), "host"])
            .code(),
        Some(2)
    );
    // Who is no member any more needs no timer.
    assert!(machine.boot(&left).success(), "{}", machine.log());
    assert!(!machine.has(&format!("{UNITS}/meshvm-hosts.timer")));
    machine.give(&member(&canary));
    assert!(machine.run().success());
    let hosts = String::from_utf8(machine.read("root/etc/hosts")).unwrap();
    assert_eq!(
        hosts,
        "192.0.2.10 istiod-canary.istio-system.svc # meshvm\n"
    );
}
