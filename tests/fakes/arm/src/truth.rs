//! What there really is, for tests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::server::Arm;
use crate::world::{group_id, text, type_of};
use crate::{GROUP, LOCATION};

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its size.
    pub size: String,
    /// The number of its zone.
    pub zone: Option<String>,
    /// Its address.
    pub address: String,
    /// The last part of its power state.
    pub power: Option<&'static str>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The network security group of its interface.
    pub group: Option<String>,
    /// The version of its image.
    pub version: String,
}

impl Arm {
    /// Returns the machines that there are.
    pub fn machines(&self) -> Vec<Machine> {
        let world = self.lock();
        let ids = world.machines();
        let machine = |id: &String| {
            let resource = world.get(id)?;
            let body = &resource.body;
            let at = |pointer: &str| text(body, pointer).map(str::to_owned);
            let nic = at("/properties/networkProfile/networkInterfaces/0/id").unwrap_or_default();
            let nic = world
                .get(&nic)
                .map(|it| it.body.clone())
                .unwrap_or_default();
            let own = "/properties/ipConfigurations/0/properties/privateIPAddress";
            Some(Machine {
                name: at("/name")?,
                size: at("/properties/hardwareProfile/vmSize")?,
                zone: at("/zones/0"),
                address: text(&nic, own).unwrap_or_default().to_owned(),
                power: resource.power,
                tags: serde_json::from_value(body["tags"].clone()).unwrap_or_default(),
                group: text(&nic, "/properties/networkSecurityGroup/id").map(str::to_owned),
                version: at("/properties/storageProfile/imageReference/version")
                    .unwrap_or_default(),
            })
        };
        ids.iter().filter_map(machine).collect()
    }

    /// Returns the ids of everything that is made for machines: machines, interfaces, addresses,
    /// disks.
    pub fn parts(&self) -> Vec<String> {
        let kinds = [
            "microsoft.compute/virtualmachines",
            "microsoft.compute/disks",
            "microsoft.network/networkinterfaces",
            "microsoft.network/publicipaddresses",
        ];
        let world = self.lock();
        let ids = world.resources.keys();
        ids.filter(|id| kinds.contains(&type_of(id).as_str()))
            .cloned()
            .collect()
    }

    /// Returns whether a resource group exists.
    pub fn has_group(&self, name: &str) -> bool {
        self.lock().get(&group_id(name)).is_some()
    }

    /// Returns how often each operation was called.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.lock().calls.clone()
    }

    /// Returns how often each right was needed.
    pub fn rights(&self) -> BTreeMap<String, u64> {
        self.lock().rights.clone()
    }

    /// Returns the bodies of the calls of an operation.
    pub fn sent(&self, operation: &str) -> Vec<Value> {
        let world = self.lock();
        let sent = world.sent.iter().filter(|(name, _)| name == operation);
        sent.map(|(_, body)| body.clone()).collect()
    }

    /// Forgets what was called.
    pub fn forget_calls(&self) {
        let mut world = self.lock();
        world.calls.clear();
        world.rights.clear();
        world.sent.clear();
    }

    /// Returns how many calls were throttled.
    pub fn throttled(&self) -> u64 {
        self.lock().throttled
    }

    /// Returns how many replies were lost.
    pub fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// Returns whether a client hangs.
    pub fn is_halted(&self) -> bool {
        self.lock().is_halted
    }

    /// Makes every list complete from now on.
    pub fn settle(&self) {
        for resource in self.lock().resources.values_mut() {
            resource.hidden = 0;
        }
    }

    /// Stops a machine, as somebody else does.
    pub fn stop(&self, name: &str) {
        let mut world = self.lock();
        if let Some(machine) = world.get_mut(&machine_id(name)) {
            machine.power = Some("deallocated");
        }
    }

    /// Ends a machine, as somebody else does.
    pub fn end(&self, name: &str) {
        self.end_in(GROUP, name);
    }

    /// The same in another resource group.
    pub fn end_in(&self, group: &str, name: &str) {
        self.lock().remove_machine(&machine_in(group, name));
    }

    /// Ends a machine and leaves its interface and disks, as one that could not be made may.
    pub fn end_without_the_rest(&self, name: &str) {
        self.end_without_the_rest_in(GROUP, name);
    }

    /// The same in another resource group.
    pub fn end_without_the_rest_in(&self, group: &str, name: &str) {
        let mut world = self.lock();
        let id = machine_in(group, name);
        let at = "/properties/networkProfile/networkInterfaces/0/properties/deleteOption";
        world.set(&id, at, json!("Detach"));
        world.set(
            &id,
            "/properties/storageProfile/osDisk/deleteOption",
            json!("Detach"),
        );
        world.remove_machine(&id);
    }

    /// Sets a tag, as somebody else does.
    pub fn tag(&self, name: &str, key: &str, value: &str) {
        self.lock()
            .set(&machine_id(name), &format!("/tags/{key}"), json!(value));
    }

    /// Makes a machine that nobody of these tests' stacks owns.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn make(&self, name: &str, tags: &Value) {
        let mut world = self.lock();
        let subnet = format!(
            "{}/providers/Microsoft.Network/virtualNetworks/net/subnets/default",
            group_id(GROUP)
        );
        let nic = format!(
            "{}/providers/Microsoft.Network/networkInterfaces/{name}-own",
            group_id(GROUP)
        );
        let address =
            json!({"name": "a", "properties": {"subnet": {"id": subnet}, "primary": true}});
        let body = json!({"location": LOCATION, "properties": {"ipConfigurations": [address]}});
        assert!(world.put_interface(&nic, body).status < 300, "an interface");
        let body = json!({"location": LOCATION, "tags": tags, "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {
                "imageReference": {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "0.20261010.10"},
                "osDisk": {"createOption": "FromImage"}, "dataDisks": [],
            },
            "osProfile": {"computerName": name, "adminUsername": "azureuser", "linuxConfiguration": {
                "ssh": {"publicKeys": [{"path": "/x", "keyData": "ssh-ed25519 AAAA"}]},
            }},
            "networkProfile": {"networkInterfaces": [{"id": nic}]},
            "securityProfile": {"securityType": "TrustedLaunch"},
        }});
        let made = world.put_machine(&machine_id(name), body);
        assert!(made.status < 300, "a machine: {:?}", made.body);
        world.look_at(&machine_id(name));
    }
}

fn machine_id(name: &str) -> String {
    machine_in(GROUP, name)
}

fn machine_in(group: &str, name: &str) -> String {
    format!(
        "{}/providers/Microsoft.Compute/virtualMachines/{name}",
        group_id(group)
    )
}
