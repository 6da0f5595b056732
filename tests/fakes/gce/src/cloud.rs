//! One project: its machines, disks and operations, and what calls do to them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::description::Call;
use crate::instances::last;
use crate::manners::Manners;
use crate::operations::{Effect, Operation};
use crate::page::Pages;
use crate::refusal::Refusal;
use crate::{quotas, things};

/// What links of things begin with, whatever address clients reach them at.
pub const ROOT: &str = "https://www.googleapis.com/compute/v1";

/// One project.
#[derive(Default)]
pub struct Cloud {
    pub manners: Manners,
    pub instances: BTreeMap<u64, Value>,
    /// Disks, by their addresses.
    pub disks: BTreeMap<String, Value>,
    pub firewalls: BTreeMap<String, Value>,
    pub operations: Vec<Operation>,
    /// The operation that each request id began.
    pub replies: HashMap<String, usize>,
    /// How many listings still hide each machine.
    pub hidden: BTreeMap<u64, u32>,
    pub pages: Pages,
    number: u64,
    /// What shall fail in the end: by the call now at work.
    pub later: Option<(u16, String)>,
}

/// A call, as it is answered.
pub struct Asked<'a> {
    pub call: &'a Call,
    pub query: &'a BTreeMap<String, String>,
    pub body: &'a Value,
}

impl Asked<'_> {
    pub fn path(&self, name: &str) -> &str {
        self.call
            .path
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    }

    /// Returns the address that was called, from `projects/` on.
    pub fn address(&self) -> &str {
        &self.call.address
    }
}

impl Cloud {
    /// Returns a number that was never used.
    pub fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Answers a call that was found to be right.
    ///
    /// # Errors
    /// What the cloud would refuse it for.
    pub fn answer(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        self.tick();
        let id = asked.query.get("requestId").cloned();
        if let Some(&known) = id.as_ref().and_then(|id| self.replies.get(id)) {
            return Ok(self.operations[known].body.clone());
        }
        let before = self.operations.len();
        let answer = self.dispatch(asked)?;
        if let Some(id) = id
            && self.operations.len() > before
        {
            self.replies.insert(id, before);
        }
        Ok(answer)
    }

    /// Returns which of the permissions that a caller asks for it has.
    fn granted(&self, asked: &Asked<'_>) -> Value {
        let wanted = asked.body["permissions"].as_array();
        let wanted = wanted.into_iter().flatten();
        let denied = &self.manners.denied;
        let granted = wanted.filter(|it| !denied.contains(it.as_str().unwrap_or_default()));
        json!({"permissions": granted.collect::<Vec<_>>()})
    }

