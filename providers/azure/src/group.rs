//! The resource group, where the file says that it is meshvm's to make.

use std::sync::atomic::{AtomicBool, Ordering};

use meshvm_provider_api::{ErrorClass, ProviderError, labels};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::RwLock;

use crate::client::{Call, Client};
use crate::leftovers;
use crate::policy::Action;

/// Makes the group, and removes it when nothing is left in it.
///
/// A group is removed with all that is in it, whatever a list showed a moment before. So it is
/// removed only while nothing is being made, and never by a run that made something.
#[derive(Default)]
pub(crate) struct Group {
    making: RwLock<()>,
    has_made: AtomicBool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Found {
    tags: BTreeMap<String, String>,
}

impl Group {
    /// Does something that makes machines, in a group that is there.
    ///
    /// # Errors
    /// Those of the call, and of making the group.
    pub async fn while_making<T>(
        &self,
        client: &Client,
        stack: Option<&str>,
        make: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let _making = self.making.read().await;
        self.has_made.store(true, Ordering::Relaxed);
        if let Some(stack) = stack {
            ensure(client, stack).await?;
        }
        make.await
    }

    /// Removes the group if it is the stack's and empty.
    ///
    /// # Errors
    /// Those of the calls.
    pub async fn remove_if_empty(&self, client: &Client, stack: &str) -> Result<(), ProviderError> {
        if self.has_made.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Ok(_alone) = self.making.try_write() else {
            return Ok(());
        };
        let path = client.place.group_path();
        let Some(found) = read(client).await? else {
            return Ok(());
        };
        if found.tags.get(labels::STACK).map(String::as_str) != Some(stack) {
            return Ok(());
        }
        let resources: Vec<Value> = client
            .list(Action::ListResources, format!("{path}/resources"))
            .await?;
        match resources.is_empty() {
            true => leftovers::gone(client, Action::DeleteResourceGroup, path).await,
            false => Ok(()),
        }
    }
}

async fn read(client: &Client) -> Result<Option<Found>, ProviderError> {
    let call = Call::get(Action::GetResourceGroup, client.place.group_path());
    match client.read(&call).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn ensure(client: &Client, stack: &str) -> Result<(), ProviderError> {
    if read(client).await?.is_some() {
        return Ok(());
    }
    let body = json!({"location": client.place.location, "tags": {labels::STACK: stack}});
    let call = Call::put(Action::PutResourceGroup, client.place.group_path(), body);
    client.send(&call).await.map(drop)
}

/// Looks whether the group is there.
///
/// # Errors
/// `NotFound` when it is not.
pub(crate) async fn exists(client: &Client) -> Result<(), ProviderError> {
    let call = Call::get(Action::GetResourceGroup, client.place.group_path());
    client.send(&call).await.map(drop)
}
