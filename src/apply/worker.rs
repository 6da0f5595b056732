//! Does one step. It decides nothing and writes no journal.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use meshvm_provider_api::labels;
use meshvm_provider_api::{
    Effort, ErrorClass, Machine, MachineId, Power, ProviderError, Query, Scope,
};
use tokio::time::Instant;

use super::done::Done;
use super::tokens::{self, FleetTokens};
use super::wait::{self, Troubles};
use super::{Failure, Progress};
use crate::journal::Recorded;
use crate::mesh::objects::Side;
use crate::mesh::{Backend, Group, KubernetesError, MeshError, MeshState, SECRET, objects};
use crate::observed::Look;
use crate::plan::Plan;
use crate::providers::Connections;
use crate::steps::{NewBatch, Op, Step, StepGraph};

/// Takes what a worker tells; owned, since workers outlive a borrow.
pub type SharedListener = Arc<super::Listener>;

/// Does the steps of one graph.
pub struct Worker {
    plan: Arc<Plan>,
    graph: Arc<StepGraph>,
    connections: Arc<Connections>,
    mesh: Option<Arc<dyn Backend>>,
    listener: SharedListener,
    /// Whether waiting makes no sense any more.
    stopping: AtomicBool,
    /// The machines that steps made, or waited for.
    outputs: Mutex<BTreeMap<usize, Vec<Machine>>>,
}

impl Worker {
    /// Makes a worker for the steps of a plan.
    pub fn new(
        plan: Arc<Plan>,
        graph: Arc<StepGraph>,
        connections: Arc<Connections>,
        mesh: Option<Arc<dyn Backend>>,
        listener: SharedListener,
    ) -> Self {
        Self {
            plan,
            graph,
            connections,
            mesh,
            listener,
            stopping: AtomicBool::new(false),
            outputs: Mutex::default(),
        }
    }

