//! The private files of machines: a token for each, made in the moment that its machine is.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use meshvm_provider_api::{
    Batch, ErrorClass, Info, Machine, PrivateFile, PrivateFiles, ProviderError,
};
use secrecy::ExposeSecret as _;

use crate::bootstrap::{TOKEN_FILE, with_private_files};
use crate::desired::DesiredFleet;
use crate::mesh::{Backend, MeshError, ObjectRef, SECRET, TokenFor, objects};
use crate::plan::Plan;
use crate::steps::NewBatch;

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

/// Puts the private files of a batch's only machine into its user-data, where the provider has no
/// private way and the user allows that; returns whether it did.
///
/// # Errors
/// Those of [`PrivateFiles::of`], and `Invalid` where it is not allowed, or the batch has several
/// machines: one token is for one of them.
pub async fn expose(
    batch: &mut Batch,
    info: &Info,
    private: &FleetTokens<'_>,
) -> Result<bool, ProviderError> {
    let plan = private.plan;
    let fleet = &batch.ownership.fleet;
    let is_member = |fleet: &DesiredFleet| fleet.membership.is_some();
    let (Some(tokens), false) = (plan.desired.tokens, info.private_files) else {
        return Ok(false);
    };
    if !plan.desired.fleets.get(fleet).is_some_and(is_member) {
        return Ok(false);
    }
    let invalid = |message: &str| ProviderError::new(ErrorClass::Invalid, message);
    if !tokens.in_user_data || batch.count != 1 {
        return Err(invalid("a token cannot be handed to this machine alone"));
    }
    let files = private.of(&batch.key.machine_name(fleet, 0)).await?;
    let files: Vec<_> = files
        .iter()
        .map(|file| (file.name.as_str(), file.content.clone()))
        .collect();
    let exposed = with_private_files(&batch.user_data, &files)
        .map_err(|error| invalid("the token does not fit the user-data").with_source(error))?;
    batch.user_data = exposed.expose_secret().to_owned();
    Ok(true)
}

/// Revokes the tokens of a batch's machines that are not there: nobody has any use for them, and no
/// entry will ever name them. Safe to repeat.
///
/// # Errors
/// Those of [`Backend::delete`].
pub async fn revoke_unused(
    plan: &Plan,
    batch: &NewBatch,
    made: &[Machine],
    mesh: Option<&dyn Backend>,
) -> Result<(), MeshError> {
    let used = used(made);
    let secrets = batch.secrets(plan).into_iter();
    let unused: Vec<_> = secrets
        .filter(|(name, _)| !used.contains(name))
        .map(|(_, secret)| secret)
        .collect();
    match mesh {
        Some(mesh) if !unused.is_empty() => mesh.delete(&plan.desired.stack, &unused).await,
        Some(_) | None => Ok(()),
    }
}

/// Returns whom the tokens of machines were made for.
pub fn used(machines: &[Machine]) -> BTreeSet<String> {
    machines.iter().map(objects::token_name).collect()
}

/// Deletes objects, and so revokes the tokens that are bound to some of them. Safe to repeat.
///
/// Where the file gives no tokens it may have given some before. Whoever may not delete what these
/// are bound to has no use for that right any more, and is not kept from the rest.
///
/// # Errors
/// Those of [`Backend::delete`].
pub async fn prune(
    plan: &Plan,
    objects: &[ObjectRef],
    mesh: &dyn Backend,
) -> Result<(), MeshError> {
    let stack = &plan.desired.stack;
    if plan.desired.tokens.is_some() {
        return mesh.delete(stack, objects).await;
    }
    let objects = objects.iter().cloned();
    let (secrets, others): (Vec<_>, Vec<_>) = objects.partition(|object| object.kind == SECRET);
    match mesh.delete(stack, &secrets).await {
        Err(error) if error.class() == ErrorClass::PermissionDenied => {}
        revoked => revoked?,
    }
    mesh.delete(stack, &others).await
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
