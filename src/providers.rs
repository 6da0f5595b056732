//! The one list of providers, and connections to their scopes.
//!
//! A new provider is one line in [`kinds`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use meshvm_provider_api::layers::{Meter, Operation, OperationMetrics, Pace, Retry, wrap};
use meshvm_provider_api::{
    Kind, OpenContext, Progress, Provider, ProviderError, Requests, Scope, Shared, Template,
};
use meshvm_provider_sim::{SimCloud, Simulated};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::mesh::kubernetes::CallMetrics;

/// The providers of this build, by name.
pub type Kinds = BTreeMap<&'static str, Arc<dyn Kind>>;

/// Returns the providers of this build, each on its own cloud.
///
/// `sim` is the cloud that the provider of that name talks to.
pub fn kinds(sim: &SimCloud) -> Kinds {
    let all: Vec<Arc<dyn Kind>> = vec![
        Arc::new(sim.kind()),
        #[cfg(feature = "local")]
        Arc::new(meshvm_provider_local::LocalKind),
        #[cfg(feature = "aws")]
        Arc::new(meshvm_provider_aws::AwsKind::default()),
        #[cfg(feature = "azure")]
        Arc::new(meshvm_provider_azure::AzureKind),
        #[cfg(feature = "gcp")]
        Arc::new(meshvm_provider_gcp::GcpKind),
    ];
    by_name(all)
}

/// Returns the providers of this build, all of them on the simulated cloud.
pub fn simulated(sim: &SimCloud) -> Kinds {
    let all = kinds(sim).into_values();
    by_name(all.map(|kind| Arc::new(Simulated::new(kind, sim.clone())) as Arc<dyn Kind>))
}

fn by_name(kinds: impl IntoIterator<Item = Arc<dyn Kind>>) -> Kinds {
    kinds
        .into_iter()
        .map(|kind| (kind.info().name, kind))
        .collect()
}

/// Connections to scopes, opened at first use and kept.
pub struct Connections {
    kinds: Kinds,
    data_dir: PathBuf,
    progress: Progress,
    requests: Requests,
    meters: BTreeMap<&'static str, Meter>,
    shared: Shared,
    /// How the file says that scopes are reached.
    reached: BTreeMap<Scope, BTreeSet<Access>>,
    open: Mutex<BTreeMap<(Scope, Access), Arc<dyn Provider>>>,
}

/// By what a scope is reached.
type Access = BTreeMap<String, String>;

/// What the providers and the cluster were asked, for people and for pipelines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Operations by provider.
    pub operations: BTreeMap<&'static str, BTreeMap<Operation, OperationMetrics>>,
    /// Requests over the wire, by name.
    pub requests: BTreeMap<&'static str, u64>,
    /// Calls to the mesh's cluster, by kind and verb.
    pub cluster: CallMetrics,
}

impl Connections {
    /// Prepares to connect; opens nothing.
    pub fn new(kinds: Kinds, data_dir: PathBuf, progress: Progress) -> Self {
        Self {
            meters: kinds.keys().map(|&name| (name, Meter::default())).collect(),
            kinds,
            data_dir,
            progress,
            requests: Requests::default(),
            shared: Shared::default(),
            reached: BTreeMap::new(),
            open: Mutex::default(),
        }
    }

    /// Reaches scopes as the file says, also where the ledger remembers another way: credentials
    /// that were taken out of the file may be gone.
    pub fn reaching<'a>(mut self, scopes: impl IntoIterator<Item = &'a Scope>) -> Self {
        for scope in scopes {
            let reached = self.reached.entry(scope.clone()).or_default();
            reached.insert(scope.access.clone());
        }
        self
    }

    /// Returns a scope as it is reached now.
    fn as_reached(&self, scope: &Scope) -> Scope {
        let known = self.reached.get(scope);
        let known = known.filter(|known| !known.contains(&scope.access));
        let access = known.and_then(BTreeSet::first).unwrap_or(&scope.access);
        Scope {
            access: access.clone(),
            ..scope.clone()
        }
    }

    /// Returns the pure halves of the providers.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Returns the pure half of a scope's provider.
    ///
    /// # Errors
    /// `Environment` when this build does not have it.
    pub fn kind(&self, scope: &Scope) -> Result<&Arc<dyn Kind>, ProviderError> {
        self.kinds
            .get(scope.provider.as_str())
            .ok_or_else(|| missing(&scope.provider))
    }

    /// Connects to a scope, inside all layers.
    ///
    /// # Errors
    /// Those of [`Kind::open`], and `Environment` when this build does not have the provider.
    pub async fn open(
        &self,
        scope: &Scope,
        template: Option<&Template>,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        let scope = &self.as_reached(scope);
        let key = (scope.clone(), scope.access.clone());
        let mut open = self.open.lock().await;
        if let Some(provider) = open.get(&key) {
            return Ok(Arc::clone(provider));
        }
        let kind = self.kind(scope)?;
        let context = OpenContext {
            data_dir: self.data_dir.clone(),
            requests: self.requests.clone(),
            progress: self.progress.clone(),
            shared: self.shared.clone(),
        };
        let info = kind.info();
        let mut provider = kind.open(template, scope, &context).await?;
        if let Some(rate) = info.rate {
            provider = wrap(provider, Pace::per_second(rate));
        }
        let meter = self.meters.get(info.name).cloned().unwrap_or_default();
        provider = wrap(provider, Retry::paced_by(info.poll, meter.clone()));
        provider = wrap(provider, meter);
        open.insert(key, Arc::clone(&provider));
        Ok(provider)
    }

    /// Returns what the providers were asked so far, and nothing of the cluster.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            operations: self
                .meters
                .iter()
                .map(|(&name, meter)| (name, meter.snapshot()))
                .filter(|(_, operations)| !operations.is_empty())
                .collect(),
            requests: self.requests.snapshot(),
            cluster: CallMetrics::new(),
        }
    }
}

fn missing(provider: &str) -> ProviderError {
    ProviderError::new(
        meshvm_provider_api::ErrorClass::Environment,
        format!("this build has no provider `{provider}`"),
    )
    .with_hint("use the released binary, or build with `--features all`")
}
