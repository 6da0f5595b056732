//! Interfaces, addresses, networks and groups.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::operations::End;
use crate::server::Reply;
use crate::world::{World, set, text, type_of};

const NETWORK: &str = "Microsoft.Network";
/// Where an interface says what its public address is.
const PUBLIC: &str = "/properties/ipConfigurations/0/properties/publicIPAddress/id";

/// An interface inside of a machine's request.
pub(crate) struct Inline<'a> {
    pub machine: &'a str,
    pub configuration: &'a Value,
    pub zones: &'a Value,
}

impl World {
    /// Makes the interface of a machine's request, with its public address; returns its id.
    ///
    /// Its name is not the configuration's alone, so that nobody relies on it.
    pub fn make_inline(&mut self, inline: &Inline<'_>) -> Result<String, Box<Reply>> {
        let Inline {
            machine,
            configuration,
            zones,
        } = inline;
        let group = machine.split("/providers/").next().unwrap_or_default();
        let number = self.next();
        let name = text(configuration, "/name").unwrap_or_default();
        let id = format!("{group}/providers/{NETWORK}/networkInterfaces/{name}-{number:08x}");
        let Some(location) = self.location_of_group(group) else {
            let message = "The resource group was not found.";
            return Err(Box::new(Reply::error(
                404,
                "ResourceGroupNotFound",
                message,
            )));
        };
        let address = &configuration["properties"]["ipConfigurations"][0];
        let mut own = json!({"name": address["name"], "properties": {
            "subnet": address["properties"]["subnet"], "primary": true,
            "privateIPAllocationMethod": "Dynamic", "privateIPAddressVersion": "IPv4",
        }});
        let public = &address["properties"]["publicIPAddressConfiguration"];
        if public.is_object() {
            let name = text(public, "/name").unwrap_or_default();
            let public_id =
                format!("{group}/providers/{NETWORK}/publicIPAddresses/{name}-{number:08x}");
            let option = text(public, "/properties/deleteOption").unwrap_or("Detach");
            let properties = json!({
                "publicIPAllocationMethod": public["properties"]["publicIPAllocationMethod"],
                "ipAddress": format!("20.0.{}.{}", number / 250 % 250, number % 250),
                "deleteOption": option, "provisioningState": "Succeeded",
                "ipConfiguration": {"id": format!("{id}/ipConfigurations/primary")},
            });
            let resource = json!({
                "location": location, "tags": public["tags"], "sku": public["sku"],
                "zones": zones, "properties": properties,
            });
            self.put(&public_id, resource);
            set(
                &mut own,
                "/properties/publicIPAddress",
                json!({"id": public_id}),
            );
        }
        let mut properties = json!({"ipConfigurations": [own], "virtualMachine": {"id": machine}});
        let group = &configuration["properties"]["networkSecurityGroup"];
        if group.is_object() {
            properties["networkSecurityGroup"] = group.clone();
        }
        let body = json!({
            "location": location, "tags": configuration["tags"], "properties": properties,
        });
        self.put_interface_body(&id, body).map_err(Box::new)?;
        Ok(id)
    }

    fn location_of_group(&self, group: &str) -> Option<Value> {
        Some(self.get(group)?.body["location"].clone())
    }

    /// Makes an interface or changes it.
    pub fn put_interface(&mut self, id: &str, mut body: Value) -> Reply {
        let before = self.get(id).map(|it| it.body.clone());
        let status = if before.is_some() { 200 } else { 201 };
        let had = before.as_ref();
        if let Some(machine) = had.and_then(|it| it.pointer("/properties/virtualMachine")) {
            set(&mut body, "/properties/virtualMachine", machine.clone());
        }
        let is_kept = text(&body, PUBLIC) == had.and_then(|it| text(it, PUBLIC));
        if let Err(reply) = self.put_interface_body(id, body) {
            return reply;
        }
        let freed = had.and_then(|it| text(it, PUBLIC)).filter(|_| !is_kept);
        self.free(freed);
        let operation = self.begin(id, End::Changed);
        let body = self.get(id).map(|it| it.body.clone());
        let mut reply = self.goes_on(status, body, &operation, NETWORK);
        reply.location = None;
        reply
    }

    fn put_interface_body(&mut self, id: &str, mut body: Value) -> Result<(), Reply> {
        let group = text(&body, "/properties/networkSecurityGroup/id").map(str::to_owned);
        if group.is_some_and(|group| self.get(&group).is_none()) {
            let message = "The network security group was not found.";
            return Err(Reply::error(400, "InvalidResourceReference", message));
        }
        let count = body
            .pointer("/properties/ipConfigurations")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        for index in 0..count {
            let at = format!("/properties/ipConfigurations/{index}");
            let subnet = text(&body, &format!("{at}/properties/subnet/id"))
                .unwrap_or_default()
                .to_owned();
            if self.get(&subnet).is_none() {
                let message = format!("The subnet {subnet} was not found.");
                return Err(Reply::error(400, "InvalidResourceReference", &message));
            }
            if text(&body, &format!("{at}/properties/privateIPAddress")).is_none() {
                let address = self.address_in(&subnet);
                set(
                    &mut body,
                    &format!("{at}/properties/privateIPAddress"),
                    json!(address),
                );
            }
            set(
                &mut body,
                &format!("{at}/properties/provisioningState"),
                json!("Succeeded"),
            );
            set(&mut body, &format!("{at}/etag"), json!("\"1\""));
            set(
                &mut body,
                &format!("{at}/id"),
                json!(format!("{id}/ipConfigurations/{index}")),
            );
        }
        set(
            &mut body,
            "/properties/provisioningState",
            json!("Succeeded"),
        );
        set(
            &mut body,
            "/properties/macAddress",
            json!("00-0D-3A-00-00-00"),
        );
        set(&mut body, "/properties/enableIPForwarding", json!(false));
        self.put(id, body);
        Ok(())
    }

