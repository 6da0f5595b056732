//! The script, run: its order, its second run, and how it takes up where a run stopped.

use serde_json::json;

use super::machine::{DEB, DEB_SHA256, Machine, mode};
use super::{file, hostile_values, plain, running, sidecar, user_data};
use crate::spec::model::{Arch, Bootstrap};

/// The calls that change a machine.
const CHANGES: [&str; 8] = [
    "apt-get",
    "curl",
    "mount",
    "umount",
    "systemctl daemon",
    "systemctl enable",
    "systemctl restart",
    "systemctl stop",
];

#[test]
fn everything_happens_in_order_and_only_once() {
    let machine = Machine::new();
    let bootstrap = Bootstrap {
        packages: vec!["mariadb-server".to_owned(), "socat".to_owned()],
        files: vec![file("/etc/app/deep/app.conf", "a = 1\n")],
        run: vec![
            "test -e \"$MESHVM_ROOT/etc/app/deep/app.conf\"\necho run first >>\"$FAKE/calls\""
                .to_owned(),
            "echo run second >>\"$FAKE/calls\"".to_owned(),
        ],
        template: None,
    };
    let text = user_data(Some(&sidecar()), &bootstrap, "mesh: 1");
    assert!(machine.boot(&text).success(), "{}", machine.log());
    let result = machine.result();
    assert_eq!(result["state"], "ready");
    assert_eq!(result["sidecar"], "1.2.3");
    assert!(result["seconds"].is_u64());
    let calls = machine.calls(&[
        "systemctl start",
        "run",
        CHANGES[0],
        CHANGES[1],
        CHANGES[4],
        CHANGES[5],
        CHANGES[6],
    ]);
    let short: Vec<_> = calls
        .iter()
        .map(|call| {
            let words = call
                .split_whitespace()
                .filter(|word| !word.starts_with('-') && !word.contains("::"));
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    let curl = "curl =https =https 20 1000 60 /var/lib/meshvm/cache/sidecar-amd64.deb.part https://example.com/sidecar.deb";
    assert_eq!(
        short,
        [
            "systemctl start systemd-timesyncd.service",
            "apt-get update",
            "apt-get install mariadb-server socat",
            "run first",
            "run second",
            curl,
            "apt-get install /var/lib/meshvm/cache/sidecar-amd64.deb",
            "systemctl daemon-reload",
            "systemctl enable test-sidecar.service",
            "curl /dev/null 5 * %{http_code} http://127.0.0.1:15021/healthz/ready",
        ]
    );
    let installed = calls
        .iter()
        .find(|call| call.contains("install --no-install-recommends"))
        .unwrap();
    assert!(installed.contains("--force-confold") && installed.contains("--force-confdef"));
    assert!(
        !machine.has("fake/too-early"),
        "a staged file was there before the package"
    );
    assert_eq!(machine.read("root/etc/app/deep/app.conf"), b"a = 1\n");
    assert_eq!(mode(&machine.path("root/etc/app/deep/app.conf")), 0o640);
    assert_eq!(machine.read("root/etc/istio/config/mesh"), b"mesh: 1");
    assert!(!machine.has("root/var/lib/meshvm/cache"));

    let log = machine.log();
    let headings: Vec<_> = log
        .lines()
        .filter_map(|line| line.strip_prefix("== "))
        .collect();
    assert_eq!(
        headings.join(", "),
        "time, packages, files, run, command 1, command 2, sidecar, config, hosts, unit, ready, done"
    );

    assert!(machine.run().success(), "{}", machine.log());
    assert_eq!(machine.result()["state"], "ready");
    let again = machine.calls(&CHANGES);
    assert_eq!(again.len(), 3, "{again:?}");
    assert!(again[0].starts_with("systemctl daemon-reload"));
    assert!(again[1].starts_with("systemctl enable --now"));
    assert!(again[2].starts_with("curl") && again[2].contains("/healthz/ready"));
}

#[test]
fn a_changed_file_restarts_the_sidecar_once() {
    let machine = Machine::new();
    assert!(machine.boot(&plain()).success());
    let changed = user_data(Some(&sidecar()), &Bootstrap::default(), "mesh: 2");
    assert!(machine.boot(&changed).success());
    assert_eq!(machine.calls(&["systemctl restart"]).len(), 1);
    assert_eq!(machine.read("root/etc/istio/config/mesh"), b"mesh: 2");
    assert!(machine.run().success());
    assert_eq!(machine.calls(&["systemctl restart"]).len(), 0);
}

#[test]
fn a_restart_that_was_missed_is_made_up_for() {
    let machine = Machine::new();
    assert!(machine.boot(&plain()).success());
    machine.write("fake/fail-restart", "");
    let changed = user_data(Some(&sidecar()), &Bootstrap::default(), "mesh: 2");
    assert!(!machine.boot(&changed).success());
    assert!(
        machine
            .failure("unit")
            .starts_with("test-sidecar.service cannot be restarted")
    );
    machine.calls(&[]);
    assert!(machine.run().success());
    assert_eq!(machine.calls(&["systemctl restart"]).len(), 1);
}

#[test]
fn mode_and_owner_are_mended_too() {
    let machine = Machine::new();
    let bootstrap = Bootstrap {
        files: vec![file("/etc/app.conf", "a")],
        ..Bootstrap::default()
    };
    let text = user_data(None, &bootstrap, "");
    assert!(machine.boot(&text).success());
    let path = machine.path("root/etc/app.conf");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    assert!(machine.run().success());
    assert_eq!(mode(&path), 0o640);
    // A link is replaced, not written through nor taken for the file that it points to.
    for content in ["other", "a"] {
        machine.write("root/etc/other", content);
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        std::fs::set_permissions(machine.path("root/etc/other"), private).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("other", &path).unwrap();
        assert!(machine.run().success());
        assert_eq!(machine.read("root/etc/other"), content.as_bytes());
        assert!(path.symlink_metadata().unwrap().is_file());
    }
}

#[test]
fn hostile_files_and_commands_arrive_whole() {
    let machine = Machine::new();
    let values: Vec<_> = hostile_values()
        .into_iter()
        .filter(|value| value.len() < 200)
        .collect();
    let bootstrap = Bootstrap {
        files: values
            .iter()
            .map(|value| file(&format!("/srv/x{}", value.replace('/', "|")), value))
            .collect(),
        run: values
            .iter()
            .map(|value| {
                format!(": <<'marker'\n{value}\nmarker\necho \"ran $((1+1))\" >>\"$FAKE/ran\"")
            })
            .collect(),
        ..Bootstrap::default()
    };
    assert!(
        machine.boot(&user_data(None, &bootstrap, "")).success(),
        "{}",
        machine.log()
    );
    for (value, file) in values.iter().zip(&bootstrap.files) {
        assert_eq!(
            machine.read(&format!("root{}", file.path)),
            value.as_bytes(),
            "{value:?}"
        );
    }
    assert_eq!(
        machine.read("fake/ran"),
        "ran 2\n".repeat(values.len()).as_bytes()
    );
}

#[test]
fn a_command_longer_than_an_argument_may_be_is_run() {
    let machine = Machine::new();
    let long = format!("x='{}'\ntest \"${{#x}}\" = 300000", "y".repeat(300_000));
    assert!(
        machine
            .boot(&user_data(None, &running(&long), ""))
            .success(),
        "{}",
        machine.log()
    );
}

#[test]
fn without_a_sidecar_its_steps_are_left_out() {
    let machine = Machine::new();
    assert!(
        machine
            .boot(&user_data(None, &Bootstrap::default(), "mesh"))
            .success()
    );
    let result = machine.result();
    assert_eq!(
        (&result["state"], result.get("sidecar")),
        (&json!("ready"), None)
    );
    assert_eq!(machine.calls(&CHANGES), [""; 0]);
    assert!(!machine.has("root/etc/istio"));
}

#[test]
fn a_package_that_was_handed_over_is_taken_without_network() {
    let machine = Machine::new();
    machine.write("root/var/lib/meshvm/media/sidecar-amd64.deb", DEB);
    assert!(machine.boot(&plain()).success(), "{}", machine.log());
    let calls = machine.calls(&["curl", "apt-get"]);
    assert!(calls[0].ends_with("install --no-install-recommends --allow-downgrades -- /var/lib/meshvm/media/sidecar-amd64.deb"));
    assert_eq!(calls.len(), 2, "{calls:?}");
}

#[test]
fn a_disk_is_mounted_read_only_and_given_back() {
    let machine = Machine::new();
    machine.write("fake/disk-MESHVM/another-name.deb", DEB);
    assert!(machine.boot(&plain()).success(), "{}", machine.log());
    let calls = machine.calls(&["mount", "umount", "apt-get"]);
    assert_eq!(calls[0], "mount -o ro /dev/MESHVM /run/meshvm/media");
    assert!(
        calls[1].ends_with(" /run/meshvm/media/another-name.deb"),
        "{calls:?}"
    );
    assert_eq!(calls[2], "umount /run/meshvm/media");
}

#[test]
fn a_version_that_is_there_is_not_installed_again() {
    let machine = Machine::new();
    machine.write("fake/db/test-sidecar", "1.2.3\n");
    std::fs::remove_file(machine.path("fake/download")).unwrap();
    assert!(machine.boot(&plain()).success(), "{}", machine.log());
    assert_eq!(machine.calls(&["apt-get"]), [""; 0]);
}

#[test]
fn another_version_is_replaced_and_started_again() {
    let machine = Machine::new();
    assert!(machine.boot(&plain()).success());
    machine.calls(&[]);
    // The machine drifted: somebody put another version there.
    machine.write("fake/db/test-sidecar", "1.2.4\n");
    assert!(machine.run().success(), "{}", machine.log());
    let calls = machine.calls(&[
        "apt-get",
        "systemctl stop",
        "systemctl enable",
        "systemctl restart",
    ]);
    assert_eq!(calls[0], "systemctl stop -- test-sidecar.service");
    assert!(calls[1].contains(" --allow-downgrades "), "{calls:?}");
    assert_eq!(calls[2], "systemctl enable --now -- test-sidecar.service");
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert!(!machine.has("fake/under-a-running-sidecar"));
}

#[test]
fn the_package_is_chosen_by_architecture() {
    let machine = Machine::new();
    machine.write("fake/arch", "arm64\n");
    let mut both = sidecar();
    both.packages.swap(0, 1);
    both.packages[0].sha256 = DEB_SHA256.to_owned();
    both.packages[1].sha256 = "f".repeat(64);
    assert_eq!(both.packages[0].arch, Arch::Arm64);
    let text = user_data(Some(&both), &Bootstrap::default(), "");
    assert!(machine.boot(&text).success(), "{}", machine.log());
}

#[test]
fn installing_is_tried_again_with_fresh_lists() {
    let machine = Machine::new();
    machine.write("fake/fail-apt-get", "E: Unable to correct problems\n");
    assert!(machine.boot(&plain()).success(), "{}", machine.log());
    let calls = machine.calls(&["apt-get"]);
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert!(calls[1].ends_with(" update"));
}

#[test]
fn a_failed_command_is_repeated_and_those_before_it_are_not() {
    let machine = Machine::new();
    let bootstrap = Bootstrap {
        run: vec![
            "echo one >>\"$FAKE/ran\"".to_owned(),
            "test -e \"$FAKE/allowed\"; echo two >>\"$FAKE/ran\"".to_owned(),
        ],
        ..Bootstrap::default()
    };
    let text = user_data(None, &bootstrap, "");
    machine.write("root/var/lib/cloud/data/instance-id", "i-1\n");
    assert!(!machine.boot(&text).success());
    assert!(
        machine
            .failure("run")
            .starts_with("command 2 of bootstrap.run exited with 1")
    );
    machine.write("fake/allowed", "");
    assert!(machine.run().success());
    assert_eq!(machine.read("fake/ran"), b"one\ntwo\n");
    // The disk of this machine, in another one.
    machine.write("root/var/lib/cloud/data/instance-id", "i-2\n");
    assert!(machine.run().success());
    assert_eq!(machine.read("fake/ran"), b"one\ntwo\none\ntwo\n");
}

#[test]
fn two_runs_at_once_do_the_work_of_one() {
    let machine = Machine::new();
    let slow = "echo ran >>\"$FAKE/ran\"; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
    machine.give(&user_data(Some(&sidecar()), &running(slow), ""));
    std::thread::scope(|scope| {
        let runs = [(); 3].map(|()| scope.spawn(|| machine.run()));
        for run in runs {
            assert!(run.join().unwrap().success(), "{}", machine.log());
        }
    });
    assert_eq!(machine.read("fake/ran"), b"ran\n");
    assert_eq!(machine.calls(&["apt-get"]).len(), 1);
}

#[test]
fn the_result_goes_to_the_port_too() {
    let machine = Machine::new();
    let port = "root/dev/virtio-ports/meshvm.result";
    machine.write(port, "");
    assert!(machine.boot(&plain()).success());
    let line = machine.read(port);
    assert_eq!(line, machine.read("root/var/lib/meshvm/result.json"));
    assert!(line.ends_with(b"\n"));
}
