//! What calls do to machines that are there.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cloud::{Asked, Cloud};
use crate::operations::Effect;
use crate::refusal::Refusal;
use crate::things;
use crate::validate::boolean;

/// Returns the fingerprint of something.
pub fn fingerprint(of: &Value) -> String {
    let digest = Sha256::digest(of.to_string().as_bytes());
    URL_SAFE.encode(&digest[..8])
}

/// Returns whether what a client sent is a fingerprint; clients write it in either alphabet of
/// base64.
fn is_of(sent: &Value, fingerprint: &Value) -> bool {
    let bytes = |value: &Value| {
        let text = value.as_str()?;
        URL_SAFE
            .decode(text)
            .or_else(|_| STANDARD.decode(text))
            .ok()
    };
    bytes(sent).is_some_and(|sent| bytes(fingerprint) == Some(sent))
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

    /// Does what an operation does in the end.
    pub fn apply(&mut self, effect: Effect) {
        let now = Timestamp::now().to_string();
        let mut state = |id: u64, state: &str, when: &str| {
            if let Some(instance) = self.instances.get_mut(&id) {
                instance["status"] = json!(state);
                instance[when] = json!(now);
            }
        };
        match effect {
            Effect::Run(ids) => ids
                .into_iter()
                .for_each(|id| state(id, "RUNNING", "lastStartTimestamp")),
            Effect::Stop(id) => state(id, "TERMINATED", "lastStopTimestamp"),
            Effect::Suspend(id) => state(id, "SUSPENDED", "lastSuspendedTimestamp"),
            Effect::Nothing => {}
            Effect::Remove(id) => {
                let gone = self.instances.remove(&id).unwrap_or_default();
                self.detach(&gone);
            }
        }
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
        self.is_not(id, "SUSPENDED")?;
        self.goes(id, "RUNNING", "STAGING");
        self.on(asked, "start", id, Effect::Run(vec![id]))
    }

    pub fn stop(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let id = self.find(asked, "instance")?;
        self.is_not(id, "SUSPENDED")?;
        self.goes(id, "TERMINATED", "STOPPING");
        self.on(asked, "stop", id, Effect::Stop(id))
    }

    pub fn suspend(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let id = self.find(asked, "instance")?;
        self.is_not(id, "TERMINATED")?;
        self.goes(id, "SUSPENDED", "SUSPENDING");
        self.on(asked, "suspend", id, Effect::Suspend(id))
    }

    pub fn resume(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let id = self.find(asked, "instance")?;
        self.is_not(id, "TERMINATED")?;
        self.goes(id, "RUNNING", "STAGING");
        self.on(asked, "resume", id, Effect::Run(vec![id]))
    }

    /// Refuses what makes no sense in a state: stopped machines are started, suspended ones resumed
    /// (<https://cloud.google.com/compute/docs/instances/instance-lifecycle>).
    fn is_not(&self, id: u64, state: &str) -> Result<(), Refusal> {
        match self.instances[&id]["status"] == state {
            true => Err(Refusal::invalid(format!(
                "Invalid resource state: the machine is {state}."
            ))),
            false => Ok(()),
        }
    }

    /// Shows a machine on its way to a state, where it is not there.
    fn goes(&mut self, id: u64, state: &str, by: &str) {
        let instance = self.instances.get_mut(&id).expect("it was found");
        if instance["status"] != state {
            instance["status"] = json!(by);
        }
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
        if !is_of(
            &asked.body["labelFingerprint"],
            &instance["labelFingerprint"],
        ) {
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
        if !is_of(&asked.body["fingerprint"], &instance[field]["fingerprint"]) {
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
        crate::wanted::address(&asked.body["machineType"], "machineType")?;
        let wanted = last(&asked.body["machineType"]).to_owned();
        if !things::is_type(&wanted, asked.path("zone")) {
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
        let wanted = asked.query.get("deletionProtection");
        let wanted = wanted.and_then(|text| boolean(text)).unwrap_or(true);
        self.instances.get_mut(&id).expect("it was found")["deletionProtection"] = json!(wanted);
        self.on(asked, "setDeletionProtection", id, Effect::Nothing)
    }
}

/// Writes the fingerprints of a machine.
pub fn print_on(instance: &mut Value) {
    instance["labelFingerprint"] = json!(fingerprint(&instance["labels"]));
    for field in ["tags", "metadata"] {
        instance[field]["fingerprint"] = json!(fingerprint(&instance[field]["items"]));
    }
}
