//! Changes machines in place.
//!
//! Azure changes machines one call each; a few go at once. A machine's tags are replaced as a
//! whole, so that each change is bound to the version that was read. Labels come last: a machine
//! that says to be up to date is.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use meshvm_provider_api::{ErrorClass, Labels, Power, ProviderError, Update, labels};
use serde_json::{Value, json};

use crate::attributes::{IDENTITY_SYSTEM, IDENTITY_USER, SECURITY_GROUP, TAG, VM_SIZE};
use crate::body;
use crate::client::{Call, Client};
use crate::cloud::is_same;
use crate::delete::unlisted;
use crate::error;
use crate::interface;
use crate::leftovers::AT_ONCE;
use crate::let_go;
use crate::machine;
use crate::observe::{self, Which};
use crate::operation;
use crate::policy::Action;
use crate::recipe::Recipe;
use crate::settings::{self, ManagedIdentity};
use crate::tags;
use crate::wire::{Interface, Vm};

/// How often a change is tried on a machine that others change at the same time.
const TRIES: u32 = 4;

/// Changes machines; safe to repeat.
///
/// # Errors
/// `NotFound` when one is gone, before any is changed; `Invalid` when an attribute does not change
/// in place.
pub(crate) async fn machines(client: &Client, update: &Update) -> Result<(), ProviderError> {
    if update.machines.is_empty() {
        return Ok(());
    }
    let changes = Changes::of(update)?;
    let which = Which::machines(&update.machines);
    let mut vms = observe::vms(client, &which).await?;
    vms.extend(unlisted(client, &update.machines, &vms).await?);
    vms.retain(|vm| !is_same(&vm.properties.provisioning_state, "Deleting"));
    let is_gone = |name: &str| vms.iter().all(|vm| !is_same(&vm.name, name));
    if let Some(gone) = update.machines.iter().find(|id| is_gone(&id.0)) {
        let message = format!("machine {gone} does not exist");
        return Err(ProviderError::new(ErrorClass::NotFound, message));
    }
    let needs_views = update.start || changes.sizes.is_some();
    let views = match needs_views {
        true => observe::views(client).await?,
        false => [].into(),
    };
    let interfaces = match changes.group {
        Some(_) => observe::interfaces(client).await?,
        None => Vec::new(),
    };
    // First, so that it is done again as long as the machine itself is the stack's.
    if changes.lets_go {
        let_go::parts(client, &update.machines).await?;
    }
    let by_machine = observe::by_machine(&interfaces);
    let work: Vec<_> = vms
        .iter()
        .map(|vm| {
            let name = vm.name.to_ascii_lowercase();
            let seen = machine::of(vm, views.get(&name), None);
            let is_stopped = seen.is_some_and(|machine| machine.power == Power::Stopped);
            let interface = by_machine.get(&name).copied();
            changes.apply(client, vm, interface, is_stopped, update.start)
        })
        .collect();
    let done: Result<(), _> = stream::iter(work)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await;
    // All of them were just seen: one that a change does not find is not gone, but new.
    done.map_err(|error| match error.class {
        ErrorClass::NotFound => ProviderError {
            class: ErrorClass::Unavailable,
            ..error
        },
        _ => error,
    })
}

/// What an update asks for of each machine.
#[derive(Default)]
struct Changes {
    /// The id of a group, or none at all.
    group: Option<Option<String>>,
    sizes: Option<Vec<String>>,
    identity: Option<ManagedIdentity>,
    set_tags: Labels,
    remove_tags: BTreeSet<String>,
    /// Whether the machines are the stack's no longer.
    lets_go: bool,
}

impl Changes {
    fn of(update: &Update) -> Result<Self, ProviderError> {
        let mut changes = Self {
            set_tags: update.set_labels.clone(),
            remove_tags: update.remove_labels.iter().cloned().collect(),
            ..Self::default()
        };
        if update.remove_labels.iter().any(|key| key == labels::STACK) {
            // A machine that is let go keeps nothing of what it was known by.
            changes.remove_tags.extend(tags::OWN.map(str::to_owned));
            changes.lets_go = true;
        }
        let Some(template) = &update.template else {
            return Ok(changes);
        };
        let recipe = Recipe::of(template)?;
        let asked = &recipe.asked;
        for attribute in &update.attributes {
            match attribute.as_str() {
                SECURITY_GROUP => changes.group = Some(settings::group_id(asked)),
                VM_SIZE => changes.sizes = Some(asked.vm_size.0.clone()),
                IDENTITY_SYSTEM | IDENTITY_USER => {
                    changes.identity = Some(asked.identity.clone().unwrap_or_default());
                }
                other => match other.strip_prefix(TAG) {
                    Some(key) => changes.tag(key, &recipe),
                    None => {
                        let message = format!("`{other}` does not change on a machine that exists");
                        return Err(ProviderError::new(ErrorClass::Invalid, message));
                    }
                },
            }
        }
        Ok(changes)
    }

