//! What a user does: machines boot, talk, are changed, die, come back, go.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use meshvm_provider_api::{Effort, Kind, Labels, Media, NoPrivateFiles, Power, Readiness, Update};
use meshvm_provider_local::LocalKind;
use serde_json::json;
use uuid::Uuid;

use crate::ground::{Ground, STACK, batch, enter, first_process, lines, run, template};

/// Checks the network, names, the archive and the media, serves its name, and reports.
const USER_DATA: &str = r#"#cloud-config
write_files:
  - path: /usr/local/sbin/setup
    permissions: '0755'
    content: |
      #!/bin/sh
      mkdir -p /var/lib/meshvm
      say() { echo "$1" > /var/lib/meshvm/new; mv /var/lib/meshvm/new /var/lib/meshvm/result.json; }
      say '{"state":"working","step":"apt"}'
      set -e
      trap 'say "{\"state\":\"failed\",\"step\":\"setup\",\"reason\":\"exit $?\"}"' EXIT
      grep abc /var/lib/meshvm/media/abc.txt
      ! touch /var/lib/meshvm/media/new
      apt-get update > /var/log/setup.log 2>&1
      iptables -t nat -A OUTPUT -p tcp --dport 15999 -j REDIRECT --to-ports 8080
      mkdir -p /srv/www
      hostname > /srv/www/name
      systemctl enable --now web.service
      trap - EXIT
      say '{"state":"ready"}'
  - path: /etc/systemd/system/web.service
    content: |
      [Service]
      ExecStart=/usr/bin/python3 -m http.server --directory /srv/www 8080
      [Install]
      WantedBy=multi-user.target
runcmd:
  - [/usr/local/sbin/setup]
"#;

fn media(ground: &Ground) -> Vec<Media> {
    let path = ground.data_dir.join("abc.source");
    fs::write(&path, "abc").unwrap();
    vec![Media {
        name: "abc.txt".to_owned(),
        path,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
    }]
}

/// Fetches a machine's name over the network, from inside of another machine or from this computer.
fn fetch(ground: &Ground, from: Option<&str>, address: &str) -> Vec<String> {
    let url = format!("http://{address}/name");
    let curl = [
        "curl",
        "-sS",
        "--retry",
        "20",
        "--retry-connrefused",
        "--retry-delay",
        "1",
        "-m",
        "10",
        &url,
    ];
    let unit = from.map(|name| ground.unit(name));
    match &unit {
        Some(unit) => {
            let args: Vec<&str> = ["netns", "exec", unit].into_iter().chain(curl).collect();
            lines(&run("ip", &args))
        }
        None => lines(&run("curl", &curl[1..])),
    }
}

