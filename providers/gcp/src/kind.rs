//! The pure half of the provider.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meshvm_provider_api::{
    Difference, Finding, Info, Kind, Machine, OpenContext, Provider, ProviderError, Scope,
    Template, UserDataRules,
};
use serde_json::Value;

use crate::attributes::DELETION_PROTECTION;
use crate::client::Client;
use crate::compare;
use crate::connect;
use crate::provider::GcpProvider;
use crate::recipe::Recipe;
use crate::settings::{GcpSettings, NAME};

/// The most bytes of user-data, which is one item of metadata
/// (<https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#limitations>).
const USER_DATA_LIMIT: usize = 256 * 1024;

/// The most machines of one request: `bulkInsert` takes 1,000 at least
/// (<https://cloud.google.com/compute/docs/instances/multiple/about-bulk-creation>).
const MAX_BATCH: u32 = 1000;

static INFO: Info = Info {
    name: NAME,
    summary: "machines on Google Compute Engine",
    schema: || schemars::schema_for!(GcpSettings),
    user_data: UserDataRules {
        limit: USER_DATA_LIMIT,
        gzip: false,
    },
    max_batch: MAX_BATCH,
    // Listings follow operations within seconds; nothing promises it.
    listing_lag: Duration::from_secs(60),
    poll: Duration::from_secs(2),
    polls: 15,
    private_files: false,
    // Each request is paced by itself: an operation may be many of them.
    rate: None,
    resolves: true,
    global_ids: true,
};

/// The `gcp` provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct GcpKind;

#[async_trait]
impl Kind for GcpKind {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn member_ports(&self) -> Option<&'static str> {
        Some("/firewall/owned/ports")
    }

    fn template(&self, settings: &Value, _: &Path) -> Result<Template, Vec<Finding>> {
        let recipe = Recipe {
            asked: GcpSettings::read(settings)?,
            found: None,
        };
        recipe.template()
    }

    fn compare(&self, template: &Template, machine: &Machine) -> Vec<Difference> {
        compare::compare(template, machine)
    }

    fn has_parts(&self, template: &Template) -> bool {
        Recipe::of(template).is_ok_and(|recipe| recipe.asked.firewall.is_some())
    }

    fn is_protected(&self, machine: &Machine) -> bool {
        machine.attributes.get(DELETION_PROTECTION) == Some(&Value::Bool(true))
    }

    async fn open(
        &self,
        _: Option<&Template>,
        scope: &Scope,
        context: &OpenContext,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        let apis = connect::apis(scope).await?;
        let client = Client::new(apis, context.requests.clone());
        // Firewall rules are the project's, and its other regions' scopes know what stays.
        let rules = context.shared.of(&client.apis.project);
        Ok(Arc::new(GcpProvider::new(client, scope.clone(), rules)))
    }
}
