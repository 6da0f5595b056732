//! What there is: resources by id, and operations that go on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::application::Application;
use crate::manners::Manners;
use crate::operations::Operation;
use crate::{GROUP, LOCATION, SUBSCRIPTION};

/// A resource, as it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub body: Value,
    /// How many lists do not show it yet.
    pub hidden: u32,
    /// Whether a machine runs: the last part of its power state.
    pub power: Option<&'static str>,
    /// Why it failed.
    pub failure: Option<(String, String)>,
}

impl Resource {
    /// Returns what is told of it: of a deallocated machine's disks neither size nor type.
    pub fn told(&self) -> Value {
        let mut body = self.body.clone();
        if self.power != Some("deallocated") {
            return body;
        }
        let storage = &mut body["properties"]["storageProfile"];
        let mut disks: Vec<&mut Value> = Vec::new();
        let Some(storage) = storage.as_object_mut() else {
            return body;
        };
        for (name, part) in storage.iter_mut() {
            match (name.as_str(), part) {
                ("osDisk", disk) => disks.push(disk),
                ("dataDisks", Value::Array(all)) => disks.extend(all),
                _ => {}
            }
        }
        for disk in disks {
            if let Some(disk) = disk.as_object_mut() {
                disk.remove("diskSizeGB");
                let managed = disk.get_mut("managedDisk").and_then(Value::as_object_mut);
                managed.map(|managed| managed.remove("storageAccountType"));
            }
        }
        body
    }
}

/// Everything; ids are in lower case.
#[derive(Default)]
pub(crate) struct World {
    pub resources: BTreeMap<String, Resource>,
    pub operations: BTreeMap<String, Operation>,
    /// What was deployed, by id.
    pub deployments: BTreeMap<String, Value>,
    pub manners: Manners,
    /// The application that has a certificate.
    pub application: Option<Application>,
    /// Counts what has to be told apart.
    pub serial: u64,
    pub calls: BTreeMap<String, u64>,
    pub rights: BTreeMap<String, u64>,
    pub sent: Vec<(String, Value)>,
    pub changes: u64,
    pub lost: u64,
    pub throttled: u64,
    /// How many changes were asked for since the halt was set.
    pub asked: u64,
    pub is_halted: bool,
}

impl World {
    /// Makes one with a group, a network, a subnet and a security group.
    pub fn new(manners: Manners) -> Self {
        let mut world = Self {
            manners,
            ..Self::default()
        };
        let group = group_id(GROUP);
        world.put(
            &group,
            json!({"location": LOCATION, "properties": {"provisioningState": "Succeeded"}}),
        );
        let network = format!("{group}/providers/Microsoft.Network/virtualNetworks/net");
        let space = json!({"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, "provisioningState": "Succeeded"});
        world.put(&network, json!({"location": LOCATION, "properties": space}));
        for (name, prefix) in [("default", "10.1.0.0/16"), ("tiny", "10.2.0.0/29")] {
            let subnet = json!({"addressPrefix": prefix, "provisioningState": "Succeeded"});
            let id = format!("{network}/subnets/{name}");
            world.put(&id, json!({"properties": subnet}));
        }
        for (name, location) in [
            ("mesh", LOCATION),
            ("strict", LOCATION),
            ("far", "northeurope"),
        ] {
            let id = format!("{group}/providers/Microsoft.Network/networkSecurityGroups/{name}");
            let properties = json!({"provisioningState": "Succeeded"});
            world.put(&id, json!({"location": location, "properties": properties}));
        }
        for resource in world.resources.values_mut() {
            resource.hidden = 0;
        }
        world
    }

    /// Returns the next number, which nothing else has.
    pub fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Puts a resource in its place, with all that follows from its id, and a version of its own.
    pub fn put(&mut self, id: &str, mut body: Value) {
        let number = self.next();
        let name = id.rsplit('/').next().unwrap_or_default();
        body["id"] = json!(id);
        body["name"] = json!(name);
        body["type"] = json!(type_of(id));
        if !type_of(id).starts_with("Microsoft.Resources") {
            body["etag"] = json!(format!("\"{number}\""));
        }
        let key = id.to_ascii_lowercase();
        let before = self.resources.get(&key);
        let resource = Resource {
            body,
            hidden: before.map_or(self.manners.lag, |it| it.hidden),
            power: before.and_then(|it| it.power),
            failure: before.and_then(|it| it.failure.clone()),
        };
        self.resources.insert(key, resource);
    }

    /// Returns a resource.
    pub fn get(&self, id: &str) -> Option<&Resource> {
        self.resources.get(&id.to_ascii_lowercase())
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Resource> {
        self.resources.get_mut(&id.to_ascii_lowercase())
    }

    pub fn remove(&mut self, id: &str) {
        self.resources.remove(&id.to_ascii_lowercase());
    }

    /// Changes a field of a resource, which makes it another version.
    pub fn set(&mut self, id: &str, pointer: &str, value: Value) {
        let number = self.next();
        if let Some(resource) = self.get_mut(id) {
            set(&mut resource.body, pointer, value);
            if resource.body.get("etag").is_some() {
                resource.body["etag"] = json!(format!("\"{number}\""));
            }
        }
    }

    /// Returns the ids of resources of a type below an id, as lists show them: late, and with
    /// what goes on made go on.
    pub fn listed(&mut self, below: &str, kind: &str) -> Vec<String> {
        let below = format!("{}/", below.to_ascii_lowercase());
        let ids: Vec<String> = self
            .resources
            .iter()
            .filter(|(id, resource)| {
                let is_of = type_of(id).eq_ignore_ascii_case(kind);
                id.starts_with(&below) && is_of && resource.body.is_object()
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in &ids {
            self.look_at(id);
        }
        let mut shown = Vec::new();
        for id in ids {
            if let Some(resource) = self.resources.get_mut(&id) {
                match resource.hidden {
                    0 => shown.push(id),
                    _ => resource.hidden -= 1,
                }
            }
        }
        shown
    }
}

/// Sets a field, and the objects on the way to it.
pub(crate) fn set(body: &mut Value, pointer: &str, value: Value) {
    let mut at = body;
    for part in pointer.trim_start_matches('/').split('/') {
        at = match part.parse::<usize>() {
            Ok(index) if at.is_array() => &mut at[index],
            Ok(_) | Err(_) => &mut at[part],
        };
    }
    *at = value;
}

/// Returns a text in a body.
pub(crate) fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer).and_then(Value::as_str)
}

/// Returns the id of a resource group.
pub(crate) fn group_id(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}")
}

/// Returns the type of a resource, by its id.
pub(crate) fn type_of(id: &str) -> String {
    let Some((_, rest)) = id.rsplit_once("/providers/") else {
        return "Microsoft.Resources/resourceGroups".to_owned();
    };
    let mut parts = rest.split('/');
    let mut kind = parts.next().unwrap_or_default().to_owned();
    for (index, part) in parts.enumerate() {
        if index % 2 == 0 {
            kind = format!("{kind}/{part}");
        }
    }
    kind
}
