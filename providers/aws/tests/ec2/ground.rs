//! A server, a proxy and an account of a test's own, and the few moves that tests are made of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use meshvm_ec2::{Manners, Moto, Proxy};
use meshvm_provider_api::layers::{Meter, Retry, wrap};
use meshvm_provider_api::{
    Batch, BatchKey, Created, Effort, Hash, Kind, Labels, Machine, MachineId, NoPrivateFiles,
    OpenContext, Ownership, Progress, Provider, ProviderError, Query, Requests, Shared, Template,
    Update,
};
use meshvm_provider_aws::AwsKind;
use serde_json::{Value, json};

pub const REGION: &str = "eu-west-1";
pub const STACK: &str = "shop";

static MOTO: LazyLock<Moto> = LazyLock::new(Moto::start);

/// An account of its own, and a proxy before the server.
pub struct Ground {
    pub proxy: Proxy,
    /// For what others do.
    pub ec2: aws_sdk_ec2::Client,
    pub kind: AwsKind,
    pub requests: Requests,
}

/// Returns credentials, which the server does not check.
fn anybody() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new("key", "secret", None, None, "test"))
}

impl Ground {
    pub async fn new() -> Self {
        Self::with(Manners::default()).await
    }

    pub async fn with(manners: Manners) -> Self {
        Self::on(&MOTO, anybody(), manners).await
    }

    async fn on(moto: &Moto, credentials: SharedCredentialsProvider, manners: Manners) -> Self {
        Self::before(Proxy::start(moto.address(), manners).await, credentials).await
    }

    /// Makes one behind a proxy that is there already.
    pub async fn before(proxy: Proxy, credentials: SharedCredentialsProvider) -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials.clone())
            .endpoint_url(proxy.side_door())
            .load()
            .await;
        Self {
            proxy,
            ec2: aws_sdk_ec2::Client::new(&config),
            kind: AwsKind::with_credentials(credentials),
            requests: Requests::default(),
        }
    }

    /// Returns the template of a block: the least one with these changes, as the cloud has not
    /// seen it yet.
    pub fn named(&self, change: &Value) -> Template {
        let mut block = json!({
            "region": REGION,
            "zones": ["eu-west-1a"],
            "instanceType": "m7g.large",
            "image": {"owner": "137112412989", "name": "al2023-ami-2023.*-kernel-6.1-arm64"},
            "endpoint": self.proxy.endpoint(),
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
        let retry = Retry::paced_by(std::time::Duration::from_millis(20), Meter::default());
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

    /// Returns how often each call was made since the last look.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let calls = self.proxy.calls();
        self.proxy.forget_calls();
        calls
    }
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
