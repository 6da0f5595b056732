//! Lets the fleets of any provider run on the simulated cloud.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use meshvm_provider_api::{
    Difference, Finding, Info, Kind, Machine, OpenContext, Provider, ProviderError, Scope, Template,
};
use serde_json::Value;

use crate::cloud::SimCloud;
use crate::kind::{LISTING_LAG, POLL, POLLS};
use crate::provider::SimProvider;

/// A provider that checks and compares as another one, and makes its machines in a simulated cloud.
///
/// `K` points to the other: an `Arc<dyn Kind>` or a `&'static dyn Kind`. What a
/// change takes (in place, a restart, a new machine) is the other's judgement.
pub struct Simulated<K> {
    inner: K,
    info: &'static Info,
    cloud: SimCloud,
}

impl<K> Simulated<K>
where
    K: Deref<Target = dyn Kind> + Clone + Send + Sync + 'static,
{
    /// Makes `inner` run on `cloud`.
    ///
    /// Leaks a few words: the contract wants the information about a provider
    /// to live for ever, and here it is made up at run time.
    pub fn new(inner: K, cloud: SimCloud) -> Self {
        let info = Info {
            listing_lag: LISTING_LAG,
            poll: POLL,
            polls: POLLS,
            private_files: false,
            rate: None,
            ..*inner.info()
        };
        Self {
            inner,
            info: Box::leak(Box::new(info)),
            cloud,
        }
    }
}

#[async_trait]
impl<K> Kind for Simulated<K>
where
    K: Deref<Target = dyn Kind> + Clone + Send + Sync + 'static,
{
    fn info(&self) -> &'static Info {
        self.info
    }

    fn member_ports(&self) -> Option<&'static str> {
        self.inner.member_ports()
    }

    fn template(&self, settings: &Value, base_dir: &Path) -> Result<Template, Vec<Finding>> {
        self.inner.template(settings, base_dir)
    }

    fn compare(&self, template: &Template, machine: &Machine) -> Vec<Difference> {
        self.inner.compare(template, machine)
    }

    fn has_parts(&self, template: &Template) -> bool {
        self.inner.has_parts(template)
    }

    fn is_protected(&self, machine: &Machine) -> bool {
        self.inner.is_protected(machine)
    }

    async fn open(
        &self,
        _: Option<&Template>,
        scope: &Scope,
        context: &OpenContext,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        let inner = self.inner.clone();
        Ok(Arc::new(SimProvider {
            cloud: self.cloud.clone(),
            scope: scope.clone(),
            max_batch: self.info.max_batch,
            compare: Arc::new(move |template, machine| inner.compare(template, machine)),
            requests: context.requests.clone(),
        }))
    }
}
