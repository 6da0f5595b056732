//! A double of a test's own, and the few moves that tests are made of.

use std::any::type_name_of_val;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use meshvm_gce::{Gce, Manners};
use meshvm_provider_api::layers::{Meter, Retry, wrap};
use meshvm_provider_api::{
    Batch, BatchKey, Created, Effort, Hash, Kind, Labels, Machine, MachineId, NoPrivateFiles,
    OpenContext, Ownership, Progress, Provider, ProviderError, Query, Requests, Shared, Template,
    Update,
};
use meshvm_provider_gcp::GcpKind;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub const STACK: &str = "shop";
pub const PROJECT: &str = "acme-vms";
pub const REGION: &str = "europe-west1";
/// What tells the inner process that it is it.
const INNER: &str = "MESHVM_GCE_INNER";

/// Runs a test in a process whose default credentials are those of a double: they come from the
/// environment, which a process that has threads must not change.
pub fn on_gce<T: AsyncFnOnce()>(test: T) {
    on_gce_with(&[], test);
}

/// The same, with more in the environment.
pub fn on_gce_with<T: AsyncFnOnce()>(more: &[(&str, &str)], test: T) {
    let runtime = Runtime::new().unwrap();
    if std::env::var_os(INNER).is_some() {
        return runtime.block_on(test());
    }
    // A closure is called by the test that it is in.
    let name = type_name_of_val(&test);
    let name = name.split_once("::").unwrap().1;
    let name = name.split("::{{closure}}").next().unwrap();
    // It only hands out tokens, which are good on every other one.
    let tokens = runtime.block_on(Gce::start(Manners::default()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    std::fs::write(&file, tokens.credentials().to_string()).unwrap();
    let run = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INNER, "1")
        .env("GOOGLE_APPLICATION_CREDENTIALS", &file)
        .envs(more.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{name}\n{said}\n{errors}");
    assert!(said.contains("1 passed"), "there is no test `{name}`");
    print!("{said}");
}

/// A double, and the provider as it is given to the engine.
pub struct Ground {
    pub gce: Gce,
    pub kind: GcpKind,
    pub requests: Requests,
}

impl Ground {
    pub async fn new() -> Self {
        Self::with(Manners::default()).await
    }

    pub async fn with(manners: Manners) -> Self {
        Self {
            gce: Gce::start(manners).await,
            kind: GcpKind,
            requests: Requests::default(),
        }
    }

    /// Returns the template of a block: the least one with these changes, as the cloud has not
    /// seen it yet.
    pub fn named(&self, change: &Value) -> Template {
        let mut block = json!({
            "project": PROJECT,
            "region": REGION,
            "machineType": "e2-small",
            "image": {"project": "debian-cloud", "family": "debian-12"},
            "endpoint": self.gce.endpoint(),
        });
        for (key, value) in change.as_object().unwrap() {
            block[key] = value.clone();
        }
        self.kind.template(&block, Path::new("")).unwrap()
    }

    /// Returns the same with all that the cloud says of it.
    pub async fn template(&self, change: &Value) -> Template {
        let named = self.named(change);
        let provider = self.open(&named).await;
        provider.prepare(&named, Effort::Look).await.unwrap()
    }

    pub fn context(&self) -> OpenContext {
        OpenContext {
            data_dir: PathBuf::new(),
            requests: self.requests.clone(),
            progress: Progress::silent(),
            shared: Shared::default(),
        }
    }

    pub async fn open(&self, template: &Template) -> Arc<dyn Provider> {
        let context = self.context();
        let opened = self.kind.open(Some(template), &template.scope, &context);
        opened.await.unwrap()
    }

    /// Opens as the engine does, inside retries.
    pub async fn patient(&self, template: &Template) -> Arc<dyn Provider> {
        let retry = Retry::paced_by(Duration::from_millis(20), Meter::default());
        wrap(self.open(template).await, retry)
    }

    /// Makes machines from a template, all that are asked for.
    pub async fn make(&self, template: &Template, count: u32) -> Vec<Machine> {
        let created = self.create(&batch(template, count)).await.unwrap();
        assert_eq!(created.shortfall, None);
        created.machines
    }

    pub async fn create(&self, batch: &Batch) -> Result<Created, ProviderError> {
        let provider = self.open(&batch.template).await;
        provider.create(batch, &NoPrivateFiles).await
    }

    pub async fn list(&self, template: &Template) -> Vec<Machine> {
        let provider = self.open(template).await;
        let query = Query::Stack(STACK.to_owned());
        provider.observe(&query).await.unwrap()
    }

    pub async fn delete(&self, template: &Template, machines: &[Machine]) {
        let provider = self.open(template).await;
        provider.delete(STACK, &ids(machines)).await.unwrap();
    }

    /// Returns in what machines are not what a template asks for.
    pub fn differences(&self, template: &Template, machines: &[Machine]) -> Vec<String> {
        let all = machines
            .iter()
            .flat_map(|machine| self.kind.compare(template, machine));
        all.map(|difference| difference.attribute).collect()
    }

    pub async fn update(
        &self,
        template: &Template,
        machines: &[Machine],
        attributes: &[&str],
    ) -> Result<(), ProviderError> {
        let update = Update {
            machines: ids(machines),
            template: Some(template.clone()),
            attributes: attributes.iter().map(|&name| name.to_owned()).collect(),
            start: false,
            set_labels: Labels::new(),
            remove_labels: Vec::new(),
        };
        self.open(template).await.update(&update).await
    }

    /// Returns how often each call arrived since the last look.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let calls = self.gce.calls();
        self.gce.forget_calls();
        calls
    }

    /// Somebody else does something to a machine.
    pub fn others(&self, verb: &str, machine: &Machine, what: &str, body: Option<&Value>) {
        let path = format!("{}{what}", address(&machine.zone, &machine.name));
        self.gce.ask(verb, &path, body);
    }
}

/// Returns the address of a machine.
pub fn address(zone: &str, name: &str) -> String {
    format!("/compute/v1/projects/{PROJECT}/zones/{zone}/instances/{name}")
}

/// Returns a batch under a fresh key.
pub fn batch(template: &Template, count: u32) -> Batch {
    let key = BatchKey(uuid::Uuid::new_v4());
    let user_data = "#cloud-config\n{}\n".to_owned();
    Batch {
        key,
        ownership: Ownership {
            stack: STACK.to_owned(),
            fleet: "web".to_owned(),
            batch: Some(key),
            spec: Hash::of("spec"),
            user_data: Some(Hash::of(&user_data)),
        },
        labels: Labels::new(),
        zone: template.zones[0].clone(),
        count,
        template: template.clone(),
        user_data,
        media: Vec::new(),
    }
}

pub fn ids(machines: &[Machine]) -> Vec<MachineId> {
    machines.iter().map(|machine| machine.id.clone()).collect()
}

/// Returns counts of calls as they are compared.
pub fn counts(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let expected = expected.iter();
    expected
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}
