//! One virtual machine through its whole life, as whoever runs the tests.
//!
//! It takes minutes where the processor is emulated. The base image is kept
//! between runs, in the folder that the variable `MESHVM_TEST_DATA` names.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use meshvm_provider_api::{
    Batch, BatchKey, Effort, ErrorClass, Hash, Kind, Machine, Media, OpenContext, Ownership, Power,
    PrivateFile, PrivateFiles, Progress, Provider, ProviderError, Query, Readiness, Requests,
    Shared, Template, Update,
};
use meshvm_provider_local::LocalKind;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const STACK: &str = "vms-test";
/// How long a boot may take where it is emulated on a busy computer.
const BOOT: Duration = Duration::from_secs(600);

/// Serves what the machine knows of itself, at every boot, and reports.
const USER_DATA: &str = r#"#cloud-config
write_files:
  - path: /usr/local/sbin/tell
    permissions: '0755'
    content: |
      #!/bin/sh
      mkdir -p /srv/told /mnt
      echo boot >> /srv/boots
      {
        echo "host $(hostname)"
        echo "addresses $(hostname -I)"
        echo "boots $(wc -l < /srv/boots)"
        echo "disk $(df --output=size --block-size=1M / | tail -n 1)"
        echo "memory $(free --mega | awk '/Mem:/ { print $2 }')"
        mount -o ro LABEL=MESHVM /mnt && echo "media $(cat /mnt/note.txt)" && umount /mnt
        mount -o ro LABEL=cidata /mnt
        echo "private $(cat /mnt/private/token)"
        echo "modes $(stat -c '%a %U' /mnt /mnt/private /mnt/private/token | tr '\n' ' ')"
        echo "nobody $(setpriv --reuid=65534 --clear-groups cat /mnt/private/token || echo cannot)"
        umount /mnt
        echo "name $(cloud-init query ds.meta_data.meshvm.name)"
        echo "address $(cloud-init query ds.meta_data.meshvm.address)"
      } > /srv/told/index.html
      cd /srv/told && exec python3 -m http.server 8000
  - path: /etc/systemd/system/tell.service
    content: |
      [Unit]
      After=systemd-udev-settle.service network.target
      Wants=systemd-udev-settle.service
      [Service]
      ExecStart=/usr/local/sbin/tell
      [Install]
      WantedBy=multi-user.target
  - path: /usr/local/sbin/bootstrap
    permissions: '0755'
    content: |
      #!/bin/sh
      report() { printf '%s\n' "$1" > /dev/virtio-ports/meshvm.result; }
      report '{"state":"working","step":"unit"}'
      systemctl enable --now tell.service
      until curl --silent --fail http://127.0.0.1:8000/ > /dev/null; do sleep 1; done
      sync
      report '{"state":"ready"}'
runcmd:
  - [/usr/local/sbin/bootstrap]
"#;

