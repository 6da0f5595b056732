//! Disks: they come with machines, and go with them or stay.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cloud::{Asked, Cloud, ROOT};
use crate::instances::{fingerprint, last};
use crate::refusal::Refusal;
use crate::things;

impl Cloud {
    /// Makes the disks of a machine; returns them as the machine shows them.
    pub fn attach(&mut self, project: &str, zone: &str, name: &str, wanted: &Value) -> Value {
        let place = format!("{ROOT}/projects/{project}/zones/{zone}");
        let mut attached = Vec::new();
        for (index, disk) in wanted["disks"].as_array().into_iter().flatten().enumerate() {
            let parameters = &disk["initializeParams"];
            let own = match (parameters["diskName"].as_str(), index) {
                (Some(own), _) => own.to_owned(),
                (None, 0) => name.to_owned(),
                (None, index) => format!("{name}-{index}"),
            };
            let size = match &parameters["diskSizeGb"] {
                Value::Null => json!("10"),
                Value::String(size) => json!(size),
                other => json!(other.to_string()),
            };
            let kind = match last(&parameters["diskType"]) {
                "" => "pd-standard",
                kind => kind,
            };
            let link = format!("{place}/disks/{own}");
            let mut made = json!({
                "kind": "compute#disk",
                "id": (5_000_000_000_000_000_000 + self.next()).to_string(),
                "name": own,
                "sizeGb": size,
                "type": format!("{place}/diskTypes/{kind}"),
                "zone": place,
                "selfLink": link,
                "status": "READY",
                "creationTimestamp": Timestamp::now().to_string(),
                "physicalBlockSizeBytes": "4096",
                "users": [format!("{place}/instances/{name}")],
                "labelFingerprint": fingerprint(&parameters["labels"]),
            });
            let image = parameters["sourceImage"].as_str().unwrap_or_default();
            if let Some(image) = things::image_at(ROOT, image) {
                made["sourceImage"] = image["selfLink"].clone();
                made["sourceImageId"] = image["id"].clone();
                made["architecture"] = image["architecture"].clone();
            }
            if !parameters["labels"].is_null() {
                made["labels"] = parameters["labels"].clone();
            }
            self.disks.insert(link.clone(), made);
            let device = match disk["deviceName"].as_str() {
                Some(device) => device.to_owned(),
                None => format!("persistent-disk-{index}"),
            };
            attached.push(json!({
                "kind": "compute#attachedDisk", "type": "PERSISTENT", "mode": "READ_WRITE",
                "interface": "SCSI", "index": index, "boot": disk["boot"] == true,
                "autoDelete": disk["autoDelete"] == true, "deviceName": device,
                "diskSizeGb": size, "source": link,
            }));
        }
        json!(attached)
    }

    /// Takes the disks of a machine that is gone; those that are to stay have no user then.
    pub fn detach(&mut self, gone: &Value) {
        for disk in gone["disks"].as_array().into_iter().flatten() {
            let link = disk["source"].as_str().unwrap_or_default();
            if disk["autoDelete"] == true {
                self.disks.remove(link);
            } else if let Some(Value::Object(disk)) = self.disks.get_mut(link) {
                disk.remove("users");
            }
        }
    }

    pub fn disk(&self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let (project, zone, name) = (
            asked.path("project"),
            asked.path("zone"),
            asked.path("disk"),
        );
        let address = format!("projects/{project}/zones/{zone}/disks/{name}");
        let found = self.disks.get(&format!("{ROOT}/{address}"));
        found.cloned().ok_or_else(|| Refusal::not_found(&address))
    }

    pub fn list_disks(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let mut all: Vec<Value> = self.disks.values().cloned().collect();
        all.retain(|disk| last(&disk["zone"]) == asked.path("zone"));
        self.listed(asked, "compute#diskList", all)
    }

    pub fn list_all_disks(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let all = self.disks.values().cloned().collect();
        self.by_zone(asked, "compute#diskAggregatedList", "disks", all)
    }
}
