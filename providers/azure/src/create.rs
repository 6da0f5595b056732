//! Makes a batch of machines, once.
//!
//! Azure makes machines one call each. Their names follow from the batch's key, and a call makes
//! nothing where there is something of that name: the same batch again means the same machines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt as _, stream};
use meshvm_provider_api::{
    Batch, Created, ErrorClass, Hash, Labels, Machine, Place, ProviderError, Shortfall, labels,
};
use serde_json::Value;

use crate::attributes::{SECURITY_GROUP, SUBNET};
use crate::body;
use crate::client::{Answer, Call, Client, typed};
use crate::cloud::is_same;
use crate::error;
use crate::leftovers::{self, AT_ONCE};
use crate::machine;
use crate::observe::{self, Which};
use crate::operation;
use crate::policy::Action;
use crate::recipe::{Found, Recipe};
use crate::tags;
use crate::wire::Vm;

/// How often a machine is made anew whose failure was not told to this run.
const TRIES: u32 = 3;

/// What all machines of a batch have in common.
struct Making<'a> {
    client: &'a Client,
    batch: &'a Batch,
    recipe: &'a Recipe,
    found: &'a Found,
    request: String,
    tags: Labels,
    shared: Mutex<Shared>,
}

/// What one machine's making tells the others of its batch.
#[derive(Default)]
struct Shared {
    /// Zones and sizes that there was no room for.
    full: BTreeSet<(String, String)>,
    /// Whether it makes no sense to go on.
    is_over: bool,
    /// Machines that failed, which may have left something behind.
    failed: BTreeSet<String>,
}

/// Makes what a batch lacks.
///
/// # Errors
/// `Conflict` when the key made machines from another request; what the first refusal says when
/// none could be made.
pub(crate) async fn batch(client: &Client, batch: &Batch) -> Result<Created, ProviderError> {
    let recipe = Recipe::of(&batch.template)?;
    let found = recipe.found()?;
    let request = request_hash(batch)?;
    let all_tags = tags::of_new(&recipe, &batch.all_labels(), &request);
    let making = Making {
        client,
        batch,
        recipe: &recipe,
        found,
        request,
        tags: all_tags,
        shared: Mutex::default(),
    };
    let which = Which::Tagged(labels::BATCH, batch.key.to_string());
    let listed = observe::vms(client, &which).await?;
    making.is_of_request(&listed)?;
    // One that could not be made before is in the way of another attempt.
    let (failed, whole): (Vec<Vm>, Vec<Vm>) = listed
        .into_iter()
        .partition(|vm| machine::is_failed(vm, None));
    if !failed.is_empty() {
        let names: BTreeSet<String> = failed.into_iter().map(|vm| vm.name).collect();
        leftovers::delete(client, names.clone()).await?;
        leftovers::sweep(client, &names, &[]).await?;
    }
    let names = (0..batch.count).map(|index| {
        let fleet = &batch.ownership.fleet;
        batch.key.machine_name(fleet, index)
    });
    // What is still being made is waited for as if it were to be made.
    let (whole, _): (Vec<Vm>, Vec<Vm>) = whole
        .into_iter()
        .partition(|vm| !is_same(&vm.properties.provisioning_state, "Creating"));
    let names: Vec<String> = names
        .filter(|name| whole.iter().all(|vm| !is_same(&vm.name, name)))
        .collect();
    if let Some(first) = names.first() {
        // Lists are late: another request under this key must be known before anything is made.
        let before = observe::vm(client, first).await?;
        making.is_of_request(before.as_slice())?;
    }
    let calls: Vec<_> = names.into_iter().map(|name| making.one(name)).collect();
    let results: Vec<_> = stream::iter(calls)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut vms = whole;
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(vm) => vms.extend(vm),
            Err(error) => errors.push(error),
        }
    }
    let failed = making.shared().failed.clone();
    let swept = leftovers::sweep(client, &failed, &vms).await;
    let mut refused = None;
    for error in errors {
        match error.class.is_transient() {
            true => return Err(error),
            false => refused = refused.or(Some(error)),
        }
    }
    match refused {
        // Why nothing was made is more than what is left of it, which the next plan finds.
        Some(error) if vms.is_empty() || error.class == ErrorClass::Conflict => Err(error),
        refused => {
            swept?;
            making.answer(&vms, refused).await
        }
    }
}

