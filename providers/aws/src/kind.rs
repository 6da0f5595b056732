//! The pure half of the provider.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::config::SharedCredentialsProvider;
use meshvm_provider_api::{
    Difference, Finding, Info, Kind, Machine, OpenContext, Provider, ProviderError, Scope,
    Template, UserDataRules,
};
use serde_json::Value;

use crate::attributes::TERMINATION_PROTECTION;
use crate::client::Client;
use crate::compare;
use crate::connect;
use crate::provider::AwsProvider;
use crate::recipe::Recipe;
use crate::settings::{AwsSettings, NAME};

/// The most bytes of user-data, before it is encoded
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html>).
pub(crate) const USER_DATA_LIMIT: usize = 16_384;

/// The most machines of one request: `RunInstances` with more tends to fail as a whole, and
/// requests that name ids take 1,000.
pub(crate) const MAX_BATCH: u32 = 500;

static INFO: Info = Info {
    name: NAME,
    summary: "machines on Amazon EC2",
    schema: || schemars::schema_for!(AwsSettings),
    user_data: UserDataRules {
        limit: USER_DATA_LIMIT,
        gzip: true,
    },
    max_batch: MAX_BATCH,
    // EC2 promises that listings catch up and not when; minutes were seen
    // (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>).
    listing_lag: Duration::from_secs(300),
    poll: Duration::from_secs(2),
    // Patience for what an interrupted run may have done; tokens guard creation for all the lag.
    polls: 15,
    private_files: false,
    // Each request is paced by itself: an operation may be many of them.
    rate: None,
    resolves: true,
    global_ids: true,
};

/// The `aws` provider.
#[derive(Clone, Debug, Default)]
pub struct AwsKind {
    /// The credentials; absent to find some as the SDK does.
    credentials: Option<SharedCredentialsProvider>,
}

impl AwsKind {
    /// Makes the provider with these credentials, in place of those that the SDK finds.
    pub fn with_credentials(credentials: SharedCredentialsProvider) -> Self {
        Self {
            credentials: Some(credentials),
        }
    }
}

#[async_trait]
impl Kind for AwsKind {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn member_ports(&self) -> Option<&'static str> {
        Some("/securityGroup/owned/ports")
    }

    fn template(&self, settings: &Value, _: &Path) -> Result<Template, Vec<Finding>> {
        let recipe = Recipe {
            asked: AwsSettings::read(settings)?,
            found: None,
        };
        recipe.template()
    }

    fn compare(&self, template: &Template, machine: &Machine) -> Vec<Difference> {
        compare::compare(template, machine)
    }

    fn has_parts(&self, template: &Template) -> bool {
        Recipe::of(template).is_ok_and(|recipe| recipe.asked.security_group.is_some())
    }

    fn is_protected(&self, machine: &Machine) -> bool {
        machine.attributes.get(TERMINATION_PROTECTION) == Some(&Value::Bool(true))
    }

    async fn open(
        &self,
        _: Option<&Template>,
        scope: &Scope,
        context: &OpenContext,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        let config = connect::config(scope, self.credentials.as_ref()).await?;
        let client = Client::new(&config, context.requests.clone());
        Ok(Arc::new(AwsProvider::new(client, scope.clone())))
    }
}
