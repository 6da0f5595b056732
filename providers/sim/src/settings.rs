//! The `sim` block of a fleet file.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::Scope;
use meshvm_provider_api::template::{Attributes, Finding, Template, flatten};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The provider's name, and the key of its block.
pub(crate) const NAME: &str = "sim";

/// Machines of a simulated cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SimSettings {
    /// The region; machines of another region are listed on their own.
    #[schemars(length(min = 1))]
    pub region: String,
    /// The zones to spread over.
    #[schemars(length(min = 1), inner(length(min = 1)), extend("uniqueItems" = true))]
    pub zones: Vec<String>,
    /// The image; a change replaces the machine.
    #[schemars(length(min = 1))]
    pub image: String,
    /// The size; a change restarts the machine.
    #[schemars(length(min = 1))]
    pub size: String,
    /// The disk in GiB; it grows in place, and shrinks only by replacing the machine.
    #[serde(rename = "diskGiB")]
    #[schemars(range(min = 1))]
    pub disk_gib: u32,
    /// The network; a change replaces the machine.
    #[schemars(length(min = 1))]
    pub network: String,
    /// Tags of the machine; they change in place.
    #[schemars(extend("propertyNames" = {"minLength": 1}))]
    pub tags: BTreeMap<String, String>,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            region: "sim-1".to_owned(),
            zones: vec!["a".to_owned()],
            image: "debian-12".to_owned(),
            size: "small".to_owned(),
            disk_gib: 10,
            network: "default".to_owned(),
            tags: BTreeMap::new(),
        }
    }
}

impl SimSettings {
    /// Reads a block.
    ///
    /// # Errors
    /// Returns every problem; one that the schema would have refused comes alone.
    pub fn read(settings: &Value) -> Result<Self, Vec<Finding>> {
        let settings = Self::deserialize(settings)
            .map_err(|error| vec![Finding::at("", lowercase_first(&error.to_string()))])?;
        let findings = settings.findings();
        if findings.is_empty() {
            Ok(settings)
        } else {
            Err(findings)
        }
    }

    /// Returns the scope that the machines are listed in.
    pub fn scope(&self) -> Scope {
        Scope::new(NAME, [(Scope::REGION, Some(self.region.clone()))], [])
    }

    /// Returns what machines are made from.
    ///
    /// # Errors
    /// A finding when the block cannot be written as JSON.
    pub fn template(&self) -> Result<Template, Vec<Finding>> {
        let settings =
            serde_json::to_value(self).map_err(|error| vec![Finding::at("", error.to_string())])?;
        Ok(Template {
            scope: self.scope(),
            zones: self.zones.clone(),
            attributes: attributes(&settings),
            settings,
        })
    }

    fn findings(&self) -> Vec<Finding> {
        let Self {
            region,
            zones,
            image,
            size,
            disk_gib,
            network,
            tags,
        } = self;
        let mut findings = Vec::new();
        for (field, text) in [
            ("region", region),
            ("image", image),
            ("size", size),
            ("network", network),
        ] {
            if text.is_empty() {
                findings.push(Finding::at(field, "must not be empty"));
            }
        }
        if zones.is_empty() {
            findings.push(Finding::at("zones", "needs at least one zone"));
        }
        let mut seen = BTreeSet::new();
        for (index, zone) in zones.iter().enumerate() {
            let path = format!("zones.{index}");
            if zone.is_empty() {
                findings.push(Finding::at(&path, "must not be empty"));
            } else if !seen.insert(zone) {
                let finding = Finding::at(&path, format!("zone `{zone}` is listed twice"));
                findings.push(finding.with_hint("list each zone once; machines are spread evenly"));
            }
        }
        if *disk_gib == 0 {
            findings.push(Finding::at("diskGiB", "must be at least 1"));
        }
        if tags.contains_key("") {
            findings.push(Finding::at("tags", "a tag needs a name"));
        }
        findings
    }
}

/// Returns what a machine is compared by: all but where it stands.
fn attributes(settings: &Value) -> Attributes {
    let mut attributes = flatten(settings);
    attributes.retain(|name, _| name != "region" && name != "zones");
    attributes
}

fn lowercase_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_block_has_all_defaults() {
        let template = SimSettings::read(&json!({}))
            .and_then(|settings| settings.template())
            .unwrap();
        assert_eq!(template.zones, ["a"]);
        assert_eq!(template.scope.to_string(), "sim:sim-1");
        let names: Vec<&str> = template.attributes.keys().map(String::as_str).collect();
        assert_eq!(names, ["diskGiB", "image", "network", "size"]);
    }

    #[test]
    fn every_problem_is_found_at_its_place() {
        let block = json!({"region": "", "zones": ["a", "b", "a"], "diskGiB": 0, "image": ""});
        let findings = SimSettings::read(&block).unwrap_err();
        let places: Vec<String> = findings.iter().map(|f| f.path.join(".")).collect();
        assert_eq!(places, ["region", "image", "zones.2", "diskGiB"]);
        assert!(SimSettings::read(&json!({"zone": "a"})).is_err());
        assert!(SimSettings::read(&json!({"zones": []})).is_err());
    }

    #[test]
    fn the_schema_says_what_is_checked() {
        let schema = serde_json::to_value(schemars::schema_for!(SimSettings)).unwrap();
        assert_eq!(schema["additionalProperties"], json!(false));
        let zones = &schema["properties"]["zones"];
        assert_eq!(zones["minItems"], json!(1));
        assert_eq!(zones["uniqueItems"], json!(true));
        assert_eq!(schema["properties"]["diskGiB"]["minimum"], json!(1));
    }
}