impl Making<'_> {
    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one machine, in the first zone and of the first size that there is room for; `None` when
    /// another's refusal was all of theirs.
    async fn one(&self, name: String) -> Result<Option<Vm>, ProviderError> {
        let mut refused = None;
        let sizes = &self.recipe.asked.vm_size.0;
        let places = self.batch.places();
        let ways = places.flat_map(|place| sizes.iter().map(move |size| (place, size)));
        for (place, size) in ways.collect::<Vec<_>>() {
            if self.shared().is_over {
                break;
            }
            let way = (place.zone.to_owned(), size.clone());
            if self.shared().full.contains(&way) {
                continue;
            }
            if refused.is_some() {
                // Before there is a machine of that name, or nobody would look for it.
                let of = [name.to_ascii_lowercase()].into();
                // One that fails is tried again when all are made.
                leftovers::sweep(self.client, &of, &[]).await.ok();
            }
            match self.of_size(&name, place, size).await {
                Ok(vm) => return Ok(Some(vm)),
                Err(error) if error.class == ErrorClass::Capacity => {
                    self.shared().full.insert(way);
                    refused = Some(error);
                }
                // Each family of sizes has a quota of its own, which is the location's.
                Err(error) if error.class == ErrorClass::Quota => {
                    let zones = self.batch.places().map(|place| place.zone.to_owned());
                    let ways = zones.map(|zone| (zone, size.clone()));
                    self.shared().full.extend(ways);
                    refused = Some(error);
                }
                Err(error) => {
                    self.shared().is_over = true;
                    return Err(error);
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }

    async fn of_size(&self, name: &str, place: Place<'_>, size: &str) -> Result<Vm, ProviderError> {
        let mut tags = self.tags.clone();
        tags.extend(place.label());
        let Self {
            recipe,
            found,
            batch,
            ..
        } = self;
        let body = body::machine(recipe, found, batch, name, place.zone, size, &tags)?;
        let path = self.client.place.machine_path(name);
        let put = Call::put(Action::PutMachine, path.clone(), body).if_absent();
        for _ in 0..TRIES {
            let answer = match self.client.send(&put).await {
                Ok(answer) => answer,
                Err(error) if error::is(&error, error::PRECONDITION) => {
                    match self.made_before(name).await? {
                        Some(vm) => return Ok(vm),
                        // It failed, and is out of the way.
                        None => continue,
                    }
                }
                Err(error) => {
                    self.shared().failed.insert(name.to_owned());
                    return Err(error);
                }
            };
            self.come_up(name, &answer).await?;
            return typed(Action::PutMachine, answer.body);
        }
        let message = format!("machine {name} failed {TRIES} times, and nobody said why");
        Err(ProviderError::new(ErrorClass::Capacity, message))
    }

    /// Waits until a machine is made; removes one that could not be.
    async fn come_up(&self, name: &str, answer: &Answer) -> Result<(), ProviderError> {
        let resource = self.resource(name);
        let ended = operation::ended(self.client, Action::PutMachine, answer, Some(&resource));
        match ended.await {
            // What became of it is not known: the same batch again finds out.
            Err(error) if operation::is_unseen(&error) => Err(error),
            Err(error) if !error.class.is_transient() => {
                leftovers::delete(self.client, [name.to_owned()]).await?;
                self.shared().failed.insert(name.to_owned());
                Err(error)
            }
            ended => ended,
        }
    }

    /// Returns how a machine is looked at, with why it failed where it did.
    fn resource(&self, name: &str) -> Call {
        let path = self.client.place.machine_path(name);
        Call::get(Action::GetMachine, format!("{path}?$expand=instanceView"))
    }

    /// Waits for what an earlier call made, whose operation is not known any more; `None` when it
    /// could not be made, and is removed.
    async fn made_before(&self, name: &str) -> Result<Option<Vm>, ProviderError> {
        let look = self.client.send(&self.resource(name)).await;
        let answer = look.map_err(|error| match error.class {
            // It was there a moment ago: somebody deletes it.
            ErrorClass::NotFound => ProviderError {
                class: ErrorClass::Unavailable,
                ..error
            },
            _ => error,
        })?;
        let vm: Vm = typed(Action::GetMachine, answer.body.clone())?;
        self.is_of_request(std::slice::from_ref(&vm))?;
        match self.come_up(name, &answer).await {
            Ok(()) => Ok(Some(vm)),
            Err(error) if error.class.is_transient() => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Looks that what has the batch's key was made by this request.
    fn is_of_request(&self, vms: &[Vm]) -> Result<(), ProviderError> {
        let other = vms
            .iter()
            .find(|vm| vm.tags.get(tags::REQUEST) != Some(&self.request));
        match other {
            None => Ok(()),
            Some(other) => {
                let name = &other.name;
                let message = format!("machine {name} was made by another request");
                Err(ProviderError::new(ErrorClass::Conflict, message))
            }
        }
    }

    /// Returns what exists of the batch, with addresses as far as they are listed.
    async fn answer(
        &self,
        vms: &[Vm],
        refused: Option<ProviderError>,
    ) -> Result<Created, ProviderError> {
        let interfaces = observe::interfaces(self.client).await?;
        let made = vms.iter().map(|vm| vm.name.to_ascii_lowercase());
        // What an attempt left whose run was stopped before it knew: with a machine of that name
        // there, nobody would look for it.
        let left = made.filter(|name| leftovers::are_of(&interfaces, name, vms));
        leftovers::sweep(self.client, &left.collect(), vms).await?;
        let by_machine = observe::by_machine(&interfaces);
        let machines: BTreeMap<String, Machine> = vms
            .iter()
            .filter_map(|vm| {
                let name = vm.name.to_ascii_lowercase();
                let mut machine = machine::of(vm, None, by_machine.get(&name).copied())?;
                self.add_asked(&mut machine);
                Some((name, machine))
            })
            .collect();
        let machines: Vec<Machine> = machines.into_values().collect();
        let is_short = machines.len() < usize::try_from(self.batch.count).unwrap_or(usize::MAX);
        let shortfall = is_short.then(|| match refused {
            Some(error) => Shortfall {
                class: error.class,
                message: error.message,
            },
            None => Shortfall {
                class: ErrorClass::Capacity,
                message: "there was no room for the others".to_owned(),
            },
        });
        Ok(Created {
            machines,
            shortfall,
        })
    }

    /// Adds what only the interface tells, where it is not listed yet: it was just asked for.
    fn add_asked(&self, machine: &mut Machine) {
        for name in [SUBNET, SECURITY_GROUP] {
            if let Some(value) = self.batch.template.attributes.get(name) {
                let seen = machine.attributes.entry(name.to_owned());
                seen.or_insert_with(|| Value::clone(value));
            }
        }
    }
}

/// Returns the hash of a request, which every machine that it makes carries.
fn request_hash(batch: &Batch) -> Result<String, ProviderError> {
    let text = serde_json::to_string(batch).map_err(|error| {
        let message = "the request cannot be written down";
        ProviderError::new(ErrorClass::Invalid, message).with_source(error)
    })?;
    Ok(Hash::of(text).to_string())
}
