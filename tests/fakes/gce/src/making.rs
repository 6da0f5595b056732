//! How machines come to be: one by one, and in bulk.

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::cloud::{Asked, Cloud, ROOT};
use crate::instances::{fingerprint, last, print_on};
use crate::operations::Effect;
use crate::refusal::Refusal;
use crate::{things, wanted};

/// What the ids of machines begin at: they are larger than a double can hold.
const FIRST: u64 = 6_000_000_000_000_000_000;
/// Fields of a machine's properties that are the machine's own as they are.
const TAKEN: [&str; 4] = [
    "canIpForward",
    "description",
    "reservationAffinity",
    "deletionProtection",
];
/// The most machines of one call.
const MOST: usize = 1000;

/// How many machines there can be, and what ends a wish for more.
struct Room {
    machines: usize,
    is_quota: bool,
}

impl Room {
    /// Writes into an operation why there are fewer machines than asked for.
    fn refusal(&self, zone: &str, quota: usize) -> (u16, &'static str, String) {
        if self.is_quota {
            let region = region(zone);
            let message =
                format!("Quota 'INSTANCES' exceeded.  Limit: {quota}.0 in region {region}.");
            return (403, "QUOTA_EXCEEDED", message);
        }
        let message = format!(
            "The zone '{zone}' does not have enough resources available to fulfill the request.  Try a different zone, or try again later."
        );
        (503, "ZONE_RESOURCE_POOL_EXHAUSTED", message)
    }
}

fn region(zone: &str) -> &str {
    zone.rsplit_once('-').map_or(zone, |(region, _)| region)
}

impl Cloud {
    /// Returns how many machines of a type there is room for in a zone.
    fn room(&self, zone: &str, kind: &str) -> Room {
        let room = match self.manners.full.contains(zone) {
            true => 0,
            false => self.manners.room.get(kind).copied().unwrap_or(u32::MAX),
        };
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let quota = self.manners.quota.saturating_sub(self.instances.len());
        Room {
            machines: room.min(quota),
            is_quota: quota < room,
        }
    }