    /// Ends all waiting for machines: it changes nothing, and the next run goes on with it.
    pub fn stop_waiting(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Returns whether [`Worker::stop_waiting`] was called.
    pub fn is_told_to_stop(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Returns the steps.
    pub fn graph(&self) -> Arc<StepGraph> {
        Arc::clone(&self.graph)
    }

    /// Tells the mesh what the steps will write and delete.
    pub async fn announce(&self) {
        if let Some(mesh) = &self.mesh {
            let (writes, deletes) = self.graph.first_and_last_objects();
            mesh.announce(&writes, &deletes).await;
        }
    }

    /// Returns what the journal must know of a step.
    pub fn record(&self, index: usize) -> Recorded {
        match &self.graph.steps[index].op {
            Op::Create(batch) => Recorded::Create(batch.clone()),
            Op::Change {
                fleet: _,
                scope,
                update,
            } => Recorded::Change {
                scope: scope.clone(),
                machines: update.machines.clone(),
                look: Look::after(update),
            },
            Op::Delete {
                fleet: _,
                scope,
                machines,
            } => Recorded::Delete {
                scope: scope.clone(),
                machines: machines.clone(),
            },
            Op::Await {
                scope, machines, ..
            } => Recorded::Await {
                scope: scope.clone(),
                machines: machines.iter().map(|machine| machine.id.clone()).collect(),
            },
            Op::Prune {
                fleets: _,
                objects,
                drain: _,
            } => {
                let tokens = objects.iter().filter(|object| object.kind == SECRET);
                Recorded::Revoke {
                    tokens: tokens.cloned().collect(),
                }
            }
            Op::Prepare { .. } | Op::Enter { .. } | Op::Write { .. } => Recorded::Repeatable,
        }
    }

    /// Returns the machines that a step made, or waited for.
    pub fn machines(&self, index: usize) -> Vec<MachineId> {
        let machines = self.created(&[index]).into_iter();
        machines.map(|machine| machine.id).collect()
    }

    /// Does a step.
    ///
    /// # Errors
    /// Says what failed, in words for people.
    pub async fn perform(&self, index: usize) -> Result<Done, Failure> {
        let step = &self.graph.steps[index];
        let failed = |error: StepError| error.into_failure(step);
        self.act(index, step).await.map_err(failed)
    }

    async fn act(&self, index: usize, step: &Step) -> Result<Done, StepError> {
        let stack = &self.plan.desired.stack;
        match &step.op {
            Op::Prepare { fleet } => {
                let template = &self.fleet(fleet)?.template;
                let provider = self
                    .connections
                    .open(&template.scope, Some(template))
                    .await?;
                provider.prepare(template, Effort::Make).await?;
            }
            Op::Create(batch) => return self.create(index, batch).await,
            Op::Await {
                fleet,
                created,
                machines,
                scope,
                min_ready,
                timeout,
            } => {
                let created = self.created(created).into_iter().map(|machine| machine.id);
                let existing: BTreeSet<&MachineId> = machines.iter().map(|m| &m.id).collect();
                let ids: Vec<MachineId> =
                    created.chain(existing.iter().copied().cloned()).collect();
                let desired = self.fleet(fleet)?;
                let kind = self.connections.kind(scope)?;
                // What was just started or restarted may be shown as it was before, and
                // ready: it counts only once it is shown as what it was made into.
                let is_stale = |machine: &Machine| {
                    existing.contains(&machine.id)
                        && (machine.power == Power::Stopped
                            || machine.labels.get(labels::SPEC).map(String::as_str)
                                != Some(desired.spec.as_str())
                            || !kind.compare(&desired.template, machine).is_empty())
                };
                let provider = self.connections.open(scope, None).await?;
                let request = wait::Request {
                    fleet,
                    ids: &ids,
                    poll: kind.info().poll,
                    polls: kind.info().polls,
                    min_ready: *min_ready,
                    timeout: *timeout,
                    is_stale: &is_stale,
                    is_stopped: &|| self.is_told_to_stop(),
                };
                let of = ids.len();
                let told = |ready| (self.listener)(Progress::Waiting { step, ready, of });
                let ask = |machines| self.in_mesh(fleet, machines).boxed();
                let ready = wait::until_ready(provider.as_ref(), &request, &ask, &told).await?;
                self.remember(index, ready);
            }
            Op::Enter {
                fleet,
                of,
                scope,
                timeout,
            } => {
                let side = self.fleet(fleet)?.side().ok_or_else(|| gone(fleet))?;
                let machines = self.addressed(self.created(of), scope, *timeout).await?;
                let entries: Vec<_> = machines
                    .iter()
                    .filter_map(|machine| {
                        let locality = scope.locality(&machine.zone);
                        objects::entry(stack, fleet, side, machine, locality)
                    })
                    .collect();
                if let Some(mesh) = &self.mesh {
                    mesh.write(stack, &entries).await?;
                    return Ok(Done::written(entries.len()));
                }
            }
            Op::Change {
                fleet: _,
                scope,
                update,
            } => {
                let provider = self
                    .connections
                    .open(scope, update.template.as_ref())
                    .await?;
                provider.update(update).await?;
            }
            Op::Delete {
                fleet: _,
                scope,
                machines,
            } => self.delete(scope, machines).await?,
            Op::Write { fleets: _, objects } => {
                if let Some(mesh) = &self.mesh {
                    mesh.write(stack, objects).await?;
                    return Ok(Done::written(objects.len()));
                }
            }
            Op::Prune {
                fleets: _,
                objects,
                drain,
            } => {
                if let Some(mesh) = &self.mesh {
                    tokens::prune(&self.plan, objects, mesh.as_ref()).await?;
                    tokio::time::sleep(*drain).await;
                    let told = objects.iter().filter(|object| object.kind != SECRET);
                    return Ok(Done::deleted(told.count()));
                }
            }
        }
        Ok(Done::default())
    }

    async fn create(&self, index: usize, batch: &NewBatch) -> Result<Done, StepError> {
        let mut request = batch
            .request(&self.plan)
            .ok_or_else(|| gone(&batch.fleet))?;
        let private = FleetTokens::new(&self.plan, &batch.fleet, self.mesh.clone());
        let info = self.connections.kind(&request.template.scope)?.info();
        tokens::expose(&mut request, info, &private).await?;
        let scope = &request.template.scope;
        let provider = self
            .connections
            .open(scope, Some(&request.template))
            .await?;
        let mesh = self.mesh.as_deref();
        let created = match provider.create(&request, &private).await {
            Err(error) if is_refusal(error.class) => {
                tokens::revoke_unused(&self.plan, batch, &[], mesh).await?;
                return Err(error.into());
            }
            created => created?,
        };
        if created.shortfall.is_some() {
            tokens::revoke_unused(&self.plan, batch, &created.machines, mesh).await?;
        }
        self.remember(index, created.machines.clone());
        match created.shortfall {
            None => Ok(Done {
                made: created.machines,
                ..Done::default()
            }),
            // The machines that exist are found by their labels; what waits for the
            // whole batch must not go on with a part of it.
            Some(shortfall) => {
                let made = created.machines.len();
                let message = format!(
                    "only {made} of {} machines could be created: {}",
                    batch.count, shortfall.message
                );
                let error = ProviderError::new(shortfall.class, message)
                    .with_hint("apply again when there is room: what exists stays");
                Err(StepError::Short {
                    error,
                    made: u32::try_from(made).unwrap_or(u32::MAX),
                })
            }
        }
    }

    /// Waits until machines have addresses: without one, a machine can carry no traffic.
    async fn addressed(
        &self,
        mut machines: Vec<Machine>,
        scope: &Scope,
        timeout: Duration,
    ) -> Result<Vec<Machine>, StepError> {
        let begun = Instant::now();
        let poll = self.connections.kind(scope)?.info().poll;
        loop {
            let Some(missing) = machines.iter().find(|machine| machine.address.is_none()) else {
                return Ok(machines);
            };
            if begun.elapsed() >= timeout {
                let message = format!("machine {} has no address", missing.name);
                return Err(ProviderError::new(ErrorClass::Unavailable, message).into());
            }
            tokio::time::sleep(poll).await;
            let ids = machines.iter().filter(|m| m.address.is_none());
            let query = Query::Machines(ids.map(|machine| machine.id.clone()).collect());
            let provider = self.connections.open(scope, None).await?;
            for seen in provider.observe(&query).await? {
                if let Some(known) = machines.iter_mut().find(|m| m.id == seen.id) {
                    *known = seen;
                }
            }
        }
    }

    /// Returns what keeps traffic from machines that are up; nothing where nobody reports.
    async fn in_mesh(&self, fleet: &str, machines: Vec<Machine>) -> Result<Troubles, StepError> {
        let side = self.fleet(fleet)?.side();
        let is_told = |side: &Side<'_>| side.enters_early() || side.enters_by_itself();
        let (Some(side), Some(mesh)) = (side.filter(is_told), &self.mesh) else {
            return Ok(Troubles::new());
        };
        let group = Group {
            stack: &self.plan.desired.stack,
            fleet,
            namespace: side.namespace(),
            by_itself: side.enters_by_itself(),
        };
        let Some(members) = mesh.members(&group).await? else {
            return Ok(Troubles::new());
        };
        let trouble = |machine: Machine| {
            let state = match group.by_itself {
                true => members.registered(machine.address),
                false => {
                    let entered = members.by_name.get(&machine.name);
                    entered.unwrap_or(&MeshState::Unknown)
                }
            };
            let trouble = state.trouble()?.to_owned();
            Some((machine.id, trouble))
        };
        Ok(machines.into_iter().filter_map(trouble).collect())
    }

    async fn delete(&self, scope: &Scope, machines: &[MachineId]) -> Result<(), StepError> {
        let provider = self.connections.open(scope, None).await?;
        provider.delete(&self.plan.desired.stack, machines).await?;
        Ok(())
    }

    fn fleet(&self, fleet: &str) -> Result<&crate::desired::DesiredFleet, StepError> {
        let found = self.plan.desired.fleets.get(fleet);
        found.ok_or_else(|| gone(fleet))
    }

    fn remember(&self, index: usize, machines: Vec<Machine>) {
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.insert(index, machines);
    }

    fn created(&self, steps: &[usize]) -> Vec<Machine> {
        let outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        steps
            .iter()
            .filter_map(|step| outputs.get(step))
            .flatten()
            .cloned()
            .collect()
    }
}

/// What a step fails with.
enum StepError {
    Provider(ProviderError),
    /// A batch came out smaller than asked for.
    Short {
        error: ProviderError,
        made: u32,
    },
    Mesh(MeshError),
}

impl From<ProviderError> for StepError {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<MeshError> for StepError {
    fn from(error: MeshError) -> Self {
        Self::Mesh(error)
    }
}

impl StepError {
    fn into_failure(self, step: &Step) -> Failure {
        let created = match &self {
            Self::Short { made, .. } => *made,
            Self::Provider(_) | Self::Mesh(_) => 0,
        };
        let held = match &self {
            Self::Mesh(MeshError::Kubernetes(KubernetesError::Conflict(held))) => held.clone(),
            Self::Provider(_) | Self::Short { .. } | Self::Mesh(_) => Vec::new(),
        };
        let (class, hint, error): (_, _, Box<dyn Error + Send + Sync>) = match self {
            Self::Provider(error) | Self::Short { error, .. } => {
                (error.class, error.hint.clone(), Box::new(error))
            }
            Self::Mesh(error) => (error.class(), error.hint(), Box::new(error)),
        };
        Failure {
            step: step.id.clone(),
            class,
            message: chain(error.as_ref()),
            created,
            hint,
            held,
        }
    }
}

/// Returns whether a creation that ended so made nothing: of any other, machines may be there.
fn is_refusal(class: ErrorClass) -> bool {
    match class {
        ErrorClass::Capacity
        | ErrorClass::Quota
        | ErrorClass::PermissionDenied
        | ErrorClass::Invalid => true,
        ErrorClass::Throttled
        | ErrorClass::Unavailable
        | ErrorClass::ReplyLost
        | ErrorClass::NotFound
        | ErrorClass::Conflict
        | ErrorClass::Environment
        | ErrorClass::Unrecognized => false,
    }
}

/// Returns an error and all its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// A plan that names a fleet which it does not hold was edited by hand.
fn gone(fleet: &str) -> StepError {
    let message = format!("the plan does not say what fleet `{fleet}` is");
    ProviderError::new(ErrorClass::Invalid, message).into()
}
