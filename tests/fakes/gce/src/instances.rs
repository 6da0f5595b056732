//! What calls do to machines.

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::cloud::{Asked, Cloud, ROOT};
use crate::operations::Effect;
use crate::refusal::Refusal;
use crate::things;

/// What the ids of machines begin at: they are larger than a double can hold.
const FIRST: u64 = 6_000_000_000_000_000_000;
/// Fields of a machine's properties that are the machine's own as they are.
const TAKEN: [&str; 7] = [
    "canIpForward",
    "description",
    "scheduling",
    "shieldedInstanceConfig",
    "serviceAccounts",
    "reservationAffinity",
    "deletionProtection",
];

/// Returns the fingerprint of something.
fn fingerprint(of: &Value) -> String {
    let digest = Sha256::digest(of.to_string().as_bytes());
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

/// Returns the name at the end of an address.
pub fn last(address: &Value) -> &str {
    let address = address.as_str().unwrap_or_default();
    address.rsplit('/').next().unwrap_or_default()
}

impl Cloud {
    /// Returns the machines that listings show; looking brings those to light that are hidden.
    pub fn visible(&mut self) -> Vec<Value> {
        let hidden = &self.hidden;
        let shown = self
            .instances
            .iter()
            .filter(|(id, _)| !hidden.contains_key(id));
        let shown = shown.map(|(_, it)| it.clone()).collect();
        self.hidden.retain(|_, left| {
            *left -= 1;
            *left > 0
        });
        shown
    }

    pub fn list(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let zone = asked.path("zone").to_owned();
        let mut all = self.visible();
        all.retain(|it| last(&it["zone"]) == zone);
        self.listed(asked, "compute#instanceList", all)
    }

    /// Finds the machine that a path names, by its name or its id.
    pub fn find(&self, asked: &Asked<'_>, parameter: &str) -> Result<u64, Refusal> {
        let (zone, name) = (asked.path("zone"), asked.path(parameter));
        let mut all = self.instances.iter();
        let found = all.find(|(id, it)| {
            last(&it["zone"]) == zone && (it["name"] == name || id.to_string() == name)
        });
        let project = asked.path("project");
        let address = format!("projects/{project}/zones/{zone}/instances/{name}");
        found
            .map(|(id, _)| *id)
            .ok_or_else(|| Refusal::not_found(&address))
    }

    fn is_taken(&self, zone: &str, name: &str) -> bool {
        let mut all = self.instances.values();
        all.any(|it| last(&it["zone"]) == zone && it["name"] == name)
    }

    /// Does what an operation does in the end.
    pub fn apply(&mut self, effect: Effect) {
        let mut state = |id: u64, state: &str| {
            if let Some(instance) = self.instances.get_mut(&id) {
                instance["status"] = json!(state);
            }
        };
        match effect {
            Effect::Run(ids) => ids.into_iter().for_each(|id| state(id, "RUNNING")),
            Effect::Stop(id) => state(id, "TERMINATED"),
            Effect::Nothing => {}
            Effect::Remove(id) => {
                let gone = self.instances.remove(&id).unwrap_or_default();
                for disk in gone["disks"].as_array().into_iter().flatten() {
                    if disk["autoDelete"] == true {
                        self.disks.remove(last(&disk["source"]));
                    }
                }
            }
        }
    }

    /// Makes one machine; it is being provisioned.
    fn make(&mut self, project: &str, zone: &str, name: &str, wanted: &Value) -> u64 {
        let number = self.next();
        let id = FIRST + number;
        let place = format!("{ROOT}/projects/{project}/zones/{zone}");
        let now = Timestamp::now().to_string();
        let mut made = json!({
            "kind": "compute#instance",
            "id": id.to_string(),
            "name": name,
            "zone": place,
            "selfLink": format!("{place}/instances/{name}"),
            "machineType": format!("{place}/machineTypes/{}", last(&wanted["machineType"])),
            "status": "PROVISIONING",
            "creationTimestamp": now,
            "lastStartTimestamp": now,
            "deletionProtection": false,
            "startRestricted": false,
            "labels": wanted["labels"].as_object().cloned().unwrap_or_default(),
            "tags": {"items": wanted["tags"]["items"].as_array().cloned().unwrap_or_default()},
            "metadata": {
                "kind": "compute#metadata",
                "items": wanted["metadata"]["items"].as_array().cloned().unwrap_or_default(),
            },
            "shieldedInstanceConfig": {
                "enableSecureBoot": false, "enableVtpm": true, "enableIntegrityMonitoring": true,
            },
            "scheduling": {
                "automaticRestart": true, "onHostMaintenance": "MIGRATE",
                "preemptible": false, "provisioningModel": "STANDARD",
            },
        });
        for field in TAKEN {
            if !wanted[field].is_null() {
                made[field] = wanted[field].clone();
            }
        }
        made["disks"] = self.disks(project, zone, name, wanted);
        made["networkInterfaces"] = interfaces(project, zone, number, wanted);
        print_on(&mut made);
        self.instances.insert(id, made);
        if self.manners.lag > 0 {
            self.hidden.insert(id, self.manners.lag);
        }
        id
    }

    fn disks(&mut self, project: &str, zone: &str, name: &str, wanted: &Value) -> Value {
        let mut attached = Vec::new();
        for (index, disk) in wanted["disks"].as_array().into_iter().flatten().enumerate() {
            let parameters = &disk["initializeParams"];
            let own = match index {
                0 => name.to_owned(),
                index => format!("{name}-{index}"),
            };
            let place = format!("{ROOT}/projects/{project}/zones/{zone}");
            let kind = match last(&parameters["diskType"]) {
                "" => "pd-standard",
                kind => kind,
            };
            let size = match &parameters["diskSizeGb"] {
                Value::Null => json!("10"),
                Value::String(size) => json!(size),
                other => json!(other.to_string()),
            };
            self.disks.insert(
                own.clone(),
                json!({
                    "kind": "compute#disk", "name": own, "sizeGb": size, "zone": place,
                    "type": format!("{place}/diskTypes/{kind}"),
                    "status": "READY", "sourceImage": parameters["sourceImage"],
                    "labels": parameters["labels"],
                }),
            );
            let device = match disk["deviceName"].as_str() {
                Some(device) => device.to_owned(),
                None => format!("persistent-disk-{index}"),
            };
            attached.push(json!({
                "kind": "compute#attachedDisk", "type": "PERSISTENT", "mode": "READ_WRITE",
                "index": index, "boot": disk["boot"] == true,
                "autoDelete": disk["autoDelete"] == true, "deviceName": device,
                "diskSizeGb": size, "source": format!("{place}/disks/{own}"),
            }));
        }
        json!(attached)
    }

    pub fn insert(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let (project, zone) = (asked.path("project"), asked.path("zone"));
        let name = asked.body["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            return Err(Refusal::new(
                400,
                "required",
                "Required field 'resource.name' not specified",
            ));
        }
        crate::wanted::check(asked.body)?;
        if self.is_taken(zone, name) {
            let message = format!("The resource 'zones/{zone}/instances/{name}' already exists");
            return Err(Refusal::new(409, "alreadyExists", message));
        }
        let id = self.make(project, zone, name, asked.body);
        let target = self.instances[&id]["selfLink"].clone();
        let target = target.as_str().unwrap_or_default();
        let at = self.begin(asked, "insert", target, Effect::Run(vec![id]));
        self.operations[at].body["targetId"] = json!(id.to_string());
        Ok(self.operations[at].body.clone())
    }

    pub fn bulk_insert(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let (project, zone) = (asked.path("project"), asked.path("zone"));
        let number = |name: &str| match &asked.body[name] {
            Value::String(text) => text.parse::<usize>().ok(),
            other => other.as_u64().and_then(|it| usize::try_from(it).ok()),
        };
        let wanted = &asked.body["instanceProperties"];
        let names = asked.body["perInstanceProperties"].as_object();
        let names: Vec<&String> = names.into_iter().flat_map(Map::keys).collect();
        let count = number("count").unwrap_or_default();
        if count == 0 || count != names.len() || count > 1000 {
            let message = "Invalid value for field 'resource.count': it is not the number of names, or over 1000.";
            return Err(Refusal::invalid(message));
        }
        let pattern = regex::Regex::new("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$").expect("a pattern");
        if let Some(wrong) = names.iter().find(|name| !pattern.is_match(name)) {
            let message = format!("Invalid value for field 'resource.name': '{wrong}'.");
            return Err(Refusal::invalid(message));
        }
        crate::wanted::check(wanted)?;
        let least = number("minCount").unwrap_or(count);
        let kind = last(&wanted["machineType"]).to_owned();
        let free: Vec<String> = names
            .iter()
            .filter(|name| !self.is_taken(zone, name))
            .map(|name| (*name).clone())
            .collect();
        let room = self.manners.room.get(&kind).copied().unwrap_or(u32::MAX);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let quota = self.manners.quota.saturating_sub(self.instances.len());
        let most = free.len().min(room).min(quota);
        let has_failed = self.later.is_some() || most < least;
        let made = if has_failed { 0 } else { most };
        let new: Vec<u64> = free[..made]
            .iter()
            .map(|name| self.make(project, zone, name, wanted))
            .collect();
        if let Some(left) = self.manners.room.get_mut(&kind) {
            *left -= u32::try_from(made).unwrap_or_default();
        }
        let target = format!("{ROOT}/projects/{project}/zones/{zone}");
        let at = self.begin(asked, "bulkInsert", &target, Effect::Run(new));
        let operation = &mut self.operations[at];
        for name in names.iter().filter(|name| !free.contains(name)) {
            let message = format!("The resource 'zones/{zone}/instances/{name}' already exists");
            operation.fails(409, "RESOURCE_ALREADY_EXISTS", &message);
        }
        if most < free.len() && quota < room {
            operation.fails(403, "QUOTA_EXCEEDED", "Quota 'INSTANCES' exceeded.");
        } else if most < free.len() {
            let message = format!("The zone '{zone}' does not have enough resources available.");
            operation.fails(503, "ZONE_RESOURCE_POOL_EXHAUSTED", &message);
        }
        operation.ends["instancesBulkInsertOperationMetadata"] = json!({
            "perLocationStatus": {format!("zones/{zone}"): {
                "targetVmCount": count, "createdVmCount": made,
                "failedToCreateVmCount": count - made, "status": "DONE",
            }},
        });
        Ok(operation.body.clone())
    }

    pub fn delete(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let id = self.find(asked, "instance")?;
        let instance = &self.instances[&id];
        if instance["deletionProtection"] == true {
            let message = "Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion.'.";
            return Err(Refusal::new(400, "invalidResourceUsage", message));
        }
        let is_going = self.operations.iter().any(|operation| {
            !operation.is_done() && matches!(operation.effect, Effect::Remove(it) if it == id)
        });
        if is_going {
            let message = "The resource is not ready: it is being deleted.";
            return Err(Refusal::new(400, "resourceNotReady", message));
        }
        if self.later.is_none() {
            self.instances.get_mut(&id).expect("it was found")["status"] = json!("STOPPING");
        }
        self.on(asked, "delete", id, Effect::Remove(id))
    }

    pub fn start(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let id = self.find(asked, "instance")?;
        if self.instances[&id]["status"] != "RUNNING" {
            self.instances.get_mut(&id).expect("it was found")["status"] = json!("STAGING");
        }
        self.on(asked, "start", id, Effect::Run(vec![id]))
    }

    pub fn stop(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let id = self.find(asked, "instance")?;
        if self.instances[&id]["status"] != "TERMINATED" {
            self.instances.get_mut(&id).expect("it was found")["status"] = json!("STOPPING");
        }
        self.on(asked, "stop", id, Effect::Stop(id))
    }

    fn on(
        &mut self,
        asked: &Asked<'_>,
        kind: &str,
        id: u64,
        effect: Effect,
    ) -> Result<Value, Refusal> {
        let target = self.instances[&id]["selfLink"].clone();
        let at = self.begin(asked, kind, target.as_str().unwrap_or_default(), effect);
        self.operations[at].body["targetId"] = json!(id.to_string());
        Ok(self.operations[at].body.clone())
    }

    /// Somebody else is faster, where the double was told so.
    fn meddle(&mut self, id: u64) {
        if self.manners.meddle > 0 {
            self.manners.meddle -= 1;
            let number = self.next();
            let instance = self.instances.get_mut(&id).expect("it was found");
            instance["labels"]["meddler"] = json!(number.to_string());
            print_on(instance);
        }
    }

    pub fn set_labels(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let id = self.find(asked, "instance")?;
        self.meddle(id);
        let wanted = asked.body["labels"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        crate::wanted::labels(&wanted)?;
        let instance = self.instances.get_mut(&id).expect("it was found");
        if asked.body["labelFingerprint"] != instance["labelFingerprint"] {
            return Err(Refusal::stale("labels"));
        }
        if self.later.is_none() {
            instance["labels"] = json!(wanted);
            print_on(instance);
        }
        self.on(asked, "setLabels", id, Effect::Nothing)
    }

    pub fn set_tags(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        self.replace(asked, "setTags", "tags")
    }

    pub fn set_metadata(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        crate::wanted::metadata(asked.body)?;
        self.replace(asked, "setMetadata", "metadata")
    }

    fn replace(&mut self, asked: &Asked<'_>, kind: &str, field: &str) -> Result<Value, Refusal> {
        let id = self.find(asked, "instance")?;
        let instance = self.instances.get_mut(&id).expect("it was found");
        if asked.body["fingerprint"] != instance[field]["fingerprint"] {
            return Err(Refusal::stale(field));
        }
        if self.later.is_none() {
            let items = asked.body["items"].as_array().cloned().unwrap_or_default();
            instance[field]["items"] = json!(items);
            print_on(instance);
        }
        self.on(asked, kind, id, Effect::Nothing)
    }

    pub fn set_machine_type(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let id = self.find(asked, "instance")?;
        let wanted = last(&asked.body["machineType"]).to_owned();
        if !things::is_type(&wanted) {
            let message = format!("Invalid value for field 'resource.machineType': '{wanted}'.");
            return Err(Refusal::invalid(message));
        }
        let instance = self.instances.get_mut(&id).expect("it was found");
        if instance["status"] != "TERMINATED" {
            let message = "Invalid resource state: the machine must be stopped.";
            return Err(Refusal::invalid(message));
        }
        let place = instance["zone"].as_str().unwrap_or_default();
        instance["machineType"] = json!(format!("{place}/machineTypes/{wanted}"));
        self.on(asked, "setMachineType", id, Effect::Nothing)
    }

    pub fn set_deletion_protection(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let id = self.find(asked, "resource")?;
        // As in the cloud, it is on when nothing else is said.
        let wanted = asked.query.get("deletionProtection").map(String::as_str) != Some("false");
        self.instances.get_mut(&id).expect("it was found")["deletionProtection"] = json!(wanted);
        self.on(asked, "setDeletionProtection", id, Effect::Nothing)
    }
}

/// Writes the fingerprints of a machine.
fn print_on(instance: &mut Value) {
    instance["labelFingerprint"] = json!(fingerprint(&instance["labels"]));
    for field in ["tags", "metadata"] {
        instance[field]["fingerprint"] = json!(fingerprint(&instance[field]["items"]));
    }
}

fn interfaces(project: &str, zone: &str, number: u64, wanted: &Value) -> Value {
    let region = zone.rsplit_once('-').map_or(zone, |(region, _)| region);
    let asked = &wanted["networkInterfaces"][0];
    let subnetwork = match last(&asked["subnetwork"]) {
        "" => "default",
        name => name,
    };
    let found = things::subnetwork(ROOT, project, region, subnetwork).unwrap_or_default();
    let mut interface = json!({
        "kind": "compute#networkInterface",
        "name": "nic0",
        "network": found["network"],
        "subnetwork": found["selfLink"],
        "networkIP": format!("10.128.{}.{}", (number >> 8) & 255, number & 255),
        "stackType": "IPV4_ONLY",
    });
    interface["fingerprint"] = json!(fingerprint(&interface));
    if let Some(configs) = asked["accessConfigs"].as_array() {
        interface["accessConfigs"] = json!(configs);
    }
    json!([interface])
}