    /// Returns an address of a subnet: the first four and the last are Azure's own
    /// (<https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq>).
    fn address_in(&mut self, subnet: &str) -> Ipv4Addr {
        let found = self.get(subnet).map(|it| it.body["properties"].clone());
        let found = found.unwrap_or_default();
        let prefix = text(&found, "/addressPrefix").or(text(&found, "/addressPrefixes/0"));
        let range = prefix.and_then(|prefix| {
            let (first, bits) = prefix.split_once('/')?;
            Some((first.parse::<Ipv4Addr>().ok()?, bits.parse::<u32>().ok()?))
        });
        let (first, bits) = range.expect("a subnet has a range");
        let number = u32::try_from(self.next()).unwrap_or_default();
        let most = (1 << 32_u32.saturating_sub(bits).min(31)) - 5;
        Ipv4Addr::from(u32::from(first) + 4 + number % most)
    }

    /// Puts something of the network's that has no life of its own.
    pub fn put_plain(&mut self, id: &str, mut body: Value) -> Reply {
        let status = if self.get(id).is_some() { 200 } else { 201 };
        if let Some(subnets) = body
            .pointer("/properties/subnets")
            .and_then(Value::as_array)
            .cloned()
        {
            for subnet in subnets {
                let name = text(&subnet, "/name").unwrap_or_default().to_owned();
                self.put_plain(&format!("{id}/subnets/{name}"), subnet);
            }
        }
        set(
            &mut body,
            "/properties/provisioningState",
            json!("Succeeded"),
        );
        self.put(id, body);
        let operation = self.begin(id, End::Changed);
        let body = self.get(id).map(|it| it.body.clone());
        self.goes_on(status, body, &operation, NETWORK)
    }

    /// Removes an interface, with the address that goes with it.
    pub fn remove_interface(&mut self, id: &str) {
        let body = self.get(id).map(|it| it.body.clone()).unwrap_or_default();
        let public = text(&body, PUBLIC);
        let resource = public.and_then(|public| self.get(public));
        let option = resource.and_then(|it| text(&it.body, "/properties/deleteOption"));
        match (public, option) {
            (Some(public), Some("Delete")) => self.remove(public),
            (public, _) => self.free(public),
        }
        self.remove(id);
    }

    /// Leaves an address without its interface.
    fn free(&mut self, address: Option<&str>) {
        if let Some(resource) = address.and_then(|id| self.get_mut(id)) {
            resource.body["properties"]["ipConfiguration"] = Value::Null;
        }
    }

    /// Leaves an interface without its machine.
    pub fn detach(&mut self, id: &str) {
        if let Some(resource) = self.get_mut(id)
            && let Some(properties) = resource.body["properties"].as_object_mut()
        {
            properties.remove("virtualMachine");
        }
    }

    /// Deletes an interface, an address, a disk or a group; refuses what is in use.
    pub fn delete_part(&mut self, id: &str) -> Reply {
        let Some(body) = self.get(id).map(|it| it.body.clone()) else {
            return Reply::of(204, None);
        };
        let kind = type_of(id).to_ascii_lowercase();
        let used_by = match kind.as_str() {
            "microsoft.network/networkinterfaces" => text(&body, "/properties/virtualMachine/id"),
            "microsoft.network/publicipaddresses" => text(&body, "/properties/ipConfiguration/id"),
            "microsoft.compute/disks" => text(&body, "/managedBy"),
            _ => None,
        };
        if let Some(user) = used_by {
            let message = format!("It is in use by {user}.");
            return Reply::error(409, "InUseByResource", &message);
        }
        match kind.as_str() {
            "microsoft.network/networkinterfaces" => {
                // The address that it had is free from now on, and stays.
                self.free(text(&body, PUBLIC));
                self.remove(id);
            }
            _ => self.remove(id),
        }
        let operation = self.begin(id, End::Gone);
        let namespace = if kind.starts_with("microsoft.compute") {
            "Microsoft.Compute"
        } else {
            NETWORK
        };
        self.goes_on(202, None, &operation, namespace)
    }

    /// Returns a subnet with what is in it.
    pub fn subnet(&self, id: &str) -> Option<Value> {
        let mut body = self.get(id)?.body.clone();
        let used: Vec<Value> = self
            .resources
            .values()
            .filter(|it| {
                let subnet = text(
                    &it.body,
                    "/properties/ipConfigurations/0/properties/subnet/id",
                );
                subnet.is_some_and(|subnet| subnet.eq_ignore_ascii_case(id))
            })
            .map(|it| json!({"id": it.body["properties"]["ipConfigurations"][0]["id"]}))
            .collect();
        set(&mut body, "/properties/ipConfigurations", json!(used));
        Some(body)
    }
}
