//! Files that one machine alone may see: who gets them, when, and who can read them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;

use async_trait::async_trait;
use meshvm_provider_api::{
    ErrorClass, Labels, Machine, Power, PrivateFile, PrivateFiles, ProviderError, Update,
};
use uuid::Uuid;

use crate::crash;
use crate::ground::{Ground, QUICK, batch, enter, lines};

/// Where a machine finds its files.
pub const PRIVATE: &str = "/var/lib/cloud/seed/nocloud/private";

/// Gives each machine a file that says whose it is and from which source, and counts.
#[derive(Default)]
pub struct Source {
    name: &'static str,
    asked: Mutex<BTreeMap<String, u32>>,
}

impl Source {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    fn content(&self, machine: &str) -> String {
        format!("{}-secret-of-{machine}", self.name)
    }

    fn asked(&self) -> BTreeMap<String, u32> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl PrivateFiles for Source {
    async fn of(&self, machine: &str) -> Result<Vec<PrivateFile>, ProviderError> {
        let mut asked = self.asked.lock().unwrap();
        *asked.entry(machine.to_owned()).or_default() += 1;
        Ok(vec![PrivateFile {
            name: "token".to_owned(),
            content: self.content(machine).into(),
        }])
    }
}

/// Gives files of a name.
struct Named(&'static str);

#[async_trait]
impl PrivateFiles for Named {
    async fn of(&self, _: &str) -> Result<Vec<PrivateFile>, ProviderError> {
        Ok(vec![PrivateFile {
            name: self.0.to_owned(),
            content: "x".into(),
        }])
    }
}

/// Returns what a command inside of a machine writes.
fn told(ground: &Ground, machine: &Machine, command: &[&str]) -> Vec<String> {
    let output = enter(ground, &machine.name, command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    lines(&output)
}

fn token(ground: &Ground, machine: &Machine) -> Vec<String> {
    told(ground, machine, &["cat", &format!("{PRIVATE}/token")])
}

fn start(machine: &Machine) -> Update {
    Update {
        machines: vec![machine.id.clone()],
        template: None,
        attributes: Vec::new(),
        start: true,
        set_labels: Labels::new(),
        remove_labels: Vec::new(),
    }
}

/// Returns the files below a folder that hold a text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(holding(&path, text)),
            Ok(kind) if kind.is_file() => {
                let bytes = fs::read(&path).unwrap_or_default();
                if bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
                {
                    found.push(path.display().to_string());
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn only_root_of_a_machine_reads_its_files() {
    let ground = Ground::new();
    let provider = ground.open().await;
    let source = Source::new("first");
    let batch = batch(Uuid::new_v4(), 2, QUICK, Vec::new());
    provider.create(&batch, &source).await.unwrap();
    let machines = ground.ready().await;
    assert_eq!(machines.len(), 2);
    for machine in &machines {
        let secret = source.content(&machine.name);
        assert_eq!(token(&ground, machine), [secret.as_str()]);
        let file = format!("{PRIVATE}/token");
        let modes = told(&ground, machine, &["stat", "-c", "%a %U", PRIVATE, &file]);
        assert_eq!(modes, ["700 root", "600 root"]);
        let nobody = ["setpriv", "--reuid=65534", "--clear-groups", "cat", &file];
        assert!(!enter(&ground, &machine.name, &nobody).status.success());
        // What the machine cannot know by itself.
        let query = |key: &str| {
            let key = format!("ds.meta_data.meshvm.{key}");
            told(&ground, machine, &["cloud-init", "query", &key])
        };
        assert_eq!(query("name"), [machine.name.as_str()]);
        assert_eq!(query("address"), [machine.address.unwrap().to_string()]);
        // It is on its disk, and nowhere else.
        let folder = ground.folder(&machine.name);
        let place = folder.join("upper").join(&PRIVATE[1..]).join("token");
        assert_eq!(
            holding(&ground.data_dir, &secret),
            [place.display().to_string()]
        );
        for folder in [folder.as_path(), folder.parent().unwrap()] {
            let mode = fs::metadata(folder).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
        }
        assert!(!format!("{machine:?}").contains(&secret));
    }
    let once: BTreeMap<_, _> = machines.iter().map(|m| (m.name.clone(), 1)).collect();
    assert_eq!(source.asked(), once);
    // They go with their machines.
    ground.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_create_hands_over_new_files_when_it_is_repeated() {
    let ground = Ground::new();
    let (key, stopped) = crash::killed_before_a_start(&ground).await;
    assert_eq!(stopped.power, Power::Stopped);
    let batch = batch(key, crash::MACHINES, QUICK, Vec::new());
    let source = Source::new("second");
    let provider = ground.open().await;
    provider.create(&batch, &source).await.unwrap();
    for machine in ground.ready().await {
        assert_eq!(token(&ground, &machine), [source.content(&machine.name)]);
        let old = Source::new(crash::SOURCE).content(&machine.name);
        assert_eq!(holding(&ground.data_dir, &old), [""; 0]);
    }
    ground.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_never_started_has_its_seed_when_an_update_starts_it() {
    let ground = Ground::new();
    let (_, stopped) = crash::killed_before_a_start(&ground).await;
    let provider = ground.open().await;
    for machine in ground.list().await {
        provider.update(&start(&machine)).await.unwrap();
    }
    let source = Source::new(crash::SOURCE);
    let machines = ground.ready().await;
    let machine = machines.iter().find(|m| m.id == stopped.id).unwrap();
    assert_eq!(token(&ground, machine), [source.content(&machine.name)]);
    ground.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_runs_keeps_the_files_it_has() {
    let ground = Ground::new();
    let provider = ground.open().await;
    let batch = batch(Uuid::new_v4(), 1, QUICK, Vec::new());
    let (first, second) = (Source::new("first"), Source::new("second"));
    provider.create(&batch, &first).await.unwrap();
    let machine = ground.ready().await.remove(0);
    // As if the process had been killed before it wrote down that the machine was started.
    let record = ground.folder(&machine.name).join("machine.json");
    let text = fs::read_to_string(&record).unwrap();
    let made = "\"phase\": \"made\"";
    assert!(text.contains(made), "{text}");
    fs::write(&record, text.replace(made, "\"phase\": \"making\"")).unwrap();
    // Its files may have been bound to something that asking again ends.
    provider.create(&batch, &second).await.unwrap();
    assert_eq!(second.asked(), BTreeMap::new());
    assert_eq!(token(&ground, &machine), [first.content(&machine.name)]);
    assert!(fs::read_to_string(&record).unwrap().contains(made));
    ground.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_files_stay_in_their_folder() {
    let ground = Ground::new();
    let provider = ground.open().await;
    let batch = batch(Uuid::new_v4(), 1, QUICK, Vec::new());
    for name in ["", "../token", "a/b", ".hidden"] {
        let error = provider.create(&batch, &Named(name)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Invalid, "{name}: {error}");
    }
    ground.assert_clean("at the end").await;
    ground.clear().await;
}

/// A machine that ran once may have put links where its seed was.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_not_written_through_a_link_of_the_machine() {
    let ground = Ground::new();
    let provider = ground.open().await;
    let outside = tempfile::tempdir().unwrap();
    let batch = batch(Uuid::new_v4(), 1, QUICK, Vec::new());
    provider
        .create(&batch, &Source::new("first"))
        .await
        .unwrap();
    let machine = ground.ready().await.remove(0);
    ground.kill(&machine.id).await;
    let folder = ground.folder(&machine.name);
    let record = folder.join("machine.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(
        &record,
        text.replace("\"phase\": \"made\"", "\"phase\": \"making\""),
    )
    .unwrap();
    let cloud = folder.join("upper/var/lib/cloud");
    fs::remove_dir_all(&cloud).unwrap();
    std::os::unix::fs::symlink(outside.path(), &cloud).unwrap();
    let error = provider
        .create(&batch, &Source::new("second"))
        .await
        .unwrap_err();
    assert_eq!(error.class, ErrorClass::Environment, "{error}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    ground.clear().await;
}