/// Gives each machine a file that says whose it is and from which source.
struct Source(&'static str);

impl Source {
    fn content(&self, machine: &str) -> String {
        format!("{}-secret-of-{machine}", self.0)
    }
}

#[async_trait]
impl PrivateFiles for Source {
    async fn of(&self, machine: &str) -> Result<Vec<PrivateFile>, ProviderError> {
        Ok(vec![PrivateFile {
            name: "token".to_owned(),
            content: self.content(machine).into(),
        }])
    }
}

/// Returns whether the seed of a machine holds a text.
fn seed_holds(data_dir: &Path, machine: &str, text: &str) -> bool {
    let seed = data_dir.join("machines").join(machine).join("seed.iso");
    let mode = fs::metadata(&seed).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bytes = fs::read(seed).unwrap();
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

/// Fails with everything that an error says.
fn told<T>(answer: Result<T, ProviderError>) -> T {
    answer.unwrap_or_else(|error| {
        let hint = error.hint.as_deref().unwrap_or("none");
        panic!("{error}; source: {:?}; hint: {hint}", error.source)
    })
}

fn data_dir() -> PathBuf {
    let given = std::env::var_os("MESHVM_TEST_DATA").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("vms"))
}

fn template(settings: &Value) -> Template {
    LocalKind.template(settings, Path::new("/")).unwrap()
}

async fn open(data_dir: &Path, template: &Template) -> Arc<dyn Provider> {
    let context = OpenContext {
        data_dir: data_dir.to_owned(),
        requests: Requests::default(),
        progress: Progress::new(|line| println!("  {line}")),
        shared: Shared::default(),
    };
    told(
        LocalKind
            .open(Some(template), &template.scope, &context)
            .await,
    )
}

fn batch(template: &Template, media: Media) -> Batch {
    let key = BatchKey(uuid::Uuid::new_v4());
    Batch {
        key,
        ownership: Ownership {
            stack: STACK.to_owned(),
            fleet: "f".to_owned(),
            batch: Some(key),
            spec: Hash::of("spec"),
            user_data: Some(Hash::of(USER_DATA)),
        },
        labels: BTreeMap::new(),
        zone: "local".to_owned(),
        count: 1,
        template: template.clone(),
        user_data: USER_DATA.to_owned(),
        media: vec![media],
    }
}

/// Does something and prints how long it took.
async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let answer = work.await;
    println!("{what}: {:.1} s", begun.elapsed().as_secs_f32());
    answer
}

async fn look(provider: &dyn Provider) -> Option<Machine> {
    let mut machines = told(provider.observe(&Query::Stack(STACK.to_owned())).await);
    assert!(machines.len() <= 1, "{machines:?}");
    machines.pop()
}

async fn wait_ready(provider: &dyn Provider) {
    let deadline = Instant::now() + BOOT;
    loop {
        let machine = look(provider).await.unwrap();
        assert_eq!(machine.power, Power::Running, "{machine:?}");
        match &machine.readiness {
            Readiness::Ready => return,
            Readiness::Waiting => assert!(Instant::now() < deadline, "{machine:?} is not ready"),
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Asks a machine through its published port for what it knows of itself.
fn ask(port: u16) -> BTreeMap<String, String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let answer = loop {
        let mut text = String::new();
        let asked = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut text)
        });
        if asked.is_ok() && text.contains("200 OK") {
            break text;
        }
        assert!(Instant::now() < deadline, "{asked:?}: {text}");
        std::thread::sleep(Duration::from_millis(500));
    };
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let pair = |line: &str| {
        line.split_once(' ')
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
    };
    body.lines().filter_map(pair).collect()
}

