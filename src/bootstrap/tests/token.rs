//! The token: where it is found, who may read it, and that nothing is left of it.

use std::fs;
use std::path::Path;

use super::machine::{Machine, mode, user_name};
use super::{istio, member, plain};
use crate::bootstrap::IstioFiles;

/// No token, but as long and as hard to overlook.
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0LXRva2Vu.c2lnbmF0dXJl";
const OWN: &str = "root/var/lib/meshvm/private/istio-token";
const SEED: &str = "root/var/lib/cloud/seed/nocloud/private/istio-token";
const DISK: &str = "fake/disk-cidata/private/istio-token";
const PLACED: &str = "root/var/run/secrets/tokens/istio-token";
const CERTIFICATE: &str = "root/etc/certs/cert-chain.pem";

fn files() -> IstioFiles {
    IstioFiles {
        token: true,
        ..istio("mesh: 1")
    }
}

/// Returns the files below a folder that hold the token.
fn holders(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(holders(&path));
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(TOKEN) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Makes the wait for the certificate short.
fn impatient(machine: &Machine) {
    let path = "root/var/lib/meshvm/bootstrap/bootstrap.sh";
    let script = String::from_utf8(machine.read(path)).unwrap();
    assert_eq!(script.matches("$(now) + 120").count(), 1);
    machine.write(path, script.replace("$(now) + 120", "$(now) + 1"));
}

#[test]
fn the_token_is_traded_for_a_certificate_and_nothing_is_left_of_it() {
    for place in [SEED, DISK, OWN] {
        let machine = Machine::new();
        machine.write(place, TOKEN);
        assert!(
            machine.boot(&member(&files())).success(),
            "{}",
            machine.log()
        );
        // As the sidecar saw it.
        assert_eq!(machine.read("fake/token-seen"), TOKEN.as_bytes(), "{place}");
        let user = user_name();
        let modes = String::from_utf8(machine.read("fake/token-modes")).unwrap();
        assert_eq!(modes, format!("700 {user}\n600 {user}\n"));
        // It had them before it was there.
        let moved = String::from_utf8(machine.read("fake/moved")).unwrap();
        let wanted = format!("600 {}", machine.path(PLACED).display());
        assert!(moved.lines().any(|line| line == wanted), "{moved}");

        assert_eq!(holders(&machine.path("root")), [""; 0], "{place}");
        let seen: Vec<_> = holders(&machine.path("fake"));
        let allowed = |path: &String| path.ends_with("token-seen") || path.ends_with(DISK);
        assert!(seen.iter().all(allowed), "{seen:?}");
        let result = machine.result();
        assert_eq!(result["state"], "ready");
        assert_eq!(result["certificateNotAfter"], "2031-03-07T09:05:01Z");
        assert!(machine.has("root/var/run/secrets/tokens"));

        // With the certificate there, and the token gone or not.
        machine.calls(&[]);
        fs::remove_file(machine.path("fake/token-seen")).unwrap();
        assert!(machine.run().success(), "{}", machine.log());
        assert!(!machine.has("fake/token-seen") && !machine.has(PLACED));
        assert_eq!(
            machine.calls(&["systemctl restart", "systemctl stop"]),
            [""; 0]
        );
        assert_eq!(machine.result()["state"], "ready");
    }
}

#[test]
fn the_seed_comes_before_a_disk_and_that_before_what_user_data_left() {
    let machine = Machine::new();
    for (place, token) in [
        (SEED, "of the seed"),
        (DISK, "of the disk"),
        (OWN, "of user-data"),
    ] {
        machine.write(place, token);
    }
    assert!(
        machine.boot(&member(&files())).success(),
        "{}",
        machine.log()
    );
    assert_eq!(machine.read("fake/token-seen"), b"of the seed");
    assert_eq!(machine.calls(&["mount", "blkid -L cidata"]), [""; 0]);
    assert!(!machine.has(SEED) && !machine.has(OWN));

    fs::remove_file(machine.path(CERTIFICATE)).unwrap();
    machine.write(OWN, "of user-data");
    assert!(machine.run().success(), "{}", machine.log());
    assert_eq!(machine.read("fake/token-seen"), b"of the disk");
    let calls = machine.calls(&["mount", "umount"]);
    assert_eq!(
        calls,
        [
            "mount -o ro /dev/cidata /run/meshvm/private/seed",
            "umount /run/meshvm/private/seed"
        ]
    );
    // All files of an ISO are everybody's to read.
    assert_eq!(mode(&machine.path("root/run/meshvm/private")), 0o700);
}

#[test]
fn a_seed_with_its_label_in_capitals_is_one_too() {
    let machine = Machine::new();
    machine.write("fake/disk-CIDATA/private/istio-token", TOKEN);
    assert!(
        machine.boot(&member(&files())).success(),
        "{}",
        machine.log()
    );
    assert_eq!(machine.read("fake/token-seen"), TOKEN.as_bytes());
}

#[test]
fn without_token_and_certificate_the_machine_says_so() {
    let machine = Machine::new();
    // A seed without the file, as any virtual machine of this kind has.
    machine.write("fake/disk-cidata/meta-data", "");
    assert!(!machine.boot(&member(&files())).success());
    let reason = machine.failure("token");
    assert!(reason.starts_with("the machine was given no istio-token, and its sidecar has no certificate that is still valid"), "{reason}");
    assert_eq!(machine.calls(&["systemctl enable"]), [""; 0]);
    machine.write(OWN, TOKEN);
    assert!(machine.run().success(), "{}", machine.log());
}

#[test]
fn a_token_is_used_only_when_the_certificate_does_not_last() {
    let machine = Machine::new();
    machine.write(OWN, TOKEN);
    assert!(machine.boot(&member(&files())).success());
    fs::remove_file(machine.path("fake/token-seen")).unwrap();
    // It lasts: a new token is not needed, and does not stay either.
    machine.write(CERTIFICATE, "4000");
    machine.write(OWN, TOKEN);
    assert!(machine.run().success());
    assert!(!machine.has("fake/token-seen") && !machine.has(OWN));
    // It ends soon: a token helps, but it goes without.
    machine.write(CERTIFICATE, "600");
    assert!(machine.run().success());
    machine.write(OWN, TOKEN);
    assert!(machine.run().success());
    assert_eq!(machine.read("fake/token-seen"), TOKEN.as_bytes());
    // It ended, as that of a machine that was off for long.
    machine.write(CERTIFICATE, "-5");
    assert!(!machine.run().success());
    machine.failure("token");
    machine.write(OWN, TOKEN);
    assert!(machine.run().success());
    assert_eq!(machine.read(CERTIFICATE), b"86400\n");
}

#[test]
fn without_openssl_a_certificate_is_one_that_is_there() {
    let machine = Machine::new();
    machine.write("fake/no-openssl", "");
    machine.write(OWN, TOKEN);
    assert!(
        machine.boot(&member(&files())).success(),
        "{}",
        machine.log()
    );
    assert_eq!(machine.result().get("certificateNotAfter"), None);
    fs::remove_file(machine.path("fake/token-seen")).unwrap();
    assert!(machine.run().success());
    // Without its key it is none.
    fs::remove_file(machine.path("root/etc/certs/key.pem")).unwrap();
    assert!(!machine.run().success());
    machine.failure("token");
}

#[test]
fn a_certificate_that_never_comes_is_given_up_and_the_token_kept() {
    let machine = Machine::new();
    machine.write("fake/refuses", "");
    machine.write(OWN, TOKEN);
    machine.write(
        "root/var/log/istio/istio.log",
        "Envoy proxy is NOT ready: authentication failure\n",
    );
    machine.give(&member(&files()));
    impatient(&machine);
    assert!(!machine.run().success());
    let reason = machine.failure("certificate");
    assert!(
        reason.starts_with("the sidecar got no certificate from the mesh within 120 s: "),
        "{reason}"
    );
    assert!(reason.contains("authentication failure"), "{reason}");
    assert!(!machine.log().contains(TOKEN) && !machine.result().to_string().contains(TOKEN));
    // The next run needs it.
    assert_eq!(mode(&machine.path(PLACED)), 0o600);
    assert!(machine.has(OWN));
    fs::remove_file(machine.path("fake/refuses")).unwrap();
    fs::remove_file(machine.path("fake/active")).unwrap();
    assert!(machine.run().success(), "{}", machine.log());
    assert_eq!(holders(&machine.path("root")), [""; 0]);
}

#[test]
fn a_certificate_of_the_machine_that_a_disk_was_copied_from_is_not_used() {
    let machine = Machine::new();
    machine.write("root/var/lib/cloud/data/instance-id", "i-1\n");
    machine.write(OWN, TOKEN);
    assert!(machine.boot(&member(&files())).success());
    let first = machine.read("fake/token-seen");
    fs::remove_file(machine.path("fake/token-seen")).unwrap();
    machine.write("root/var/lib/cloud/data/instance-id", "i-2\n");
    assert!(!machine.run().success());
    machine.failure("token");
    assert!(!machine.has(CERTIFICATE) && !machine.has("root/etc/certs/key.pem"));
    machine.write(OWN, TOKEN);
    assert!(machine.run().success(), "{}", machine.log());
    assert_eq!(machine.read("fake/token-seen"), first);
}

#[test]
fn a_member_without_token_is_asked_for_no_certificate() {
    let machine = Machine::new();
    machine.write(OWN, TOKEN);
    assert!(machine.boot(&plain()).success(), "{}", machine.log());
    assert!(!machine.has("fake/token-seen") && !machine.has(CERTIFICATE));
    assert_eq!(machine.calls(&["openssl"]), [""; 0]);
}
