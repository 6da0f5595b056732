//! Lowers a plan into steps. Pure.
//!
//! The order, for each fleet by itself: its objects of the mesh first, so that no machine comes up
//! without its group; then its machines; objects that go, go last, when no machine needs them any
//! more. No fleet waits for another, but for what both need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meshvm_provider_api::labels::BatchKey;
use meshvm_provider_api::{MachineId, Scope};
use uuid::Uuid;

use super::rollout::{self, Start};
use super::{NewBatch, Op, Step, StepGraph, change, leave, objects, routing};
use crate::desired::{DesiredFleet, ResolvedRollout};
use crate::mesh::{Object, ObjectRef};
use crate::plan::{Action, FleetPlan, MachineChange, MachineRef, ObjectAction, Plan};

/// Lowers a plan.
pub fn lower(plan: &Plan) -> StepGraph {
    let mut graph = Graph {
        plan,
        steps: Vec::new(),
    };
    let writes = objects::write(&mut graph);
    if let Some(op) = leave::revocation(plan) {
        graph.push("mesh/revoke".to_owned(), op, Vec::new());
    }
    let mut pruned = BTreeSet::new();
    let mut ends = BTreeMap::new();
    for (fleet, changes) in &plan.fleets {
        let lowering = FleetLowering {
            fleet,
            changes,
            desired: plan
                .desired
                .fleets
                .get(fleet)
                .filter(|_| !plan.options.destroy),
        };
        let front = writes.of(fleet);
        ends.insert(
            fleet.as_str(),
            lowering.lower(&mut graph, front, &mut pruned),
        );
    }
    for (index, (fleet, scope)) in plan.leftovers.iter().enumerate() {
        let op = Op::Delete {
            fleet: fleet.clone(),
            scope: scope.clone(),
            machines: Vec::new(),
        };
        // What several machines' ends may leave goes when all is done.
        let needs = ends.values().flatten().copied().collect();
        graph.push(format!("clear/{fleet}/{index}"), op, needs);
    }
    objects::prune(&mut graph, &pruned, &writes, &ends);
    StepGraph { steps: graph.steps }
}

pub(super) struct Graph<'a> {
    pub(super) plan: &'a Plan,
    steps: Vec<Step>,
}

impl Graph<'_> {
    pub(super) fn push(&mut self, id: String, op: Op, needs: Vec<usize>) -> usize {
        self.steps.push(Step { id, op, needs });
        self.steps.len() - 1
    }

    /// Returns the key of a step: the same for the same plan and step, never the same for others.
    fn key(&self, step: &str) -> BatchKey {
        BatchKey(Uuid::new_v5(&self.plan.id, step.as_bytes()))
    }
}

struct FleetLowering<'a> {
    fleet: &'a str,
    changes: &'a FleetPlan,
    desired: Option<&'a DesiredFleet>,
}