    fn dispatch(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let project = asked.path("project").to_owned();
        // Public images are other projects'; of the others it is one.
        let is_image = asked.call.method.name.starts_with("image");
        if !is_image && !project.is_empty() && project != things::PROJECT {
            let message = format!("Failed to find project {project}");
            return Err(Refusal::new(404, "notFound", message));
        }
        let zone = asked.path("zone");
        if !zone.is_empty() && things::zones().all(|known| known != zone) {
            let address = format!("projects/{project}/zones/{zone}");
            return Err(Refusal::not_found(&address));
        }
        let missing = |kind: &str, name: &str| {
            Refusal::not_found(&format!("projects/{project}/{kind}/{name}"))
        };
        match asked.call.method.name.as_str() {
            "instances.aggregatedList" => self.list_all_instances(asked),
            "instances.list" => self.list(asked),
            "instances.get" => {
                let id = self.find(asked, "instance")?;
                Ok(self.instances[&id].clone())
            }
            "instances.insert" => self.insert(asked),
            "instances.bulkInsert" => self.bulk_insert(asked),
            "instances.delete" => self.delete(asked),
            "instances.start" => self.start(asked),
            "instances.stop" => self.stop(asked),
            "instances.suspend" => self.suspend(asked),
            "instances.resume" => self.resume(asked),
            "instances.setLabels" => self.set_labels(asked),
            "instances.setTags" => self.set_tags(asked),
            "instances.setMetadata" => self.set_metadata(asked),
            "instances.setMachineType" => self.set_machine_type(asked),
            "instances.setDeletionProtection" => self.set_deletion_protection(asked),
            "disks.get" => self.disk(asked),
            "disks.list" => self.list_disks(asked),
            "disks.aggregatedList" => self.list_all_disks(asked),
            "zoneOperations.get" => {
                let at = self.operation(asked)?;
                Ok(self.operations[at].body.clone())
            }
            "zoneOperations.wait" => {
                let at = self.operation(asked)?;
                self.finish(at);
                Ok(self.operations[at].body.clone())
            }
            "zoneOperations.list" => {
                let zone = asked.path("zone");
                let all = self.operations.iter().filter(|it| it.zone == zone);
                let all: Vec<Value> = all.map(|it| it.body.clone()).collect();
                self.listed(asked, "compute#operationList", all)
            }
            "firewalls.get" => self.firewall(asked),
            "firewalls.list" => self.list_firewalls(asked),
            "firewalls.insert" => self.insert_firewall(asked),
            "firewalls.update" => self.update_firewall(asked),
            "firewalls.delete" => self.delete_firewall(asked),
            "globalOperations.get" => {
                let at = self.operation(asked)?;
                Ok(self.operations[at].body.clone())
            }
            "globalOperations.wait" => {
                let at = self.operation(asked)?;
                self.finish(at);
                Ok(self.operations[at].body.clone())
            }
            "globalOperations.aggregatedList" => {
                let all = self.operations.iter().map(|it| it.body.clone()).collect();
                self.by_zone(asked, "compute#operationAggregatedList", "operations", all)
            }
            "images.get" => {
                let name = asked.path("image");
                let found = things::image(ROOT, &project, |_, image| image == name);
                found.ok_or_else(|| missing("global/images", name))
            }
            "images.getFromFamily" => {
                let name = asked.path("family");
                let found = things::image(ROOT, &project, |family, _| family == name);
                found.ok_or_else(|| missing("global/images/family", name))
            }
            "imageFamilyViews.get" => {
                let name = asked.path("family");
                let found = things::image(ROOT, &project, |family, _| family == name);
                let found = found.ok_or_else(|| missing("global/images/family", name))?;
                Ok(json!({"image": found}))
            }
            "regions.get" => {
                let name = asked.path("region");
                let prefix = format!("{name}-");
                let is_here = |it: &&Value| last(&it["zone"]).starts_with(&prefix);
                let machines = self.instances.values().filter(is_here);
                let disks = self.disks.values().filter(is_here);
                let quotas = quotas::of(&self.manners, machines, disks);
                let found = things::region(ROOT, &project, name, &quotas);
                found.ok_or_else(|| missing("regions", name))
            }
            "subnetworks.get" => {
                let (region, name) = (asked.path("region"), asked.path("subnetwork"));
                let found = things::subnetwork(ROOT, &project, region, name);
                let mut found = found.ok_or_else(|| missing("subnetworks", name))?;
                if asked.query.get("views").map(String::as_str) == Some("WITH_UTILIZATION") {
                    let machines = self.instances.values();
                    let of = |it: &Value| it["networkInterfaces"][0]["subnetwork"].clone();
                    let used = machines.filter(|it| of(it) == found["selfLink"]).count();
                    found["utilizationDetails"] = json!({"ipv4Utilizations": [{
                        "totalAllocatedIp": used.to_string(),
                        "totalFreeIp": self.manners.addresses.saturating_sub(used).to_string(),
                    }]});
                }
                Ok(found)
            }
            "subnetworks.testIamPermissions" => {
                let (region, name) = (asked.path("region"), asked.path("resource"));
                let found = things::subnetwork(ROOT, &project, region, name);
                found.ok_or_else(|| missing("subnetworks", name))?;
                Ok(self.granted(asked))
            }
            "projects.testIamPermissions" => Ok(self.granted(asked)),
            "projects.get" => Ok(json!({
                "kind": "compute#project",
                "id": "1234",
                "name": project,
                "selfLink": format!("{ROOT}/projects/{project}"),
                "creationTimestamp": "2026-01-01T00:00:00.000-07:00",
                "defaultNetworkTier": "PREMIUM",
                "defaultServiceAccount": things::ACCOUNT,
                "commonInstanceMetadata": {"kind": "compute#metadata"},
                "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
            })),
            "machineTypes.aggregatedList" => {
                let all = things::zones().flat_map(|zone| things::types(ROOT, &project, zone));
                let kind = "compute#machineTypeAggregatedList";
                self.by_zone(asked, kind, "machineTypes", all.collect())
            }
            "machineTypes.get" => {
                let name = asked.path("machineType");
                let mut all = things::types(ROOT, &project, zone).into_iter();
                let found = all.find(|it| it["name"] == name);
                found.ok_or_else(|| missing(&format!("zones/{zone}/machineTypes"), name))
            }
            "machineTypes.list" => {
                let all = things::types(ROOT, &project, zone);
                self.listed(asked, "compute#machineTypeList", all)
            }
            "zones.get" => Ok(things::zone(ROOT, &project, zone)),
            "zones.list" => {
                let all = things::zones().map(|zone| things::zone(ROOT, &project, zone));
                self.listed(asked, "compute#zoneList", all.collect())
            }
            other => {
                let message = format!("The double does not know what {other} does");
                Err(Refusal::new(501, "notImplemented", message))
            }
        }
    }

    /// Lets time pass: every operation goes one step.
    fn tick(&mut self) {
        for at in 0..self.operations.len() {
            if let Some(effect) = self.operations[at].step() {
                self.apply(effect);
            }
        }
    }

    /// Ends an operation, and before it those of its group.
    pub fn finish(&mut self, at: usize) {
        let group = self.operations[at].body["operationGroupId"].clone();
        if !group.is_null() && self.operations[at].body["operationType"] == "bulkInsert" {
            let mut all = (0..self.operations.len()).collect::<Vec<_>>();
            all.retain(|&it| it != at && self.operations[it].body["operationGroupId"] == group);
            all.into_iter().for_each(|it| self.finish(it));
        }
        while !self.operations[at].is_done() {
            if let Some(effect) = self.operations[at].step() {
                self.apply(effect);
            }
        }
    }

    fn operation(&self, asked: &Asked<'_>) -> Result<usize, Refusal> {
        let (zone, name) = (asked.path("zone"), asked.path("operation"));
        let mut all = self.operations.iter();
        let found =
            all.position(|it| it.zone == zone && (it.name == name || it.body["id"] == name));
        found.ok_or_else(|| Refusal::not_found(&format!("zones/{zone}/operations/{name}")))
    }

    /// Begins an operation on a machine.
    pub fn begin(&mut self, asked: &Asked<'_>, kind: &str, target: &str, effect: Effect) -> usize {
        let (project, zone) = (asked.path("project"), asked.path("zone"));
        let number = self.next();
        let mut operation = Operation::new(ROOT, project, zone, number, kind, target);
        operation.left = self.manners.slow;
        operation.effect = effect;
        if let Some((status, reason)) = self.later.take() {
            operation.fails(status, &reason, "It failed on purpose.");
        }
        self.operations.push(operation);
        self.operations.len() - 1
    }
}
