//! The script, run into failures: what is left undone, and what the machine says of it.

use super::machine::{DEB, DEB_SHA256, Machine};
use super::{file, plain, running, sidecar, user_data};
use crate::spec::model::Bootstrap;

#[test]
fn a_download_that_is_another_is_not_installed() {
    let machine = Machine::new();
    machine.write(
        "fake/download",
        "Package: test-sidecar\nVersion: 1.2.3\nEvil: yes\n",
    );
    assert!(!machine.boot(&plain()).success());
    let reason = machine.failure("sidecar");
    assert!(
        reason
            .starts_with("the sidecar package at https://example.com/sidecar.deb has the sha256 "),
        "{reason}"
    );
    assert!(
        reason.contains(&format!(", the fleet file says {DEB_SHA256}")),
        "{reason}"
    );
    assert_eq!(machine.calls(&["apt-get", "systemctl enable"]), [""; 0]);
    assert!(!machine.has("root/var/lib/meshvm/cache/sidecar-amd64.deb.part"));
    // What is mended is picked up.
    machine.write("fake/download", DEB);
    assert!(machine.run().success());
}

#[test]
fn a_file_that_was_handed_over_is_checked_too() {
    let machine = Machine::new();
    machine.write("root/var/lib/meshvm/media/sidecar-amd64.deb", "evil");
    let mut local = sidecar();
    local.packages[0].url = None;
    let text = user_data(Some(&local), &Bootstrap::default(), "");
    assert!(!machine.boot(&text).success());
    let reason = machine.failure("sidecar");
    assert!(
        reason.contains("/var/lib/meshvm/media/sidecar-amd64.deb has the sha256 "),
        "{reason}"
    );
    assert_eq!(machine.calls(&["apt-get"]), [""; 0]);

    std::fs::remove_file(machine.path("root/var/lib/meshvm/media/sidecar-amd64.deb")).unwrap();
    assert!(!machine.run().success());
    let reason = machine.failure("sidecar");
    assert!(reason.starts_with("the machine was not given the sidecar package sidecar-amd64.deb, and the fleet file has no URL"), "{reason}");
}

#[test]
fn a_package_of_another_version_than_said_is_not_installed() {
    let machine = Machine::new();
    let mut other = sidecar();
    other.version = "9.9".to_owned();
    assert!(
        !machine
            .boot(&user_data(Some(&other), &Bootstrap::default(), ""))
            .success()
    );
    let reason = machine.failure("sidecar");
    assert!(
        reason.starts_with("the sidecar package has the version 1.2.3, the fleet file says 9.9"),
        "{reason}"
    );
    assert_eq!(machine.calls(&["apt-get"]), [""; 0]);
}

#[test]
fn an_architecture_without_a_package_is_named() {
    let machine = Machine::new();
    machine.write("fake/arch", "riscv64\n");
    assert!(!machine.boot(&plain()).success());
    let reason = machine.failure("sidecar");
    assert!(
        reason.starts_with(
            "the fleet file has no sidecar package of the format deb for the architecture riscv64"
        ),
        "{reason}"
    );
}

#[test]
fn what_cannot_be_fetched_is_said_in_the_program_s_words() {
    let machine = Machine::new();
    std::fs::remove_file(machine.path("fake/download")).unwrap();
    assert!(!machine.boot(&plain()).success());
    let reason = machine.failure("sidecar");
    assert!(
        reason.starts_with(
            "the sidecar package cannot be fetched from https://example.com/sidecar.deb: "
        ),
        "{reason}"
    );
    assert!(reason.contains("returned error: 404"), "{reason}");
    assert_eq!(machine.calls(&["curl"]).len(), 5);
}