    fn tag(&mut self, key: &str, recipe: &Recipe) {
        match recipe.asked.tags.get(key) {
            Some(value) => {
                self.set_tags.insert(key.to_owned(), value.clone());
            }
            None => {
                self.remove_tags.insert(key.to_owned());
            }
        }
        let names = tags::names(recipe.asked.tags.keys());
        match names.is_empty() {
            true => self.remove_tags.insert(tags::TAGS.to_owned()),
            false => self.set_tags.insert(tags::TAGS.to_owned(), names).is_some(),
        };
    }

    async fn apply(
        &self,
        client: &Client,
        vm: &Vm,
        interface: Option<&Interface>,
        is_stopped: bool,
        start: bool,
    ) -> Result<(), ProviderError> {
        if let (Some(group), Some(interface)) = (&self.group, interface) {
            interface::set_group(client, interface, group.as_deref()).await?;
        }
        let size = &vm.properties.hardware_profile.vm_size;
        let sizes = self.sizes.as_deref().unwrap_or_default();
        let has_one = sizes.iter().any(|wanted| is_same(wanted, size));
        if sizes.is_empty() || has_one {
            if start && is_stopped {
                run(client, Action::StartMachine, &vm.name, "start").await?;
            }
        } else {
            resize(client, &vm.name, sizes, start || !is_stopped).await?;
        }
        self.tags_and_identity(client, vm).await
    }

    /// Changes what one call changes, again where somebody else was faster.
    async fn tags_and_identity(&self, client: &Client, vm: &Vm) -> Result<(), ProviderError> {
        let mut vm = vm.clone();
        let is_first_read = self.sizes.is_none();
        for look in 0..TRIES {
            if look > 0 || !is_first_read {
                let found = observe::vm(client, &vm.name).await?;
                vm = found.ok_or_else(|| {
                    let message = format!("machine {} went away", vm.name);
                    ProviderError::new(ErrorClass::Unavailable, message)
                })?;
            }
            let body = self.body(&vm);
            if body.as_object().is_none_or(|body| body.is_empty()) {
                return Ok(());
            }
            match patch(client, &vm.name, body, vm.etag.as_deref()).await {
                Err(error) if error::is(&error, error::PRECONDITION) => {}
                answer => return answer,
            }
        }
        let message = format!("machine {} is being changed by others", vm.name);
        Err(ProviderError::new(ErrorClass::Unavailable, message))
    }

    /// Returns what has to change of a machine: nothing where it is so already.
    fn body(&self, vm: &Vm) -> Value {
        let mut body = json!({});
        let mut wanted = vm.tags.clone();
        wanted.retain(|key, _| !self.remove_tags.contains(key));
        wanted.extend(self.set_tags.clone());
        if wanted != vm.tags {
            body["tags"] = json!(wanted);
        }
        if let Some(identity) = &self.identity {
            let seen = vm.identity.clone().unwrap_or_default();
            let users: Vec<String> = seen.user_assigned_identities.into_keys().collect();
            let holds = |all: &[String], id: &String| all.iter().any(|it| is_same(it, id));
            let gone: Vec<&String> = users
                .iter()
                .filter(|id| !holds(&identity.user, id))
                .collect();
            let is_met = gone.is_empty()
                && seen.kind.contains("SystemAssigned") == identity.system
                && identity.user.iter().all(|id| holds(&users, id));
            if !is_met {
                body["identity"] = body::identity(identity, gone);
            }
        }
        body
    }
}

/// Gives a machine another size, the first of several that there is room for.
async fn resize(
    client: &Client,
    name: &str,
    sizes: &[String],
    start: bool,
) -> Result<(), ProviderError> {
    // On the hardware that it stands on there may be no room for another.
    run(client, Action::DeallocateMachine, name, "deallocate").await?;
    let mut refused = Ok(());
    for size in sizes {
        let body = json!({"properties": {"hardwareProfile": {"vmSize": size}}});
        refused = patch(client, name, body, None).await;
        if refused.is_ok() && start {
            refused = run(client, Action::StartMachine, name, "start").await;
        }
        match &refused {
            Err(error) if matches!(error.class, ErrorClass::Capacity | ErrorClass::Quota) => {}
            Ok(()) | Err(_) => break,
        }
    }
    refused
}

async fn patch(
    client: &Client,
    name: &str,
    body: Value,
    etag: Option<&str>,
) -> Result<(), ProviderError> {
    let path = client.place.machine_path(name);
    let call = Call::patch(Action::PatchMachine, path.clone(), body).if_match(etag);
    let answer = client.send(&call).await?;
    let resource = Call::get(Action::GetMachine, path);
    operation::ended(client, Action::PatchMachine, &answer, Some(&resource)).await
}

async fn run(client: &Client, action: Action, name: &str, what: &str) -> Result<(), ProviderError> {
    let path = format!("{}/{what}", client.place.machine_path(name));
    let answer = client.send(&Call::post(action, path)).await?;
    operation::ended(client, action, &answer, None).await
}
