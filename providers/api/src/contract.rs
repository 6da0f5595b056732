//! The methods that make a provider.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ErrorClass, ProviderError};
use crate::labels::{self, BatchKey, Labels, Ownership};
use crate::machine::{Machine, MachineId};
use crate::need::{Growth, Need};
use crate::private::PrivateFiles;
use crate::shared::Shared;
use crate::template::{Difference, Finding, Template};

/// What the engine must know of a provider before it talks to it.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// The provider's name: the key of its block in a fleet file.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Makes the JSON Schema of its block.
    pub schema: fn() -> schemars::Schema,
    /// What user-data the cloud accepts.
    pub user_data: UserDataRules,
    /// The most machines that one `create`, `update` or `delete` may name.
    pub max_batch: u32,
    /// How long after a change a listing may still miss it.
    pub listing_lag: Duration,
    /// How long to wait between two looks at the same thing.
    pub poll: Duration,
    /// How many looks it may take until a listing shows a change.
    pub polls: u32,
    /// Whether a machine can be handed files that nobody else may see.
    pub private_files: bool,
    /// The most operations to start in a second; `None` sets no limit.
    pub rate: Option<u32>,
    /// Whether templates may name what only the cloud can look up, so that a plan asks it.
    pub resolves: bool,
    /// Whether an id means the same machine in every scope, so that one that two scopes list is one.
    pub global_ids: bool,
}

/// What user-data a cloud accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserDataRules {
    /// The most bytes, as they are counted by the cloud.
    pub limit: usize,
    /// Whether user-data may be gzip; cloud-init unpacks it by itself.
    pub gzip: bool,
}

/// The pure half of a provider.
///
/// Everything but [`Kind::open`] is synchronous, reads nothing and gives the
/// same answer to the same question.
#[async_trait]
pub trait Kind: Send + Sync {
    /// Returns what the engine must know of the provider.
    fn info(&self) -> &'static Info;

    /// Returns where in the provider's block the ports of the fleet's members belong, as a JSON
    /// pointer: they are put there where the file leaves it open and has what is around it.
    fn member_ports(&self) -> Option<&'static str> {
        None
    }

    /// Turns the provider's block of a fleet, already valid by its schema, into a template.
    ///
    /// # Errors
    /// Returns every problem that the schema cannot express.
    fn template(&self, settings: &Value, base_dir: &Path) -> Result<Template, Vec<Finding>>;

    /// Returns in what a machine is not what the template asks for.
    ///
    /// User-data, scope and labels are not compared here: those are the
    /// engine's, as are attributes named `userData`, `scope` and `labels.…`.
    fn compare(&self, template: &Template, machine: &Machine) -> Vec<Difference>;

    /// Returns whether the cloud refuses to delete a machine until somebody says otherwise.
    fn is_protected(&self, _: &Machine) -> bool {
        false
    }

    /// Returns whether fleets that are made from the template have something of their own beside
    /// machines, which goes with their last one, such as a firewall rule.
    fn has_parts(&self, _: &Template) -> bool {
        false
    }

    /// Connects to a scope. Makes no change and creates nothing remote.
    ///
    /// # Errors
    /// `PermissionDenied` or `Environment` when the scope cannot be used from here.
    async fn open(
        &self,
        template: Option<&Template>,
        scope: &crate::scope::Scope,
        context: &OpenContext,
    ) -> Result<Arc<dyn Provider>, ProviderError>;
}

/// What a provider is given when it is opened.
#[derive(Clone)]
pub struct OpenContext {
    /// The folder that providers of this machine keep their machines in.
    pub data_dir: PathBuf,
    /// Counts the requests that go over the wire.
    pub requests: Requests,
    /// Tells a person what a long call is doing.
    pub progress: Progress,
    /// What the scopes of a provider use together in this run.
    pub shared: Shared,
}

/// The half of a provider that talks to one scope of its cloud.
///
/// Every method is safe to repeat. Errors carry the class that the engine acts
/// on; a method returns an error only when nothing, or an unknown part of it,
/// was done. A call that was partly done says so in its answer.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Lists machines, in as few requests as the cloud allows.
    ///
    /// A listing may lag behind changes by the provider's `listing_lag`.
    /// Machines that are gone, or going for good, are left out; so are machines asked for by
    /// id that do not exist, unless the cloud still says that they are [`Power::Gone`](crate::Power::Gone).
    ///
    /// # Errors
    /// Transient classes, and `PermissionDenied`.
    async fn observe(&self, query: &Query) -> Result<Vec<Machine>, ProviderError>;

    /// Looks up what the template only names, and makes ready what `create` needs and does not
    /// make itself, such as a base image.
    ///
    /// Returns the template with every choice in it; one that has them is returned as it is, so
    /// that what a plan says stays so. Quick when there is nothing to do.
    ///
    /// # Errors
    /// `Invalid` or `NotFound` when the template names what cannot be had.
    async fn prepare(&self, template: &Template, effort: Effort)
    -> Result<Template, ProviderError>;

    /// Looks whether so many machines more than there are can be had, and changes nothing: once a
    /// plan is made. Returns what they take of things that other fleets may want as well.
    ///
    /// # Errors
    /// All that is in the way, at once, by [`ProviderError::all`].
    async fn check(&self, _: &Template, _: &Growth) -> Result<Vec<Need>, ProviderError> {
        Ok(Vec::new())
    }

    /// Creates a batch of machines under one key.
    ///
    /// The same batch again returns the machines that the key made and that
    /// still exist; whether it also makes those that are missing is the cloud's
    /// way, and their lack is a shortfall. The same key with another request is
    /// a `Conflict`. Fewer machines than asked for is an answer, not an error,
    /// once at least one was made.
    ///
    /// Where the batch's zone has no room, the provider goes on with the next of [`Batch::places`].
    ///
    /// `private` is asked for the files of each machine that is about to be made, where
    /// [`Info::private_files`] says so, and not at all otherwise. The files are no part of the
    /// request: the same key with others is the same batch. A repeated call asks for machines that
    /// an earlier one did not start, and for no others: making files anew may end the old ones.
    ///
    /// # Errors
    /// Any class; after `ReplyLost` the batch may exist. An error of `private` is returned as it
    /// is, and no machine is made without its files.
    async fn create(
        &self,
        batch: &Batch,
        private: &dyn PrivateFiles,
    ) -> Result<Created, ProviderError>;

    /// Changes existing machines in place, and their labels.
    ///
    /// # Errors
    /// `NotFound` when one of the machines is gone; the others may be changed.
    async fn update(&self, update: &Update) -> Result<(), ProviderError>;

    /// Deletes machines and everything that was made for them alone.
    ///
    /// A machine that does not exist counts as deleted. What fleets of the stack had of their own
    /// beside machines, such as firewall rules, goes with their last one; where none is named,
    /// only that goes whose fleets have no machine left.
    ///
    /// # Errors
    /// `Conflict` when a machine does not carry the label of `stack`; then none is deleted.
    async fn delete(&self, stack: &str, machines: &[MachineId]) -> Result<(), ProviderError>;
}