fn limit(ground: &Ground, name: &str) -> Option<String> {
    let unit = ground.unit(name);
    ground
        .cgroups()
        .iter()
        .filter(|path| path.to_string_lossy().contains(&unit))
        .flat_map(|path| ["memory.limit_in_bytes", "memory.max"].map(|file| path.join(file)))
        .find_map(|file| fs::read_to_string(file).ok())
        .map(|text| text.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_live_a_whole_life() {
    let ground = Ground::new();
    let provider = ground.open().await;
    let batch = batch(Uuid::new_v4(), 2, USER_DATA, media(&ground));
    provider
        .prepare(&batch.template, Effort::Make)
        .await
        .unwrap();

    let begin = Instant::now();
    let created = provider.create(&batch, &NoPrivateFiles).await.unwrap();
    let create = begin.elapsed();
    fs::remove_file(ground.data_dir.join("abc.source")).unwrap();
    assert_eq!(created.shortfall, None);
    assert!(
        created
            .machines
            .iter()
            .all(|machine| machine.power == Power::Running)
    );
    let machines = ground.ready().await;
    eprintln!(
        "two containers: created after {create:?}, ready after {:?}",
        begin.elapsed()
    );
    let [one, two] = &machines[..] else {
        panic!("{machines:#?}")
    };

    // Each is reached from here and from the other, by the name it was given.
    for (from, to) in [(None, one), (None, two), (Some(one), two), (Some(two), one)] {
        let address = format!("{}:8080", to.address.unwrap());
        let name = fetch(&ground, from.map(|from| from.name.as_str()), &address);
        assert_eq!(name, [to.name.as_str()]);
    }
    // What a sidecar does to outgoing traffic works inside.
    let redirected = fetch(&ground, Some(&one.name), "192.0.2.99:15999");
    assert_eq!(redirected, [one.name.as_str()]);
    // The seed is root's alone, and whole.
    let seed = ground
        .folder(&one.name)
        .join("upper/var/lib/cloud/seed/nocloud");
    assert_eq!(
        fs::metadata(&seed).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(
        fs::read_to_string(seed.join("user-data")).unwrap(),
        USER_DATA
    );

    // Limits are felt, and change while the machine runs.
    assert_eq!(limit(&ground, &one.name), Some((256 << 20).to_string()));
    let pid = first_process(&ground, &one.name);
    let changed = template(&json!({"memory": "320MiB"}));
    let update = Update {
        machines: vec![one.id.clone()],
        template: Some(changed.clone()),
        attributes: vec!["memory".to_owned()],
        start: false,
        set_labels: Labels::new(),
        remove_labels: Vec::new(),
    };
    provider.update(&update).await.unwrap();
    assert_eq!(limit(&ground, &one.name), Some((320 << 20).to_string()));
    assert_eq!(
        first_process(&ground, &one.name),
        pid,
        "it was not restarted"
    );
    let seen = ground.list().await;
    assert_eq!(LocalKind.compare(&changed, &seen[0]), []);
    assert_eq!(seen[1], *two, "the other is as it was");

    // One dies: that is seen, and it comes back with its disk, its address and its service.
    ground.kill(&one.id).await;
    let power: Vec<_> = ground.list().await.iter().map(|m| m.power).collect();
    assert_eq!(power, [Power::Stopped, Power::Running]);
    let begin = Instant::now();
    let start = Update {
        template: None,
        attributes: Vec::new(),
        start: true,
        ..update
    };
    provider.update(&start).await.unwrap();
    let started = begin.elapsed();
    let back = ground.ready().await;
    assert_eq!((&back[0].id, back[0].address), (&one.id, one.address));
    assert_eq!(limit(&ground, &one.name), Some((320 << 20).to_string()));
    let address = format!("{}:8080", one.address.unwrap());
    assert_eq!(
        fetch(&ground, Some(&two.name), &address),
        [one.name.as_str()]
    );
    eprintln!(
        "started again after {started:?}, served after {:?}",
        begin.elapsed()
    );

    // A reboot from inside is a machine that runs, and a shutdown one that is stopped.
    let before = first_process(&ground, &two.name);
    inside(&ground, &two.name, &["systemctl", "reboot"]);
    ground
        .wait("rebooted", |machine| {
            machine.power == Power::Running
                && !matches!(first_process(&ground, &two.name), now if now == before || now.is_none())
        })
        .await;
    let address = format!("{}:8080", two.address.unwrap());
    assert_eq!(fetch(&ground, None, &address), [two.name.as_str()]);
    inside(&ground, &two.name, &["systemctl", "poweroff"]);
    ground
        .wait("stopped", |machine| {
            machine.id == one.id || machine.power == Power::Stopped
        })
        .await;

    let begin = Instant::now();
    provider
        .delete(STACK, &[one.id.clone(), two.id.clone()])
        .await
        .unwrap();
    eprintln!("deleted after {:?}", begin.elapsed());
    ground.clear().await;
}

fn inside(ground: &Ground, name: &str, command: &[&str]) {
    let output = enter(ground, name, command);
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_bootstrap_says_why() {
    let ground = Ground::new();
    // The media are missing.
    let batch = batch(Uuid::new_v4(), 1, USER_DATA, Vec::new());
    ground
        .open()
        .await
        .create(&batch, &NoPrivateFiles)
        .await
        .unwrap();
    let failed = |readiness: &Readiness| matches!(readiness, Readiness::Failed { .. });
    let machines = ground
        .wait("failed", |machine| failed(&machine.readiness))
        .await;
    let reason = "setup: exit 2".to_owned();
    assert_eq!(machines[0].readiness, Readiness::Failed { reason });
    assert_eq!(machines[0].power, Power::Running);
    ground.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_leaves_nothing_running() {
    let ground = Ground::new();
    let provider = ground.open().await;
    let batch = batch(Uuid::new_v4(), 1, crate::ground::QUICK, Vec::new());
    let id = provider
        .create(&batch, &NoPrivateFiles)
        .await
        .unwrap()
        .machines[0]
        .id
        .clone();
    ground.kill(&id).await;
    let machine = ground.list().await.remove(0);
    // Somebody deletes the base image.
    let base = ground.folder(&machine.name).join("base");
    let image = fs::read_link(&base).unwrap();
    fs::remove_file(&base).unwrap();
    std::os::unix::fs::symlink("/nowhere", &base).unwrap();
    let start = Update {
        machines: vec![id],
        template: None,
        attributes: Vec::new(),
        start: true,
        set_labels: Labels::new(),
        remove_labels: Vec::new(),
    };
    let error = provider.update(&start).await.unwrap_err();
    assert!(error.to_string().contains("base image"), "{error}");
    assert_eq!(ground.list().await[0].power, Power::Stopped);
    assert!(ground.cgroups().is_empty());
    let namespace = ground.unit(&machine.name);
    assert!(!Path::new("/run/netns").join(namespace).exists());
    // It is put back.
    fs::remove_file(&base).unwrap();
    std::os::unix::fs::symlink(image, &base).unwrap();
    provider.update(&start).await.unwrap();
    ground.ready().await;
    ground.clear().await;
}
