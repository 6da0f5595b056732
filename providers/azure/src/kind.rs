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

use crate::compare;
use crate::connect;
use crate::provider::AzureProvider;
use crate::recipe::Recipe;
use crate::settings::{AzureSettings, NAME};

/// The most bytes of user-data, before it is encoded: less than 64 KiB
/// (<https://learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update>, `customData`).
pub(crate) const USER_DATA_LIMIT: usize = 65_535;

/// The most machines of one step. Azure has no call for several: this bounds what a step begins
/// before its end is written down.
pub(crate) const MAX_BATCH: u32 = 200;

static INFO: Info = Info {
    name: NAME,
    summary: "machines on Azure",
    schema: || schemars::schema_for!(AzureSettings),
    user_data: UserDataRules {
        limit: USER_DATA_LIMIT,
        gzip: true,
    },
    max_batch: MAX_BATCH,
    // Lists are served from caches of Resource Manager's; how old they may be is nowhere promised.
    listing_lag: Duration::from_secs(120),
    poll: Duration::from_secs(2),
    // Patience for what an interrupted run may have done; names guard creation for all the lag.
    polls: 15,
    private_files: false,
    // Each request is paced by itself: an operation is many of them.
    rate: None,
    resolves: true,
    global_ids: false,
};

/// The `azure` provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct AzureKind;

#[async_trait]
impl Kind for AzureKind {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn template(&self, settings: &Value, _: &Path) -> Result<Template, Vec<Finding>> {
        let recipe = Recipe {
            asked: AzureSettings::read(settings)?,
            found: None,
        };
        recipe.template()
    }

    fn compare(&self, template: &Template, machine: &Machine) -> Vec<Difference> {
        compare::compare(template, machine)
    }

    fn has_parts(&self, template: &Template) -> bool {
        Recipe::of(template).is_ok_and(|recipe| recipe.asked.create_resource_group)
    }

    async fn open(
        &self,
        _: Option<&Template>,
        scope: &Scope,
        context: &OpenContext,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        let client = connect::client(scope, context.requests.clone())?;
        // A group holds the machines of several locations, which are a scope each.
        let group = format!("{}{}", client.place.endpoint, client.place.group_path());
        let group = context.shared.of(&group.to_ascii_lowercase());
        Ok(Arc::new(AzureProvider::new(client, scope.clone(), group)))
    }
}
