//! Machines, with all that is made and deleted with them.

use serde_json::{Value, json};

use crate::LOCATION;
use crate::catalog;
use crate::networks::Inline;
use crate::operations::End;
use crate::server::Reply;
use crate::validate::is_name;
use crate::world::{World, set, text, type_of};

const COMPUTE: &str = "Microsoft.Compute";
const STATE: &str = "/properties/provisioningState";
/// The most letters of custom data once encoded: 65,535 bytes.
const CUSTOM_DATA: usize = 87_380;

/// Returns whether a machine is a spot machine, which has a quota of its own.
fn is_spot(body: &Value) -> bool {
    text(body, "/properties/priority") == Some("Spot")
}

impl World {
    /// Returns how many cores all machines have together.
    pub fn cores_used(&self, by_spot: bool) -> u64 {
        let sizes = self.machines().into_iter().filter_map(|id| {
            let body = &self.get(&id)?.body;
            if is_spot(body) != by_spot {
                return None;
            }
            catalog::cores(text(body, "/properties/hardwareProfile/vmSize")?)
        });
        sizes.sum()
    }

    /// Returns the ids of all machines.
    pub fn machines(&self) -> Vec<String> {
        let ids = self.resources.keys();
        ids.filter(|id| type_of(id) == "microsoft.compute/virtualmachines")
            .cloned()
            .collect()
    }

    /// Makes a machine, or changes what it is.
    pub fn put_machine(&mut self, id: &str, body: Value) -> Reply {
        self.look_at(id);
        match self.get(id).map(|it| it.body.clone()) {
            Some(before) if text(&before, STATE) == Some("Deleting") => {
                Reply::error(409, "Conflict", "The machine is being deleted.")
            }
            Some(before) => self.patch_machine(id, &before, body),
            None => self.make_machine(id, body),
        }
    }