#[test]
fn a_sidecar_that_never_gets_ready_is_given_up() {
    let machine = Machine::new();
    machine.write("fake/answer", "503");
    machine.give(&plain());
    let path = "root/var/lib/meshvm/bootstrap/bootstrap.sh";
    let script = String::from_utf8(machine.read(path)).unwrap();
    assert_eq!(script.matches("$(now) + 300").count(), 1);
    machine.write(path, script.replace("$(now) + 300", "$(now) + 1"));
    assert!(!machine.run().success());
    let reason = machine.failure("ready");
    assert!(reason.starts_with("the sidecar did not answer 200 at http://127.0.0.1:15021/healthz/ready within 300 s, but 503"), "{reason}");
    assert!(reason.contains("the last words of the unit"), "{reason}");
}

#[test]
fn whatever_a_command_prints_the_result_is_json() {
    let machine = Machine::new();
    let before = "echo from before".to_owned();
    let shout = r#"printf '"quoted" \\ back\n\ttab \033[31mred\r \001\037 \377\300 nul\0end \303\251 \360\237\230\200 {"a":1} $(x) `y` &\n'; exit 3"#;
    let bootstrap = Bootstrap {
        run: vec![before, shout.to_owned()],
        ..Bootstrap::default()
    };
    assert!(!machine.boot(&user_data(None, &bootstrap, "")).success());
    let reason = machine.failure("run");
    assert_eq!(
        reason,
        "command 2 of bootstrap.run exited with 3: \"quoted\" \\ back\n\ttab \u{1b}[31mred\r \u{1}\u{1f}  nulend é 😀 {\"a\":1} $(x) `y` &"
    );
    let lines = machine.read("root/var/lib/meshvm/result.json");
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn a_long_complaint_is_cut_between_characters() {
    let machine = Machine::new();
    let shout = "for i in 1 2 3 4 5 6 7 8 9; do for j in 1 2 3 4 5 6 7 8 9; do printf 'é%s😀' $i$j; done; done; false";
    assert!(
        !machine
            .boot(&user_data(None, &running(&format!("{shout}; {shout}")), ""))
            .success()
    );
    let endless = "head -c 100000 /dev/zero | tr '\\000' '\\351'; exit 1";
    let other = Machine::new();
    assert!(
        !other
            .boot(&user_data(None, &running(endless), ""))
            .success()
    );
    assert!(machine.failure("run").len() < 2100);
    assert!(
        other
            .failure("run")
            .starts_with("command 1 of bootstrap.run exited with 1")
    );
}

#[test]
fn a_run_that_is_killed_says_so() {
    let machine = Machine::new();
    assert!(
        !machine
            .boot(&user_data(None, &running("kill -KILL $PPID"), ""))
            .success()
    );
    assert_eq!(
        machine.failure("start"),
        "the bootstrap was killed with 137"
    );
    let machine = Machine::new();
    assert!(
        !machine
            .boot(&user_data(None, &running("kill -TERM $PPID"), ""))
            .success()
    );
    assert!(machine.failure("run").starts_with("stopped by a signal"));
}

#[test]
fn an_owner_that_does_not_exist_is_named() {
    let machine = Machine::new();
    let mut wrong = file("/etc/app.conf", "a");
    wrong.owner = "no-such-user".to_owned();
    let bootstrap = Bootstrap {
        files: vec![wrong],
        ..Bootstrap::default()
    };
    assert!(!machine.boot(&user_data(None, &bootstrap, "")).success());
    let reason = machine.failure("files");
    assert!(reason.contains("no-such-user"), "{reason}");
    let left: Vec<_> = std::fs::read_dir(machine.path("root/etc"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?} was left over");
}

#[test]
fn a_folder_in_the_place_of_a_file_is_left_alone() {
    let machine = Machine::new();
    machine.write("root/etc/app.conf/precious", "");
    let bootstrap = Bootstrap {
        files: vec![file("/etc/app.conf", "a")],
        ..Bootstrap::default()
    };
    assert!(!machine.boot(&user_data(None, &bootstrap, "")).success());
    let reason = machine.failure("files");
    assert!(reason.contains("/etc/app.conf"), "{reason}");
    let left = std::fs::read_dir(machine.path("root/etc/app.conf")).unwrap();
    assert_eq!(left.count(), 1);
}