    fn take_room(&mut self, kind: &str, machines: usize) {
        if let Some(left) = self.manners.room.get_mut(kind) {
            *left -= u32::try_from(machines).unwrap_or_default();
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
            "scheduling": scheduling(&wanted["scheduling"]),
        });
        for field in TAKEN {
            if !wanted[field].is_null() {
                made[field] = wanted[field].clone();
            }
        }
        over(
            &mut made["shieldedInstanceConfig"],
            &wanted["shieldedInstanceConfig"],
        );
        if let Some(accounts) = wanted["serviceAccounts"].as_array() {
            made["serviceAccounts"] = accounts.iter().map(account).collect();
        }
        made["disks"] = self.attach(project, zone, name, wanted);
        made["networkInterfaces"] = interfaces(project, zone, number, wanted);
        print_on(&mut made);
        self.instances.insert(id, made);
        if self.manners.lag > 0 {
            self.hidden.insert(id, self.manners.lag);
        }
        id
    }

    pub fn insert(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let (project, zone) = (asked.path("project"), asked.path("zone"));
        let name = asked.body["name"].as_str().unwrap_or_default();
        wanted::address(&asked.body["machineType"], "machineType")?;
        wanted::check(asked.body, project, zone)?;
        if self.is_taken(zone, name) {
            let message = format!("The resource 'zones/{zone}/instances/{name}' already exists");
            return Err(Refusal::new(409, "alreadyExists", message));
        }
        let kind = last(&asked.body["machineType"]);
        let (room, quota) = (self.room(zone, kind), self.manners.quota);
        let target = format!("{ROOT}/projects/{project}/zones/{zone}/instances/{name}");
        // A machine whose operation fails is not there.
        if self.later.is_some() || room.machines == 0 {
            let is_full = self.later.is_none();
            let at = self.begin(asked, "insert", &target, Effect::Nothing);
            let operation = &mut self.operations[at];
            if is_full {
                let (status, code, message) = room.refusal(zone, quota);
                operation.fails(status, code, &message);
            }
            return Ok(operation.body.clone());
        }
        let id = self.make(project, zone, name, asked.body);
        self.take_room(kind, 1);
        let at = self.begin(asked, "insert", &target, Effect::Run(vec![id]));
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
        let count = number("count").unwrap_or_default();
        if count == 0 || count > MOST {
            let message = format!("Invalid value for field 'resource.count': '{count}'.");
            return Err(Refusal::invalid(message));
        }
        let names = self.names(asked.body, zone, count)?;
        wanted::name(&wanted["machineType"], "instanceProperties.machineType")?;
        wanted::check(wanted, project, zone)?;
        let least = number("minCount").unwrap_or(count);
        let kind = last(&wanted["machineType"]).to_owned();
        let (free, taken): (Vec<String>, Vec<String>) = names
            .into_iter()
            .partition(|name| !self.is_taken(zone, name));
        let (room, quota) = (self.room(zone, &kind), self.manners.quota);
        let most = free.len().min(room.machines);
        let has_failed = self.later.is_some() || most < least;
        let made = if has_failed { 0 } else { most };
        let new: Vec<u64> = free[..made]
            .iter()
            .map(|name| self.make(project, zone, name, wanted))
            .collect();
        self.take_room(&kind, made);
        let target = format!("{ROOT}/projects/{project}/zones/{zone}");
        let at = self.begin(asked, "bulkInsert", &target, Effect::Run(new.clone()));
        let group = uuid::Uuid::new_v4().to_string();
        let operation = &mut self.operations[at];
        operation.body["operationGroupId"] = json!(group);
        // The cause comes second: what is first says of no request why it failed.
        if most < least {
            let message = format!("Requested minimum count of {least} VMs could not be created.");
            operation.fails(400, "VM_MIN_COUNT_NOT_REACHED", &message);
        }
        let mut failed = Vec::new();
        for name in taken {
            let message = format!("The resource 'zones/{zone}/instances/{name}' already exists");
            failed.push((name, (409, "RESOURCE_ALREADY_EXISTS", message)));
        }
        if most < free.len() {
            let unmade = free[most..].iter().cloned();
            failed.extend(unmade.map(|name| (name, room.refusal(zone, quota))));
        }
        for (_, (status, code, message)) in &failed {
            operation.fails(*status, code, message);
        }
        operation.ends["instancesBulkInsertOperationMetadata"] = json!({
            "perLocationStatus": {format!("zones/{zone}"): {
                "targetVmCount": count, "createdVmCount": made,
                "failedToCreateVmCount": count - made, "status": "DONE",
            }},
        });
        let answer = operation.body.clone();
        for (name, id) in free.iter().zip(new) {
            let at = self.begin_of(asked, &group, name);
            self.operations[at].body["targetId"] = json!(id.to_string());
        }
        for (name, (status, code, message)) in failed {
            let at = self.begin_of(asked, &group, &name);
            self.operations[at].fails(status, code, &message);
        }
        Ok(answer)
    }

    /// Begins what a call in bulk does for one of its machines: an operation of its group.
    fn begin_of(&mut self, asked: &Asked<'_>, group: &str, name: &str) -> usize {
        let (project, zone) = (asked.path("project"), asked.path("zone"));
        let target = format!("{ROOT}/projects/{project}/zones/{zone}/instances/{name}");
        let at = self.begin(asked, "insert", &target, Effect::Nothing);
        self.operations[at].body["operationGroupId"] = json!(group);
        at
    }

    /// Returns the names that a call in bulk gives its machines, by name or by a pattern such as
    /// `web-##`, whose numbers are the next that are free.
    fn names(&self, body: &Value, zone: &str, count: usize) -> Result<Vec<String>, Refusal> {
        let given = body["perInstanceProperties"].as_object();
        let given: Vec<String> = given.into_iter().flat_map(Map::keys).cloned().collect();
        let names = match (body["namePattern"].as_str(), given.len()) {
            (None, named) if named == count => given,
            (Some(pattern), 0) => {
                let wrong = || {
                    let message =
                        format!("Invalid value for field 'resource.namePattern': '{pattern}'.");
                    Refusal::invalid(message)
                };
                let hashes = Regex::new("^([^#]*)(#+)([^#]*)$").expect("a pattern");
                let parts = hashes.captures(pattern).ok_or_else(wrong)?;
                let width = parts[2].len();
                let numbered =
                    (1..).map(|number| format!("{}{number:0width$}{}", &parts[1], &parts[3]));
                numbered
                    .filter(|name| !self.is_taken(zone, name))
                    .take(count)
                    .collect()
            }
            _ => {
                let message = "Invalid value for field 'resource.count': it is not the number of names, or there is a pattern as well.";
                return Err(Refusal::invalid(message));
            }
        };
        let pattern = Regex::new("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$").expect("a pattern");
        match names.iter().find(|name| !pattern.is_match(name)) {
            Some(wrong) => Err(Refusal::invalid(format!(
                "Invalid value for field 'resource.name': '{wrong}'."
            ))),
            None => Ok(names),
        }
    }

    fn is_taken(&self, zone: &str, name: &str) -> bool {
        let mut all = self.instances.values();
        all.any(|it| last(&it["zone"]) == zone && it["name"] == name)
    }
}

/// Writes what is wanted over what is there when nothing is said.
fn over(there: &mut Value, wanted: &Value) {
    for (name, value) in wanted.as_object().into_iter().flatten() {
        there[name] = value.clone();
    }
}

/// What a machine's scheduling is when only a part of it is said
/// (<https://cloud.google.com/compute/docs/instances/spot#spot-vm-availability>: machines on spot
/// are not restarted, and are not moved when their host is maintained).
fn scheduling(wanted: &Value) -> Value {
    let is_spot = wanted["provisioningModel"] == "SPOT" || wanted["preemptible"] == true;
    let mut made = match is_spot {
        true => json!({
            "automaticRestart": false, "onHostMaintenance": "TERMINATE",
            "preemptible": true, "provisioningModel": "SPOT",
        }),
        false => json!({
            "automaticRestart": true, "onHostMaintenance": "MIGRATE",
            "preemptible": false, "provisioningModel": "STANDARD",
        }),
    };
    over(&mut made, wanted);
    made
}

/// The account of a machine: `default` is told by its address.
fn account(wanted: &Value) -> Value {
    let mut made = wanted.clone();
    if wanted["email"] == "default" {
        made["email"] = json!(things::ACCOUNT);
    }
    made
}

fn interfaces(project: &str, zone: &str, number: u64, wanted: &Value) -> Value {
    let asked = &wanted["networkInterfaces"][0];
    let subnetwork = match last(&asked["subnetwork"]) {
        "" => "default",
        name => name,
    };
    let found = things::subnetwork(ROOT, project, region(zone), subnetwork);
    let found = found.expect("it was looked for before");
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
        let configs = configs.iter().map(|config| {
            let mut made = json!({
                "kind": "compute#accessConfig", "type": "ONE_TO_ONE_NAT", "name": "external-nat",
                "networkTier": "PREMIUM", "natIP": format!("198.51.100.{}", number & 255),
            });
            over(&mut made, config);
            made
        });
        interface["accessConfigs"] = configs.collect();
    }
    json!([interface])
}