/// How far a `prepare` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Looks up names and changes nothing: for a plan.
    Look,
    /// Makes ready what machines need: before the first of them is made.
    Make,
}

/// Which machines to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Every machine that carries the label of this stack.
    Stack(String),
    /// These machines, whatever labels they carry.
    Machines(Vec<MachineId>),
    /// Every machine, whoever's it is, that carries these labels with a value that
    /// [`labels::fits`] each pattern: candidates for adoption.
    Labelled(Labels),
}

/// A request for machines: all of it is frozen in the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// The idempotency key.
    pub key: BatchKey,
    /// The ownership that every machine is labelled with.
    pub ownership: Ownership,
    /// The user's own labels.
    pub labels: Labels,
    /// The zone to create in.
    pub zone: String,
    /// How many machines.
    pub count: u32,
    /// What to make them from.
    pub template: Template,
    /// The plain text of their user-data; encoding it for the cloud is the provider's work.
    pub user_data: String,
    /// Files of this computer that the bootstrap looks for beside the user-data.
    pub media: Vec<Media>,
}

impl Batch {
    /// Returns all labels of the batch's machines; ownership wins over the user's.
    pub fn all_labels(&self) -> Labels {
        let mut labels = self.labels.clone();
        labels.extend(self.ownership.labels());
        labels
    }

    /// Returns where the batch's machines may be made: in its own zone, and where that has no room in
    /// the fleet's others, the next one first.
    pub fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let all = &self.template.zones;
        let own = all.iter().position(|zone| *zone == self.zone);
        let after = own.map_or(all.len(), |at| at + 1);
        let others = all.iter().skip(after).chain(all.iter().take(after));
        let others = others.filter(|zone| **zone != self.zone);
        [&self.zone].into_iter().chain(others).map(|zone| Place {
            zone,
            stands_in_for: (*zone != self.zone).then_some(self.zone.as_str()),
        })
    }
}

/// Where machines of a batch may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The zone.
    pub zone: &'a str,
    /// The batch's own zone, where this is another.
    pub stands_in_for: Option<&'a str>,
}

impl Place<'_> {
    /// Returns the label that says for which zone a machine stands in, where it does: without it
    /// the next plan would move the machine back.
    pub fn label(&self) -> Option<(String, String)> {
        let zone = self.stands_in_for?;
        Some((labels::ZONE.to_owned(), zone.to_owned()))
    }
}

/// A file of this computer that a machine needs, where its provider can hand it over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Media {
    /// The name that the machine sees.
    pub name: String,
    /// Where it is here.
    pub path: PathBuf,
    /// Its SHA-256, hexadecimal; the machine checks it.
    pub sha256: String,
}

/// What a `create` did.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// The machines of the batch that now exist.
    pub machines: Vec<Machine>,
    /// Why there are fewer than asked for.
    pub shortfall: Option<Shortfall>,
}

/// Why a batch came out smaller than asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shortfall {
    /// What stopped it.
    pub class: ErrorClass,
    /// What the cloud said.
    pub message: String,
}

/// A change to existing machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    /// The machines to change.
    pub machines: Vec<MachineId>,
    /// What they shall become; absent when only labels change.
    pub template: Option<Template>,
    /// The attributes to take from the template; one that it lacks goes.
    pub attributes: Vec<String>,
    /// Whether a machine that is stopped shall run.
    pub start: bool,
    /// Labels to set.
    pub set_labels: Labels,
    /// Labels to remove.
    pub remove_labels: Vec<String>,
}

/// Counts the requests of a provider that go over the wire, by name.
#[derive(Clone, Default)]
pub struct Requests(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Requests {
    /// Counts one request.
    pub fn count(&self, name: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(name).or_default() += 1;
    }

    /// Returns the counts so far.
    pub fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Tells a person what a long call is doing; a line at a time, none of it secret.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&str) + Send + Sync>);

impl Progress {
    /// Sends every line to `sink`.
    pub fn new(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops every line.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Tells one line.
    pub fn say(&self, line: &str) {
        (self.0)(line);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