    fn make_machine(&mut self, id: &str, mut body: Value) -> Reply {
        let name = id.rsplit('/').next().unwrap_or_default().to_owned();
        let refused = |code: &str, message: &str| Reply::error(400, code, message);
        if !is_name(&name) {
            return refused("InvalidParameter", "The name of the machine is not valid.");
        }
        let size = text(&body, "/properties/hardwareProfile/vmSize")
            .unwrap_or_default()
            .to_owned();
        let Some(cores) = catalog::cores(&size) else {
            return refused(
                "InvalidParameter",
                &format!("The value {size} is no VM size."),
            );
        };
        let reference = &body["properties"]["storageProfile"]["imageReference"];
        if !catalog::has_image(reference) {
            return Reply::error(404, "PlatformImageNotFound", "The image was not found.");
        }
        let custom_data = text(&body, "/properties/osProfile/customData").unwrap_or_default();
        if custom_data.len() > CUSTOM_DATA {
            return refused("InvalidParameter", "Custom data is too long.");
        }
        let keys = body.pointer("/properties/osProfile/linuxConfiguration/ssh/publicKeys");
        if keys.and_then(Value::as_array).is_none_or(Vec::is_empty) {
            return refused("InvalidParameter", "There is neither a password nor a key.");
        }
        if self.manners.unavailable.contains(&size) {
            let message =
                format!("The requested size {size} is currently not available in {LOCATION}.");
            return Reply::error(409, "SkuNotAvailable", &message);
        }
        let by_spot = is_spot(&body);
        let limit = match by_spot {
            true => self.manners.spot_cores,
            false => self.manners.cores,
        };
        if self.cores_used(by_spot) + cores > limit {
            let message = "Operation could not be completed as it results in exceeding approved Total Regional Cores quota.";
            return Reply::error(409, "OperationNotAllowed", message);
        }
        let profile = body["properties"]["networkProfile"].clone();
        let given = profile["networkInterfaces"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let inline = profile["networkInterfaceConfigurations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if given.len() + inline.len() != 1 {
            return refused(
                "InvalidParameter",
                "A machine of this double has one interface.",
            );
        }
        let zones = body["zones"].clone();
        let interface = match given.first() {
            Some(reference) => {
                let nic = text(reference, "/id").unwrap_or_default().to_owned();
                let Some(found) = self.get(&nic) else {
                    return Reply::error(404, "NotFound", "The interface was not found.");
                };
                if text(&found.body, "/properties/virtualMachine/id").is_some() {
                    return refused("NicInUse", "The interface is of another machine.");
                }
                self.set(&nic, "/properties/virtualMachine", json!({"id": id}));
                nic
            }
            None => {
                let inline = Inline {
                    machine: id,
                    configuration: &inline[0],
                    zones: &zones,
                };
                match self.make_inline(&inline) {
                    Ok(nic) => nic,
                    Err(reply) => return *reply,
                }
            }
        };
        let option = match given.first().or(inline.first()) {
            Some(of) => text(of, "/properties/deleteOption")
                .unwrap_or("Detach")
                .to_owned(),
            None => "Detach".to_owned(),
        };
        let attached =
            json!([{"id": interface, "properties": {"deleteOption": option, "primary": true}}]);
        set(
            &mut body,
            "/properties/networkProfile",
            json!({"networkInterfaces": attached}),
        );
        self.make_disks(id, &name, &mut body);
        // What is written and never read.
        if let Some(os) = body
            .pointer_mut("/properties/osProfile")
            .and_then(Value::as_object_mut)
        {
            os.remove("customData");
            os.remove("adminPassword");
        }
        self.own_identity(&mut body);
        let vm_id = uuid::Uuid::new_v4().to_string();
        set(&mut body, "/properties/vmId", json!(vm_id));
        set(&mut body, STATE, json!("Creating"));
        let is_full = zones[0]
            .as_str()
            .is_some_and(|zone| self.manners.full.contains(zone));
        let has_room = match self.manners.room.get_mut(&size) {
            _ if is_full => false,
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        };
        let end = match (has_room, zones.is_null()) {
            (true, _) => End::Runs,
            (false, true) => End::Fails(
                "AllocationFailed".to_owned(),
                "Allocation failed.".to_owned(),
            ),
            (false, false) => End::Fails(
                "ZonalAllocationFailed".to_owned(),
                "Allocation failed in the requested zone.".to_owned(),
            ),
        };
        self.put(id, body);
        self.goes_on_with_machine(201, id, end)
    }

    fn make_disks(&mut self, id: &str, name: &str, body: &mut Value) {
        let group = id
            .split("/providers/")
            .next()
            .unwrap_or_default()
            .to_owned();
        let zones = body["zones"].clone();
        let location = body["location"].clone();
        let count = body
            .pointer("/properties/storageProfile/dataDisks")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        let paths = std::iter::once("/properties/storageProfile/osDisk".to_owned())
            .chain((0..count).map(|it| format!("/properties/storageProfile/dataDisks/{it}")));
        for path in paths {
            let given = text(body, &format!("{path}/name")).map(str::to_owned);
            let disk = given.unwrap_or_else(|| format!("{name}_disk_{}", self.serial));
            let disk_id = format!("{group}/providers/{COMPUTE}/disks/{disk}");
            let kind = text(body, &format!("{path}/managedDisk/storageAccountType"))
                .unwrap_or("Premium_LRS")
                .to_owned();
            let size = body
                .pointer(&format!("{path}/diskSizeGB"))
                .cloned()
                .unwrap_or(json!(30));
            let resource = json!({
                "location": location, "zones": zones, "managedBy": id, "sku": {"name": kind},
                "properties": {"diskSizeGB": size, "diskState": "Attached", "provisioningState": "Succeeded"},
            });
            self.put(&disk_id, resource);
            set(body, &format!("{path}/name"), json!(disk));
            set(body, &format!("{path}/diskSizeGB"), size);
            set(
                body,
                &format!("{path}/managedDisk/storageAccountType"),
                json!(kind),
            );
            set(body, &format!("{path}/managedDisk/id"), json!(disk_id));
        }
    }

    fn own_identity(&mut self, body: &mut Value) {
        let kind = text(body, "/identity/type").unwrap_or_default().to_owned();
        if kind.contains("SystemAssigned") {
            let principal = uuid::Uuid::new_v4().to_string();
            set(body, "/identity/principalId", json!(principal));
        }
        if kind == "None"
            && let Some(object) = body.as_object_mut()
        {
            object.remove("identity");
        }
    }

    /// Changes a machine.
    pub fn patch_machine(&mut self, id: &str, before: &Value, change: Value) -> Reply {
        let mut after = before.clone();
        for key in ["tags", "zones"] {
            if let Some(value) = change.get(key).filter(|it| !it.is_null()) {
                after[key] = value.clone();
            }
        }
        if let Some(identity) = change.get("identity").filter(|it| it.is_object()) {
            let mut users = before["identity"]["userAssignedIdentities"].clone();
            for (id, value) in identity["userAssignedIdentities"]
                .as_object()
                .into_iter()
                .flatten()
            {
                match value {
                    Value::Null => {
                        users.as_object_mut().and_then(|users| users.remove(id));
                    }
                    value => users[id] = value.clone(),
                }
            }
            after["identity"] = json!({"type": identity["type"]});
            if users.as_object().is_some_and(|users| !users.is_empty()) {
                after["identity"]["userAssignedIdentities"] = users;
            }
            self.own_identity(&mut after);
        }
        for path in [
            "/properties/storageProfile/imageReference",
            "/properties/osProfile/adminUsername",
        ] {
            let (old, new) = (before.pointer(path), change.pointer(path));
            if new.is_some_and(|new| old != Some(new) && path.ends_with("adminUsername")) {
                return Reply::error(409, "PropertyChangeNotAllowed", "It does not change.");
            }
        }
        if let Some(size) = text(&change, "/properties/hardwareProfile/vmSize") {
            if catalog::cores(size).is_none() {
                return Reply::error(400, "InvalidParameter", "It is no VM size.");
            }
            set(
                &mut after,
                "/properties/hardwareProfile/vmSize",
                json!(size),
            );
        }
        set(&mut after, STATE, json!("Updating"));
        self.put(id, after);
        self.goes_on_with_machine(200, id, End::Changed)
    }

    /// Deletes a machine.
    pub fn delete_machine(&mut self, id: &str) -> Reply {
        self.look_at(id);
        if self.get(id).is_none() {
            return Reply::of(204, None);
        }
        self.set(id, STATE, json!("Deleting"));
        let operation = self.begin(id, End::MachineGone);
        let mut reply = self.goes_on(202, None, &operation, COMPUTE);
        self.by_way(&mut reply);
        reply
    }

    /// Starts or stops a machine.
    pub fn run_machine(&mut self, id: &str, end: End) -> Reply {
        if self.get(id).is_none() {
            return Reply::error(404, "ResourceNotFound", "The machine was not found.");
        }
        if text(
            &self.get(id).map(|it| it.body.clone()).unwrap_or_default(),
            STATE,
        ) == Some("Deleting")
        {
            return Reply::error(409, "OperationNotAllowed", "The machine is being deleted.");
        }
        let operation = self.begin(id, end);
        self.goes_on(202, None, &operation, COMPUTE)
    }

    fn goes_on_with_machine(&mut self, status: u16, id: &str, end: End) -> Reply {
        let body = self.get(id).map(|it| it.body.clone());
        let operation = self.begin(id, end);
        let mut reply = self.goes_on(status, body, &operation, COMPUTE);
        self.by_way(&mut reply);
        reply
    }

    /// Leaves out of an answer what the manners leave out.
    fn by_way(&self, reply: &mut Reply) {
        use crate::manners::Way;
        match self.manners.way {
            Way::Operation => {}
            Way::Location => {
                reply.operation = None;
                reply.status = 202;
            }
            Way::State => {
                reply.operation = None;
                // Nothing is left to look at of what is gone.
                if reply.body.is_some() {
                    reply.location = None;
                }
            }
        }
    }

    /// Removes a machine, and what is to go with it; what is not stays without it.
    pub fn remove_machine(&mut self, id: &str) {
        let Some(machine) = self.get(id).map(|it| it.body.clone()) else {
            return;
        };
        let interfaces = machine.pointer("/properties/networkProfile/networkInterfaces");
        for interface in interfaces.and_then(Value::as_array).into_iter().flatten() {
            let nic = text(interface, "/id").unwrap_or_default();
            match text(interface, "/properties/deleteOption") {
                Some("Delete") => self.remove_interface(nic),
                _ => self.detach(nic),
            }
        }
        let storage = &machine["properties"]["storageProfile"];
        let mut disks = storage["dataDisks"].as_array().cloned().unwrap_or_default();
        disks.push(storage["osDisk"].clone());
        for disk in &disks {
            let disk_id = text(disk, "/managedDisk/id").unwrap_or_default();
            match text(disk, "/deleteOption") {
                Some("Delete") => self.remove(disk_id),
                _ => {
                    if let Some(resource) = self.get_mut(disk_id) {
                        resource.body["managedBy"] = Value::Null;
                    }
                }
            }
        }
        self.remove(id);
    }

    /// Returns what goes on with a machine.
    pub fn view(&self, id: &str) -> Value {
        let Some(resource) = self.get(id) else {
            return Value::Null;
        };
        let state = text(&resource.body, STATE).unwrap_or_default();
        let mut statuses = vec![json!({
            "code": format!("ProvisioningState/{}", state.to_ascii_lowercase()), "level": "Info",
            "displayStatus": format!("Provisioning {}", state.to_ascii_lowercase()),
        })];
        if let Some((code, message)) = &resource.failure {
            let code = format!("ProvisioningState/failed/{code}");
            statuses.push(json!({
                "code": code, "level": "Error", "message": message,
                "displayStatus": "Provisioning failed",
            }));
        }
        if let Some(power) = resource.power {
            statuses.push(json!({
                "code": format!("PowerState/{power}"), "level": "Info",
                "displayStatus": format!("VM {power}"),
            }));
        }
        json!({"statuses": statuses})
    }
}
