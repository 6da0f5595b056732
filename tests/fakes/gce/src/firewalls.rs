//! Firewall rules, which are a network's and so the whole project's.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cloud::{Asked, Cloud, ROOT};
use crate::instances::last;
use crate::operations::Effect;
use crate::refusal::Refusal;
use crate::things;

/// Where operations are that are no zone's.
const NO_ZONE: &str = "";

impl Cloud {
    fn rule(&self, asked: &Asked<'_>) -> Result<String, Refusal> {
        let name = asked.path("firewall").to_owned();
        let project = asked.path("project");
        match self.firewalls.contains_key(&name) {
            true => Ok(name),
            false => Err(Refusal::not_found(&format!(
                "projects/{project}/global/firewalls/{name}"
            ))),
        }
    }

    pub fn firewall(&self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        Ok(self.firewalls[&self.rule(asked)?].clone())
    }

    pub fn list_firewalls(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let all: Vec<Value> = self.firewalls.values().cloned().collect();
        self.listed(asked, "compute#firewallList", all)
    }

    pub fn insert_firewall(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let name = asked.body["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            let message = "Required field 'resource.name' not specified";
            return Err(Refusal::new(400, "required", message));
        }
        check(asked.body)?;
        if self.firewalls.contains_key(&name) {
            let project = asked.path("project");
            let message =
                format!("The resource 'projects/{project}/global/firewalls/{name}' already exists");
            return Err(Refusal::new(409, "alreadyExists", message));
        }
        let rule = self.whole(asked, &name);
        self.on_firewall(asked, "insert", &name, Some(rule))
    }

    pub fn update_firewall(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let name = self.rule(asked)?;
        check(asked.body)?;
        let network = &self.firewalls[&name]["network"];
        if last(&asked.body["network"]) != last(network) {
            let message = "Invalid value for field 'resource.network': it cannot be changed.";
            return Err(Refusal::invalid(message));
        }
        let rule = self.whole(asked, &name);
        self.on_firewall(asked, "update", &name, Some(rule))
    }

    pub fn delete_firewall(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let name = self.rule(asked)?;
        self.on_firewall(asked, "delete", &name, None)
    }

    /// Makes a rule of what is asked for, with what the cloud says when nothing is said.
    fn whole(&mut self, asked: &Asked<'_>, name: &str) -> Value {
        let place = format!("{ROOT}/projects/{}/global", asked.path("project"));
        let network = match last(&asked.body["network"]) {
            "" => "default",
            name => name,
        };
        let mut rule = asked.body.clone();
        rule["kind"] = json!("compute#firewall");
        rule["name"] = json!(name);
        rule["selfLink"] = json!(format!("{place}/firewalls/{name}"));
        rule["network"] = json!(format!("{place}/networks/{network}"));
        for (field, value) in [
            ("direction", json!("INGRESS")),
            ("priority", json!(1000)),
            ("disabled", json!(false)),
            ("logConfig", json!({"enable": false})),
        ] {
            if rule[field].is_null() {
                rule[field] = value;
            }
        }
        match self.firewalls.get(name) {
            Some(before) => {
                for field in ["id", "creationTimestamp"] {
                    rule[field] = before[field].clone();
                }
            }
            None => {
                rule["id"] = json!((3_000_000_000_000_000_000 + self.next()).to_string());
                rule["creationTimestamp"] = json!(Timestamp::now().to_string());
            }
        }
        rule
    }

    /// Begins an operation on a rule, which is what it becomes at once unless it shall fail.
    fn on_firewall(
        &mut self,
        asked: &Asked<'_>,
        kind: &str,
        name: &str,
        becomes: Option<Value>,
    ) -> Result<Value, Refusal> {
        debug_assert_eq!(asked.path("zone"), NO_ZONE);
        let target = format!(
            "{ROOT}/projects/{}/global/firewalls/{name}",
            asked.path("project")
        );
        if self.later.is_none() {
            match becomes {
                Some(rule) => drop(self.firewalls.insert(name.to_owned(), rule)),
                None => drop(self.firewalls.remove(name)),
            }
        }
        let at = self.begin(asked, kind, &target, Effect::Nothing);
        Ok(self.operations[at].body.clone())
    }
}

/// Checks what the description does not say of a rule
/// (<https://cloud.google.com/compute/docs/reference/rest/v1/firewalls>).
fn check(rule: &Value) -> Result<(), Refusal> {
    let wrong = |field: &str| {
        let message = format!("Invalid value for field 'resource.{field}'.");
        Err(Refusal::invalid(message))
    };
    let network = last(&rule["network"]);
    if !network.is_empty() && !things::is_network(network) {
        return wrong("network");
    }
    if rule["allowed"].is_array() == rule["denied"].is_array() {
        return wrong("allowed");
    }
    let allowed = rule["allowed"].as_array();
    for one in allowed.into_iter().flatten() {
        if !one["IPProtocol"].is_string() {
            return wrong("allowed[0].IPProtocol");
        }
    }
    let texts = |field: &str| {
        let list = rule[field].as_array().cloned().unwrap_or_default();
        list.into_iter()
            .map(|it| it.as_str().unwrap_or_default().to_owned())
            .collect::<Vec<String>>()
    };
    let ranges = texts("sourceRanges");
    let wide = ranges.iter().filter(|range| range.contains(':')).count();
    if ranges.iter().any(|range| !range.contains('/')) || (wide > 0 && wide < ranges.len()) {
        return wrong("sourceRanges");
    }
    Ok(())
}
