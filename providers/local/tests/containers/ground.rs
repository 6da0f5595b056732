//! A data folder of a test's own, and what can be seen of its machines from outside.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshvm_provider_api::{
    Batch, BatchKey, Hash, Kind, Labels, Machine, MachineId, Media, OpenContext, Ownership, Power,
    Progress, Provider, Query, Readiness, Requests, Shared, Template,
};
use meshvm_provider_local::{LocalKind, doctor};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// The stack of all tests.
pub const STACK: &str = "test";

/// User-data that does nothing but say that it was here.
pub const QUICK: &str = "\
#cloud-config
runcmd:
  - [mkdir, -p, /var/lib/meshvm]
  - [sh, -c, 'echo ''{\"state\":\"ready\"}'' > /var/lib/meshvm/new && mv /var/lib/meshvm/new /var/lib/meshvm/result.json']
";

/// A data folder, and the provider on it.
pub struct Ground {
    pub data_dir: PathBuf,
    pub requests: Requests,
    folder: Option<TempDir>,
}

impl Ground {
    /// Makes an empty data folder.
    pub fn new() -> Self {
        for check in doctor() {
            let needed = check.backend.to_string() == "container";
            let fix = check.fix.unwrap_or_default();
            assert!(
                check.ok || !needed,
                "{}: {}; mend it with: {fix}",
                check.name,
                check.detail
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let images = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        fs::create_dir_all(&images).unwrap();
        let data_dir = folder.path().canonicalize().unwrap();
        symlink(images, data_dir.join("images")).unwrap();
        let mut ground = Self::at(data_dir);
        ground.folder = Some(folder);
        ground
    }

    /// Takes over a data folder of another process.
    pub fn at(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            requests: Requests::default(),
            folder: None,
        }
    }

    pub fn context(&self) -> OpenContext {
        OpenContext {
            data_dir: self.data_dir.clone(),
            requests: self.requests.clone(),
            progress: Progress::new(|line| eprintln!("{line}")),
            shared: Shared::default(),
        }
    }

    pub async fn open(&self) -> Arc<dyn Provider> {
        let template = template(&json!({}));
        LocalKind
            .open(Some(&template), &template.scope, &self.context())
            .await
            .unwrap()
    }

    /// Returns everything of the stack.
    pub async fn list(&self) -> Vec<Machine> {
        let query = Query::Stack(STACK.to_owned());
        self.open().await.observe(&query).await.unwrap()
    }

    /// Deletes everything of the stack, and checks that nothing is left.
    pub async fn clear(self) {
        let machines: Vec<MachineId> = self.list().await.into_iter().map(|m| m.id).collect();
        self.open().await.delete(STACK, &machines).await.unwrap();
        self.assert_clean("at the end").await;
    }

    /// Checks that nothing of this data folder is left; what was killed may need a moment to be gone.
    pub async fn assert_clean(&self, when: &str) {
        let begin = Instant::now();
        loop {
            let left = self.leftovers();
            if left.is_empty() {
                return;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(3),
                "{when}: {left:#?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every machine of the stack satisfies something.
    pub async fn wait(&self, what: &str, done: impl Fn(&Machine) -> bool) -> Vec<Machine> {
        let begin = Instant::now();
        loop {
            let machines = self.list().await;
            if !machines.is_empty() && machines.iter().all(&done) {
                return machines;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "not {what} after 60 s: {machines:#?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until every machine of the stack is ready.
    pub async fn ready(&self) -> Vec<Machine> {
        self.wait("ready", |machine| {
            if let Readiness::Failed { reason } = &machine.readiness {
                panic!("{}: {reason}", machine.name);
            }
            machine.power == Power::Running && machine.readiness == Readiness::Ready
        })
        .await
    }

    /// Returns what names of this data folder have in common.
    pub fn mark(&self) -> String {
        let mut hash = Hash::of(self.data_dir.as_os_str().as_encoded_bytes()).to_string();
        hash.truncate(6);
        hash
    }

    /// Returns the name of a machine's cgroups and network namespace.
    pub fn unit(&self, name: &str) -> String {
        format!("meshvm-{}-{name}", self.mark())
    }

    /// Returns the folder of a machine.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.data_dir.join("machines").join(name)
    }

    /// Returns the cgroups of this data folder's machines, in all hierarchies.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let mut found = Vec::new();
        for folder in [top.to_owned()].into_iter().chain(folders(top)) {
            let here = folders(&folder);
            let marked =
                |path: &PathBuf| self.is_marked(&path.file_name().unwrap().to_string_lossy());
            found.extend(here.into_iter().filter(marked));
        }
        found
    }

    fn is_marked(&self, text: &str) -> bool {
        let mark = self.mark();
        ["meshvm-", "meshvm_", "mv"]
            .iter()
            .any(|prefix| text.contains(&format!("{prefix}{mark}")))
    }

    /// Kills every process of a machine at once, as a power cut would.
    pub async fn kill(&self, id: &MachineId) {
        let unit = self.unit(&name(id));
        let kill = self
            .cgroups()
            .into_iter()
            .filter(|path| path.to_string_lossy().contains(&unit))
            .map(|path| path.join("cgroup.kill"))
            .find(|path| path.exists())
            .unwrap();
        let events = kill.with_file_name("cgroup.events");
        fs::write(kill, "1").unwrap();
        while fs::read_to_string(&events).is_ok_and(|text| text.contains("populated 1")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns whatever is on this computer for the machines of this data folder.
    fn leftovers(&self) -> BTreeSet<String> {
        let mut left = BTreeSet::new();
        let path = |path: PathBuf| path.display().to_string();
        left.extend(self.cgroups().into_iter().map(path));
        for top in ["/run/netns", "/run/meshvm", "/run/systemd/transient"] {
            let marked = |path: &String| self.is_marked(path);
            left.extend(entries(Path::new(top)).into_iter().map(path).filter(marked));
        }
        let devices = fs::read_to_string("/proc/net/dev").unwrap();
        let devices = devices.lines().filter(|line| self.is_marked(line));
        left.extend(devices.map(str::to_owned));
        let rules = run("nft", &["list", "ruleset"]);
        left.extend(
            lines(&rules)
                .into_iter()
                .filter(|line| self.is_marked(line)),
        );
        for process in entries(Path::new("/proc")) {
            for file in ["cmdline", "mountinfo"] {
                let text = fs::read(process.join(file)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text).replace('\0', " ");
                let ours = text.contains(&*self.data_dir.to_string_lossy());
                if ours || self.is_marked(&text) {
                    left.insert(format!("{}: {text}", process.join(file).display()));
                }
            }
        }
        let kept = ["images", "lock"].map(|name| self.data_dir.join(name));
        let files = entries(&self.data_dir)
            .into_iter()
            .filter(|path| !kept.contains(path));
        left.extend(files.map(path));
        left
    }
}

/// A test that fails takes its machines along, too.
impl Drop for Ground {
    fn drop(&mut self) {
        if !std::thread::panicking() || self.folder.is_none() {
            return;
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                runtime.block_on(async {
                    let provider = self.open().await;
                    let entries = entries(&self.data_dir.join("machines")).into_iter();
                    for path in entries.map(|folder| folder.join("machine.json")) {
                        let text = fs::read(path).unwrap_or_default();
                        let record: Value = serde_json::from_slice(&text).unwrap_or_default();
                        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                        let id = MachineId(text(&record["id"]));
                        let stack = text(&record["labels"]["meshvm-stack"]);
                        if let Err(error) = provider.delete(&stack, &[id]).await {
                            eprintln!("{error}");
                        }
                    }
                });
            });
        });
    }
}

/// Returns a template of small machines, changed by a block.
pub fn template(block: &Value) -> Template {
    let mut settings = json!({"memory": "256MiB"});
    for (key, value) in block.as_object().unwrap() {
        settings[key] = value.clone();
    }
    LocalKind.template(&settings, Path::new("/")).unwrap()
}

/// Returns a batch of so many machines.
pub fn batch(key: Uuid, count: u32, user_data: &str, media: Vec<Media>) -> Batch {
    let key = BatchKey(key);
    Batch {
        key,
        ownership: Ownership {
            stack: STACK.to_owned(),
            fleet: "fleet".to_owned(),
            batch: Some(key),
            spec: Hash::of("spec"),
            user_data: Some(Hash::of(user_data)),
        },
        labels: Labels::new(),
        zone: "local".to_owned(),
        count,
        template: template(&json!({})),
        user_data: user_data.to_owned(),
        media,
    }
}

/// Returns the name of a machine, which is what its id begins with.
pub fn name(id: &MachineId) -> String {
    id.0.rsplit_once('-').unwrap().0.to_owned()
}

/// Runs a program of this computer.
pub fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap()
}

/// Runs a command inside of a machine.
pub fn enter(ground: &Ground, name: &str, command: &[&str]) -> Output {
    let pid = first_process(ground, name).unwrap();
    let args = ["-t", &pid, "-a", "--"];
    let args: Vec<&str> = args.into_iter().chain(command.iter().copied()).collect();
    run("nsenter", &args)
}

/// Returns the first process of a container: the child of its systemd-nspawn.
pub fn first_process(ground: &Ground, name: &str) -> Option<String> {
    let unit = ground.unit(name);
    for path in ground.cgroups() {
        if !path.to_string_lossy().contains(&unit) {
            continue;
        }
        let procs =
            ["payload/init.scope", "payload"].map(|below| path.join(below).join("cgroup.procs"));
        for file in procs {
            let text = fs::read_to_string(file).unwrap_or_default();
            if let Some(pid) = text.lines().next() {
                return Some(pid.to_owned());
            }
        }
    }
    None
}

/// Returns the lines that a program wrote.
pub fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(str::to_owned).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let is_folder = |path: &PathBuf| path.symlink_metadata().is_ok_and(|data| data.is_dir());
    entries(folder).into_iter().filter(is_folder).collect()
}
