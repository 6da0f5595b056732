//! A machine with rpm.

use super::machine::{Machine, RPM, RPM_SHA256};
use super::{rendered, sidecar};
use crate::bootstrap::media_name;
use crate::spec::model::{Arch, Bootstrap, Package, PackageFormat, Sidecar};

const DNF: &str = "dnf --assumeyes --setopt=install_weak_deps=False --setopt=localpkg_gpgcheck=0";

/// Returns the sidecar in both formats.
fn both() -> Sidecar {
    let mut sidecar = sidecar();
    for (arch, sha256) in [(Arch::Amd64, RPM_SHA256), (Arch::Arm64, &"1".repeat(64))] {
        sidecar.packages.push(Package {
            format: PackageFormat::Rpm,
            arch,
            path: None,
            url: Some("https://example.com/sidecar.rpm".to_owned()),
            sha256: sha256.to_owned(),
        });
    }
    sidecar
}

fn text(sidecar: &Sidecar, bootstrap: &Bootstrap) -> String {
    rendered(Some(sidecar), bootstrap, Some(&super::istio("mesh: 1"))).user_data
}

#[test]
fn everything_goes_by_dnf() {
    let machine = Machine::with_rpm("dnf");
    let bootstrap = Bootstrap {
        packages: vec!["mariadb-server".to_owned(), "socat".to_owned()],
        ..Bootstrap::default()
    };
    machine.write("fake/db/socat", "1-1\n");
    assert!(
        machine.boot(&text(&both(), &bootstrap)).success(),
        "{}",
        machine.log()
    );
    let calls = machine.calls(&[
        "dnf",
        "apt-get",
        "dpkg ",
        "curl --disable --globoff --silent --show-error",
    ]);
    assert_eq!(calls[0], format!("{DNF} install mariadb-server"));
    assert!(
        calls[1].ends_with(
            " /var/lib/meshvm/cache/sidecar-x86_64.rpm.part --url https://example.com/sidecar.rpm"
        ),
        "{calls:?}"
    );
    assert_eq!(
        calls[2],
        format!("{DNF} install /var/lib/meshvm/cache/sidecar-x86_64.rpm")
    );
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert_eq!(machine.result()["sidecar"], "1.2.3");
    assert_eq!(machine.read("root/etc/istio/config/mesh"), b"mesh: 1");
    assert!(machine.run().success());
    assert_eq!(
        machine.calls(&["dnf", "systemctl restart", "systemctl stop"]),
        [""; 0]
    );
}

#[test]
fn a_package_that_was_handed_over_is_taken_without_network() {
    let machine = Machine::with_rpm("yum");
    std::os::unix::fs::symlink("shim", machine.path("bin/dnf")).unwrap();
    machine.write("fake/disk-MESHVM/sidecar-x86_64.rpm", RPM);
    assert!(
        machine
            .boot(&text(&both(), &Bootstrap::default()))
            .success(),
        "{}",
        machine.log()
    );
    let calls = machine.calls(&[
        "dnf",
        "yum",
        "curl --disable --globoff --silent --show-error",
    ]);
    assert_eq!(
        calls,
        [format!(
            "{DNF} install /run/meshvm/media/sidecar-x86_64.rpm"
        )]
    );
}

#[test]
fn zypper_does_it_too() {
    let machine = Machine::with_rpm("zypper");
    let bootstrap = Bootstrap {
        packages: vec!["mariadb".to_owned()],
        ..Bootstrap::default()
    };
    assert!(
        machine.boot(&text(&both(), &bootstrap)).success(),
        "{}",
        machine.log()
    );
    let options =
        "zypper --non-interactive install --no-recommends --oldpackage --allow-unsigned-rpm";
    let calls = machine.calls(&["zypper"]);
    assert_eq!(calls[0], format!("{options} mariadb"));
    assert!(
        calls[1].starts_with(options) && calls[1].ends_with("/sidecar-x86_64.rpm"),
        "{calls:?}"
    );
}