impl FleetLowering<'_> {
    /// Lowers the fleet after `front`, and returns its last steps.
    fn lower(
        &self,
        graph: &mut Graph<'_>,
        mut front: Vec<usize>,
        pruned: &mut BTreeSet<ObjectRef>,
    ) -> Vec<usize> {
        for turn in [Turn::First, Turn::Last] {
            for change in &self.changes.changes {
                match change.action {
                    Action::Adopt | Action::Forget | Action::Update => {
                        front = self.change(graph, change, turn, front);
                    }
                    Action::Create | Action::Replace | Action::Delete => {}
                }
            }
            if turn == Turn::First {
                front = self.roll_out(graph, front, pruned);
            }
        }
        front
    }

    fn batch(&self) -> usize {
        usize::try_from(self.changes.max_batch)
            .unwrap_or(usize::MAX)
            .max(1)
    }

    /// Lowers what is done in its turn to existing machines.
    ///
    /// Restarting takes machines away: those that are up go last, when all others are
    /// there, and a few at a time; those that are down anyway all go at once.
    fn change(
        &self,
        graph: &mut Graph<'_>,
        change: &MachineChange,
        turn: Turn,
        front: Vec<usize>,
    ) -> Vec<usize> {
        let restarts = change::restarts(change);
        let is_careful = change.action == Action::Update && restarts;
        let machines: Vec<&MachineRef> = change
            .machines
            .iter()
            .filter(|machine| (turn == Turn::Last) == (is_careful && machine.available))
            .collect();
        let rollout = self.desired.map(|desired| desired.rollout);
        let careful = rollout.map_or(1, |rollout| rollout.max_unavailable.max(1));
        let step = match turn {
            Turn::First => self.batch(),
            Turn::Last => self
                .batch()
                .min(usize::try_from(careful).unwrap_or(usize::MAX)),
        };
        let waits = (restarts || change.start).then_some(rollout).flatten();
        let mut front = front;
        let mut done = Vec::new();
        for machines in machines.chunks(step) {
            let action = format!("{:?}", change.action).to_lowercase();
            let id = format!("{action}/{}/{}", self.fleet, graph.steps.len());
            let update = change::update(graph.plan, self.fleet, self.desired, change, machines);
            let (fleet, scope) = (self.fleet.to_owned(), change.scope.clone());
            let changed = graph.push(
                id,
                Op::Change {
                    fleet,
                    scope,
                    update,
                },
                front.clone(),
            );
            let last = match waits {
                Some(rollout) => {
                    let machines = machines.iter().map(|&machine| machine.clone()).collect();
                    let tag = format!("change-{changed}");
                    self.wait(
                        graph,
                        &tag,
                        rollout,
                        &change.scope,
                        (Vec::new(), machines),
                        vec![changed],
                    )
                }
                None => changed,
            };
            if turn == Turn::Last {
                front = vec![last];
            }
            done.push(last);
        }
        if done.is_empty() { front } else { done }
    }

    /// Adds a wait, with the entries of what is waited for; returns the last step.
    ///
    /// New machines are entered before they are waited for where they need that to become ready.
    fn wait(
        &self,
        graph: &mut Graph<'_>,
        tag: &str,
        rollout: ResolvedRollout,
        scope: &Scope,
        (created, machines): (Vec<usize>, Vec<MachineRef>),
        needs: Vec<usize>,
    ) -> usize {
        let side = self.desired.and_then(DesiredFleet::side);
        let side = side.filter(|side| side.has_entries() && graph.plan.context.mesh.is_some());
        let enter = |of, timeout| Op::Enter {
            fleet: self.fleet.to_owned(),
            of,
            scope: scope.clone(),
            timeout,
        };
        let early = side.is_some_and(|side| side.enters_early());
        let mut needs = needs;
        if early && !created.is_empty() {
            let id = format!("enter/{}/{tag}/new", self.fleet);
            needs = vec![graph.push(id, enter(created.clone(), rollout.ready_timeout), needs)];
        }
        // The entries of machines that were there before are in the plan when they are early.
        let enters_later = side.is_some() && !early;
        let op = Op::Await {
            fleet: self.fleet.to_owned(),
            created,
            machines,
            scope: scope.clone(),
            min_ready: rollout.min_ready,
            timeout: rollout.ready_timeout,
        };
        let awaited = graph.push(format!("await/{}/{tag}", self.fleet), op, needs);
        if !enters_later {
            return awaited;
        }
        let id = format!("enter/{}/{tag}", self.fleet);
        // What is ready has its address, or never will.
        graph.push(id, enter(vec![awaited], Duration::ZERO), vec![awaited])
    }

    /// Lowers creations, replacements and deletions, wave by wave.
    fn roll_out(
        &self,
        graph: &mut Graph<'_>,
        mut front: Vec<usize>,
        pruned: &mut BTreeSet<ObjectRef>,
    ) -> Vec<usize> {
        let mut going = self.going();
        let mut zones = rollout::places(self.changes);
        let mut coming = self.changes.coming.clone();
        let rollout = self.desired.map(|desired| desired.rollout);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        // Machines that are down and are started or restarted were waited for by then.
        let started: usize = self
            .changes
            .changes
            .iter()
            .filter(|change| change.start || change::restarts(change))
            .flat_map(|change| &change.machines)
            .filter(|machine| !machine.available)
            .count();
        let old_available = going
            .iter()
            .filter(|(_, machine)| machine.available)
            .count();
        let waves = rollout::waves(Start {
            replicas: self.desired.map_or(0, |desired| desired.replicas),
            max_surge: rollout.map_or(0, |rollout| rollout.max_surge),
            max_unavailable: rollout.map_or(0, |rollout| rollout.max_unavailable),
            available: self.changes.available + count(started),
            coming: count(coming.len()),
            old_available: count(old_available),
            old_down: count(going.len() - old_available),
            create: count(zones.len()),
        });
        let prepared = (!zones.is_empty()).then(|| {
            let op = Op::Prepare {
                fleet: self.fleet.to_owned(),
            };
            graph.push(format!("prepare/{}", self.fleet), op, front.clone())
        });
        if let (true, false, Some(rollout), Some(desired)) =
            (waves.is_empty(), coming.is_empty(), rollout, self.desired)
        {
            let scope = &desired.template.scope;
            let awaited = (Vec::new(), std::mem::take(&mut coming));
            return vec![self.wait(graph, "0", rollout, scope, awaited, front)];
        }
        let mut routes = routing::late(graph.plan, self.fleet);
        for (index, wave) in waves.into_iter().enumerate() {
            let take = usize::try_from(wave.delete).unwrap_or(usize::MAX);
            let leaving: Vec<_> = going.drain(..take.min(going.len())).collect();
            if !leaving.is_empty() {
                front = self.delete(graph, index, &leaving, front, pruned);
            }
            let Some((rollout, desired)) = rollout.zip(self.desired) else {
                continue;
            };
            let mut needs = front.clone();
            needs.extend(prepared);
            let take = usize::try_from(wave.create).unwrap_or(usize::MAX);
            let places: Vec<String> = zones.drain(..take.min(zones.len())).collect();
            let created = self.create(graph, index, &places, &needs);
            if created.is_empty() && coming.is_empty() {
                continue;
            }
            let needs = if created.is_empty() {
                front.clone()
            } else {
                created.clone()
            };
            let machines = std::mem::take(&mut coming);
            let scope = &desired.template.scope;
            let awaited = (created, machines);
            front = vec![self.wait(graph, &index.to_string(), rollout, scope, awaited, needs)];
            front = self.route(graph, &mut routes, front);
        }
        self.route(graph, &mut routes, front)
    }

    /// Writes what leads traffic to the fleet, once.
    fn route(
        &self,
        graph: &mut Graph<'_>,
        routes: &mut Vec<Object>,
        front: Vec<usize>,
    ) -> Vec<usize> {
        if routes.is_empty() {
            return front;
        }
        let objects = std::mem::take(routes);
        let id = format!("route/{}", self.fleet);
        let fleets = BTreeSet::from([self.fleet.to_owned()]);
        vec![graph.push(id, Op::Write { fleets, objects }, front)]
    }

    /// Returns the machines that go, those that are down first, with where they are.
    fn going(&self) -> Vec<(&Scope, &MachineRef)> {
        let mut going: Vec<_> = self
            .changes
            .changes
            .iter()
            .filter(|change| match change.action {
                Action::Delete | Action::Replace => true,
                Action::Create | Action::Update | Action::Adopt | Action::Forget => false,
            })
            .flat_map(|change| change.machines.iter().map(|m| (&change.scope, m)))
            .collect();
        going.sort_by_key(|(scope, machine)| (machine.available, *scope, &machine.name));
        going
    }

    fn create(
        &self,
        graph: &mut Graph<'_>,
        wave: usize,
        places: &[String],
        needs: &[usize],
    ) -> Vec<usize> {
        let mut by_zone: BTreeMap<&str, u32> = BTreeMap::new();
        for zone in places {
            *by_zone.entry(zone).or_default() += 1;
        }
        let most = match self.changes.one_by_one {
            true => 1,
            false => self.changes.max_batch.max(1),
        };
        let mut created = Vec::new();
        for (zone, mut left) in by_zone {
            while left > 0 {
                let count = left.min(most);
                left -= count;
                let id = format!("create/{}/{wave}/{zone}/{}", self.fleet, created.len());
                let op = Op::Create(NewBatch {
                    fleet: self.fleet.to_owned(),
                    zone: zone.to_owned(),
                    count,
                    key: graph.key(&id),
                });
                created.push(graph.push(id, op, needs.to_vec()));
            }
        }
        created
    }

    /// Deletes machines, each after its entry: no traffic goes to a machine on its way out.
    fn delete(
        &self,
        graph: &mut Graph<'_>,
        wave: usize,
        leaving: &[(&Scope, &MachineRef)],
        front: Vec<usize>,
        pruned: &mut BTreeSet<ObjectRef>,
    ) -> Vec<usize> {
        let names: BTreeSet<&str> = leaving.iter().map(|(_, m)| m.name.as_str()).collect();
        let mut entries: Vec<ObjectRef> = graph
            .plan
            .objects
            .iter()
            .filter(|change| change.action == ObjectAction::Delete)
            .filter(|change| {
                change
                    .machine
                    .as_deref()
                    .is_some_and(|name| names.contains(name))
            })
            .map(|change| change.reference.clone())
            .collect();
        pruned.extend(entries.iter().cloned());
        entries.extend(leave::secrets_of(
            graph.plan,
            self.desired,
            &entries,
            leaving,
        ));
        let needs = if entries.is_empty() {
            front
        } else {
            let op = Op::Prune {
                fleets: BTreeSet::from([self.fleet.to_owned()]),
                objects: entries,
                drain: leave::drain(graph.plan, self.desired, leaving),
            };
            vec![graph.push(format!("leave/{}/{wave}", self.fleet), op, front)]
        };
        let mut by_scope: BTreeMap<&Scope, Vec<MachineId>> = BTreeMap::new();
        for (scope, machine) in leaving {
            by_scope.entry(scope).or_default().push(machine.id.clone());
        }
        let mut deleted = Vec::new();
        for (scope, machines) in by_scope {
            for machines in machines.chunks(self.batch()) {
                let id = format!("delete/{}/{wave}/{}", self.fleet, deleted.len());
                let op = Op::Delete {
                    fleet: self.fleet.to_owned(),
                    scope: scope.clone(),
                    machines: machines.to_vec(),
                };
                deleted.push(graph.push(id, op, needs.clone()));
            }
        }
        deleted
    }
}

/// When existing machines are changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Before machines come and go.
    First,
    /// When all machines are there.
    Last,
}
