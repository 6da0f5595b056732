//! The private files of machines: a token for each, made in the moment that its machine is.

use std::sync::Arc;

use async_trait::async_trait;
use meshvm_provider_api::{PrivateFile, PrivateFiles, ProviderError};

use crate::bootstrap::TOKEN_FILE;
use crate::mesh::{Backend, TokenFor};
use crate::plan::Plan;

/// Makes the tokens of one fleet's machines.
pub struct FleetTokens<'a> {
    plan: &'a Plan,
    fleet: &'a str,
    mesh: Option<Arc<dyn Backend>>,
}

impl<'a> FleetTokens<'a> {
    /// Prepares to make them; asks nobody yet.
    pub fn new(plan: &'a Plan, fleet: &'a str, mesh: Option<Arc<dyn Backend>>) -> Self {
        Self { plan, fleet, mesh }
    }
}

#[async_trait]
impl PrivateFiles for FleetTokens<'_> {
    async fn of(&self, machine: &str) -> Result<Vec<PrivateFile>, ProviderError> {
        let desired = &self.plan.desired;
        let fleet = desired.fleets.get(self.fleet);
        let membership = fleet.and_then(|fleet| fleet.membership.as_ref());
        let (Some(tokens), Some(membership), Some(mesh)) =
            (desired.tokens, membership, self.mesh.as_deref())
        else {
            return Ok(Vec::new());
        };
        let wanted = TokenFor {
            stack: &desired.stack,
            fleet: self.fleet,
            machine,
            namespace: membership.namespace.as_str(),
            service_account: membership.service_account.as_str(),
            ttl: tokens.ttl,
        };
        let token = mesh.token(&wanted).await.map_err(|error| {
            let message = format!("machine {machine} cannot be given a token");
            let failed = ProviderError::new(error.class(), message);
            let failed = match error.hint() {
                Some(hint) => failed.with_hint(hint),
                None => failed,
            };
            failed.with_source(error)
        })?;
        Ok(vec![PrivateFile {
            name: TOKEN_FILE.to_owned(),
            content: token,
        }])
    }
}