#[test]
fn an_older_version_is_gone_back_to() {
    let machine = Machine::with_rpm("dnf");
    let text = text(&both(), &Bootstrap::default());
    assert!(machine.boot(&text).success());
    machine.write("fake/db/test-sidecar", "1.2.4-1\n");
    machine.write("fake/content", "");
    machine.calls(&[]);
    assert!(machine.run().success(), "{}", machine.log());
    let calls = machine.calls(&["systemctl stop", "dnf", "systemctl enable"]);
    assert_eq!(calls[0], "systemctl stop -- test-sidecar.service");
    assert!(
        calls[2].starts_with(&format!("{DNF} downgrade ")),
        "{calls:?}"
    );
    assert_eq!(calls[3], "systemctl enable --now -- test-sidecar.service");
    assert_eq!(machine.read("fake/db/test-sidecar"), b"1.2.3-1\n");
}

#[test]
fn a_version_may_leave_out_the_release_and_the_dashes_of_others() {
    for (wanted, found, same) in [
        ("1.2.3", "1.2.3-1", true),
        ("1.2.3-1", "1.2.3-1", true),
        ("1.31.0-rc.0", "1.31.0_rc.0-1", true),
        ("1.31.0-rc.0", "1.31.0~rc.0-1", true),
        ("1.2.3", "1.2.30-1", false),
        ("1.2.3", "1.2-3", false),
        ("1.2.3-2", "1.2.3-1", false),
        ("1.2.*", "1.2.3-1", false),
    ] {
        let machine = Machine::with_rpm("dnf");
        machine.write("fake/db/test-sidecar", format!("{found}\n"));
        machine.write("root/usr/lib/systemd/system/test-sidecar.service", "");
        std::fs::remove_file(machine.path("fake/download")).unwrap();
        let mut sidecar = both();
        sidecar.version = wanted.to_owned();
        let status = machine.boot(&text(&sidecar, &Bootstrap::default()));
        assert_eq!(
            status.success(),
            same,
            "{wanted} and {found}: {}",
            machine.log()
        );
    }
}

#[test]
fn what_is_wrong_is_said_as_on_any_machine() {
    let machine = Machine::with_rpm("dnf");
    assert!(
        !machine
            .boot(&text(&sidecar(), &Bootstrap::default()))
            .success()
    );
    let reason = machine.failure("sidecar");
    assert!(
        reason.starts_with(
            "the fleet file has no sidecar package of the format rpm for the architecture x86_64"
        ),
        "{reason}"
    );

    let mut other = both();
    other.version = "9.9".to_owned();
    assert!(!machine.boot(&text(&other, &Bootstrap::default())).success());
    let reason = machine.failure("sidecar");
    assert!(
        reason.starts_with("the sidecar package has the version 1.2.3-1, the fleet file says 9.9"),
        "{reason}"
    );

    let machine = Machine::with_rpm("dnf");
    machine.write("fake/download", "evil");
    assert!(
        !machine
            .boot(&text(&both(), &Bootstrap::default()))
            .success()
    );
    let reason = machine.failure("sidecar");
    assert!(
        reason.contains(&format!(", the fleet file says {RPM_SHA256}")),
        "{reason}"
    );
    assert_eq!(machine.calls(&["dnf"]), [""; 0]);

    let option = Bootstrap {
        packages: vec!["--nogpgcheck".to_owned()],
        ..Bootstrap::default()
    };
    assert!(!machine.boot(&text(&both(), &option)).success());
    let reason = machine.failure("packages");
    assert!(
        reason.starts_with("--nogpgcheck is not the name of a package"),
        "{reason}"
    );
}

#[test]
fn a_package_is_handed_over_under_the_name_of_its_architecture() {
    let names: Vec<_> = both().packages.iter().map(media_name).collect();
    assert_eq!(
        names,
        [
            "sidecar-amd64.deb",
            "sidecar-arm64.deb",
            "sidecar-x86_64.rpm",
            "sidecar-aarch64.rpm"
        ]
    );
}