fn pid(data_dir: &Path, machine: &Machine) -> u32 {
    let file = data_dir
        .join("machines")
        .join(&machine.name)
        .join("qemu.pid");
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

fn arguments(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_lives_dies_and_leaves_nothing() {
    let data_dir = data_dir();
    fs::create_dir_all(&data_dir).unwrap();
    let note = data_dir.join("note.txt");
    fs::write(&note, "handed over").unwrap();
    let sha256: String = Sha256::digest("handed over")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let media = Media {
        name: "note.txt".to_owned(),
        path: note.clone(),
        sha256,
    };
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    let template_with = |memory| {
        let publish = json!([{"host": port, "guest": 8000}]);
        template(&json!({"backend": "vm", "memory": memory, "disk": "9GiB", "publish": publish}))
    };
    let template = template_with("512MiB");
    let provider = open(&data_dir, &template).await;
    // What an earlier run that was cut off left behind.
    if let Some(machine) = look(&*provider).await {
        told(provider.delete(STACK, &[machine.id]).await);
    }
    timed("image", async {
        told(provider.prepare(&template, Effort::Make).await)
    })
    .await;
    timed("image again", async {
        told(provider.prepare(&template, Effort::Make).await)
    })
    .await;

    // A port that another has is an error that names it, and nothing runs.
    let batch = batch(&template, media);
    let (old, new) = (Source("old"), Source("new"));
    let error = provider.create(&batch, &old).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Environment, "{error}");
    assert!(error.message.contains(&port.to_string()), "{error}");
    let stopped = look(&*provider).await.unwrap();
    assert_eq!(stopped.power, Power::Stopped);
    assert!(seed_holds(
        &data_dir,
        &stopped.name,
        &old.content(&stopped.name)
    ));
    drop(free);

    // The same batch again finishes what the first began, with new private files.
    let created = timed("create", async {
        told(provider.create(&batch, &new).await)
    })
    .await;
    let [machine] = &created.machines[..] else {
        panic!("{created:?}");
    };
    assert_eq!(
        (machine.power, &machine.readiness),
        (Power::Running, &Readiness::Waiting)
    );
    let secret = new.content(&machine.name);
    assert!(seed_holds(&data_dir, &machine.name, &secret));
    assert!(!seed_holds(
        &data_dir,
        &machine.name,
        &old.content(&machine.name)
    ));
    let again = told(provider.create(&batch, &old).await);
    assert!(seed_holds(&data_dir, &machine.name, &secret));
    assert_eq!(again.machines[0].id, machine.id);
    let running = arguments(pid(&data_dir, machine));
    assert!(running.contains(" -m 512M "), "{running}");

    timed("ready", wait_ready(&*provider)).await;
    let knows = ask(port);
    let address = machine.address.unwrap().to_string();
    assert_eq!(knows["host"], machine.name);
    assert!(
        knows["addresses"].starts_with(&format!("{address} ")),
        "{knows:?}"
    );
    assert_eq!(
        (knows["boots"].as_str(), knows["media"].as_str()),
        ("1", "handed over")
    );
    assert_eq!(knows["private"], secret);
    assert_eq!(knows["modes"], "500 root 500 root 400 root");
    assert_eq!(knows["nobody"], "cannot");
    assert_eq!(
        (&knows["name"], &knows["address"]),
        (&machine.name, &address)
    );
    let disk: u32 = knows["disk"].parse().unwrap();
    assert!((8500..9216).contains(&disk), "{knows:?}");

    // It dies, is seen to be dead, and starts again with its disk.
    let killed = pid(&data_dir, machine);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(killed.try_into().unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while look(&*provider).await.unwrap().power != Power::Stopped {
        assert!(Instant::now() < deadline, "it is not seen to be dead");
    }
    let update = |template: Option<Template>| Update {
        machines: vec![machine.id.clone()],
        attributes: template.iter().map(|_| "memory".to_owned()).collect(),
        template,
        start: true,
        set_labels: BTreeMap::new(),
        remove_labels: Vec::new(),
    };
    told(provider.update(&update(None)).await);
    assert_eq!(
        look(&*provider).await.unwrap().readiness,
        Readiness::Waiting
    );
    timed("ready again", wait_ready(&*provider)).await;
    assert_eq!(ask(port)["boots"], "2");

    // More memory takes a restart, in which it shuts down by itself.
    let larger = template_with("640MiB");
    timed("restart", async {
        told(provider.update(&update(Some(larger))).await)
    })
    .await;
    let restarted = pid(&data_dir, machine);
    assert!(arguments(restarted).contains(" -m 640M "));
    let found = look(&*provider).await.unwrap();
    assert_eq!(found.attributes["memory"], json!("640MiB"));

    // Deleted while it boots, it leaves nothing.
    timed("delete", async {
        told(
            provider
                .delete(STACK, std::slice::from_ref(&machine.id))
                .await,
        )
    })
    .await;
    assert_eq!(look(&*provider).await, None);
    assert!(!arguments(restarted).contains("qemu"));
    fs::remove_file(&note).unwrap();
    let left: Vec<_> = fs::read_dir(&data_dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["images", "lock"].contains(&name.as_str()))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}
